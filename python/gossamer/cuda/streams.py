# SPDX-License-Identifier: Apache-2.0
"""What belongs to a stream: its workspace, and its capture in a graph."""

from __future__ import annotations

from typing import Any

from .library import engine
from .memory import DeviceArray, Memory

#: Bytes of a small buffer, which a product with one vector needs, and how many are made at once.
_SMALL, _STOCK = 1 << 18, 16


def refuse_capture(stream: Any, operation: str, advice: str) -> None:
    """Raise RuntimeError if the stream is being captured in a CUDA graph."""
    if engine().capture_id(stream):
        raise RuntimeError(f"{operation} cannot be captured in a CUDA graph; {advice}")


class StreamBuffers:
    """Memory of one stream: zeros at first, which operations may find and leave as zeros.

    A stream has one buffer, which grows; what it outgrew is kept, since graphs may hold its
    address. A graph has one of its own: its replays run beside other work of the stream that it was
    captured on. Small buffers are taken from a stock, so that none is allocated in what a framework
    gives a graph for its results.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], tuple[Any, int]] = {}
        self._kept: list[DeviceArray] = []
        self._stock: dict[tuple[Memory, int], list[DeviceArray]] = {}

    def reserve(self, memory: Memory, device: int) -> None:
        """Fill the stock if it is empty; waits for the stream, which must not be captured."""
        stock = self._stock.setdefault((memory, device), [])
        if not stock:
            array = memory.zeros((_STOCK, _SMALL), "uint8", device)
            memory.to_host(array[0, :1])  # the zeros are there, for every stream
            stock.extend(array[i] for i in range(_STOCK))

    def workspace(
        self, memory: Memory, device: int, stream: Any, capture: int, nbytes: int = _SMALL
    ) -> Any:
        """Return at least that many bytes as the engine takes them.

        ``capture`` tells the graph that the stream is captured in, 0 if none.
        """
        key = memory, stream, capture
        found = self._buffers.get(key)
        if found is not None and found[1] >= nbytes:
            return found[0]
        nbytes = max(nbytes, _SMALL)
        if nbytes == _SMALL and not capture:
            self.reserve(memory, device)
        stock = self._stock.get((memory, device), []) if nbytes == _SMALL else []
        try:
            array = stock.pop()
        except IndexError:  # also where another thread took the last one just now
            array = memory.zeros((nbytes,), "uint8", device)
        self._kept.append(array)
        workspace = engine().Workspace(memory.pointer(array), nbytes)
        self._buffers[key] = workspace, nbytes
        return workspace


#: Memory that a stream has for what its operations write and read again themselves.
_scratch = StreamBuffers()


def scratch_of(
    memory: Memory, device: int, stream: Any, nbytes: int
) -> tuple[DeviceArray | None, Any]:
    """Return memory for one operation, and what the caller keeps meanwhile; a little is kept."""
    if nbytes <= _SMALL:
        return None, _scratch.workspace(memory, device, stream, engine().capture_id(stream))
    return memory.workspace(nbytes, device)
