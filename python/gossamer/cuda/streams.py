# SPDX-License-Identifier: Apache-2.0
"""What belongs to a stream: its workspace, and its capture in a graph."""

from __future__ import annotations

from typing import Any

from .library import engine
from .memory import DeviceArray, Memory


def refuse_capture(stream: Any, operation: str, advice: str) -> None:
    """Raise RuntimeError if the stream is being captured in a CUDA graph."""
    if engine().capture_id(stream):
        raise RuntimeError(f"{operation} cannot be captured in a CUDA graph; {advice}")


class StreamBuffers:
    """Zeros that operations of one stream find and leave as zeros.

    A stream has one buffer, which grows; what it outgrew is kept, since graphs may hold its
    address. A graph has one of its own: its replays run beside other work of the stream that it was
    captured on.
    """

    def __init__(self) -> None:
        self._buffers: dict[tuple[Any, ...], tuple[Any, int]] = {}
        self._kept: list[DeviceArray] = []

    def workspace(self, memory: Memory, device: int, stream: Any, nbytes: int) -> Any:
        """Return at least that many bytes as the engine takes them."""
        key = memory, stream, engine().capture_id(stream)
        found = self._buffers.get(key)
        if found is not None and found[1] >= nbytes:
            return found[0]
        nbytes = max(nbytes, 1 << 16)
        array = memory.zeros((nbytes,), "uint8", device)
        self._kept.append(array)
        workspace = engine().Workspace(memory.pointer(array), nbytes)
        self._buffers[key] = workspace, nbytes
        return workspace
