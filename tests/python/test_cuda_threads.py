# SPDX-License-Identifier: Apache-2.0
"""What products on a GPU share between threads; what is asked of the GPU is played."""

import threading
from types import SimpleNamespace

import pytest
from gossamer.cuda import memory, sparse, streams


class PlayedMemory(memory.Memory):
    """Streams by handle, and bytearrays as arrays."""

    handle = 0

    def stream_handle(self, device):
        return self.handle

    def zeros(self, shape, dtype, device):
        return bytearray(shape[0])

    def pointer(self, x):
        return id(x)


PlayedMemory.__abstractmethods__ = frozenset()


@pytest.fixture(autouse=True)
def played_engine(monkeypatch):
    def workspace(pointer, nbytes):
        return SimpleNamespace(pointer=pointer, nbytes=nbytes)

    played = SimpleNamespace(Stream=lambda *_: object(), Workspace=workspace)
    monkeypatch.setattr(memory, "engine", lambda: played)
    monkeypatch.setattr(streams, "engine", lambda: played)
    monkeypatch.setattr(memory, "_streams", {})


def test_the_stream_that_each_thread_has_for_itself_is_not_shared():
    gpu, found = PlayedMemory(), []
    for gpu.handle in (0, 2, 4096):
        for _ in range(2):
            threads = [threading.Thread(target=lambda: found.append(gpu.stream(0)))]
            threads[0].start()
            found.append(gpu.stream(0))
            threads[0].join()
    shared = [len({id(stream) for stream in found[i : i + 4]}) for i in (0, 4, 8)]
    assert shared[0] == shared[2] == 1
    assert shared[1] > 1


def test_threads_that_first_transpose_at_once_take_one_index_map(monkeypatch):
    pattern, made = SimpleNamespace(prepared={}), []

    def transpose():
        made.append(object())
        mine = made[-1]
        if len(made) == 1:  # another thread is quicker
            sparse._transposed(gpu, pattern, 0)
        return "transpose", mine

    gpu = PlayedMemory()
    gpu.view = lambda index_map: ("view of", index_map)
    monkeypatch.setattr(sparse, "_device_pattern", lambda *_: SimpleNamespace(transpose=transpose))
    monkeypatch.setattr(sparse, "on_device", lambda *_: "prepared")
    first = sparse._transposed(gpu, pattern, 0)
    ((_, view, owned),) = pattern.prepared.values()
    assert len(made) == 2
    assert first == ("prepared", view)
    assert view == ("view of", owned)


def test_a_stock_that_another_thread_empties_is_no_error():
    class LastTaken(list):
        """Something is there when it is looked at, and gone when it is taken."""

        def __bool__(self):
            return True

    gpu, buffers = PlayedMemory(), streams.StreamBuffers()
    buffers._stock[gpu, 0] = LastTaken()
    workspace = buffers.workspace(gpu, 0, gpu.stream(0), capture=1)
    assert workspace.nbytes == streams._SMALL
    assert buffers.workspace(gpu, 0, gpu.stream(0), capture=1) is workspace
