# SPDX-License-Identifier: Apache-2.0
"""What streams, graphs and threads share on a GPU; what is asked of the GPU is played."""

import threading
import weakref
from collections import defaultdict
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from gossamer.cuda import memory, packed, sparse, streams


class PlayedMemory(memory.Memory):
    """Streams by handle, and bytearrays as arrays."""

    handle = 0

    def stream_handle(self, device):
        return self.handle

    def __init__(self):
        self.made = 0

    def zeros(self, shape, dtype, device):
        self.made += 1
        return np.zeros(shape, dtype)

    def to_host(self, x):
        return x

    def device(self, x):
        return 0

    def synchronize(self, device):
        pass

    def dtype_name(self, x):
        return x.dtype.name

    def empty(self, shape, dtype, device):
        return np.empty(shape, dtype)

    def empty_like(self, x, shape):
        return np.empty(shape, x.dtype)

    def contiguous(self, x):
        return x

    def view(self, x, swapped=False):
        return x

    def pointer(self, x):
        return x.ctypes.data


PlayedMemory.__abstractmethods__ = frozenset()


@pytest.fixture(autouse=True)
def played_engine(monkeypatch):
    """The engine, whose graphs are lists of what they keep, by stream."""
    played = SimpleNamespace(
        Stream=lambda *_: object(),
        Workspace=lambda pointer, nbytes: SimpleNamespace(pointer=pointer, nbytes=nbytes),
        keep_with_graph=lambda stream, kept: played.graphs[stream].append(kept),
        graphs=defaultdict(list),
    )
    monkeypatch.setattr(memory, "engine", lambda: played)
    monkeypatch.setattr(streams, "engine", lambda: played)
    monkeypatch.setattr(memory, "_streams", {})
    monkeypatch.setattr(streams, "_graphs", weakref.WeakValueDictionary())
    return played


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
    buffer = buffers.buffer(gpu, 0, gpu.stream(0), capture=1)
    assert buffer.workspace.nbytes == streams._SMALL
    assert buffers.buffer(gpu, 0, gpu.stream(0), capture=1) is buffer


def test_graphs_in_turns_take_no_more_than_one(played_engine):
    gpu, buffers, captures = PlayedMemory(), streams.StreamBuffers(), count(1)
    stream = gpu.stream(0)
    kept = buffers.buffer(gpu, 0, stream, 0)
    for _ in range(5 * streams._STOCK):
        capture = next(captures)
        graph = buffers.buffer(gpu, 0, stream, capture)
        assert graph.workspace.pointer != kept.workspace.pointer
        assert buffers.buffer(gpu, 0, stream, capture) is graph
        del graph
        played_engine.graphs.clear()
    assert gpu.made == 1
    assert list(buffers._buffers.values()) == [kept]
    assert len(buffers._stock[gpu, 0]) == streams._STOCK - 1
    assert not streams._graphs


def test_a_matrix_gives_up_what_a_graph_walks_and_takes_it_back(played_engine, monkeypatch):
    gpu, made = PlayedMemory(), []

    def arrange(kind):
        def arranged(*_):
            made.append(kind)
            return SimpleNamespace(nbytes=64, fill=lambda *_: None, matmul=lambda *_: 0)

        return arranged

    played_engine.capture = 0
    played_engine.capture_id = lambda _: played_engine.capture
    played_engine.PackedMatrix = SimpleNamespace
    played_engine.has_bitmap_tiles = lambda *_: True
    for kind in ("delta_rows", "bitmap_tiles"):
        setattr(played_engine, f"{kind}_workspace", lambda *_: 0)
        setattr(played_engine, f"arrange_{kind}", arrange(kind))
    monkeypatch.setattr(packed, "engine", lambda: played_engine)
    monkeypatch.setattr(packed, "_buffers", streams.StreamBuffers())
    monkeypatch.setattr(packed, "handle", lambda *_: object())
    parts = packed.Parts(*(np.zeros(8, "int32") for _ in range(4)))
    matrix = packed.DeviceMatrix(gpu, "bitmap", "float16", (64, 64), parts)
    monkeypatch.setattr(matrix, "packed", lambda: parts)

    def product(count, capture):
        played_engine.capture = capture
        matrix.matmul(np.zeros((count, 64), "float16"), False)
        played_engine.capture = 0

    product(1, 0)
    assert matrix.drop_packed()
    product(1, 1)
    walked = weakref.ref(matrix._arranged["delta_rows"])
    matrix.lay_out(40, "float16")
    assert list(matrix._arranged) == ["bitmap_tiles"]
    product(1, 2)  # of what the first graph keeps
    matrix.lay_out(1, "float16")
    assert list(matrix._arranged.values()) == [walked()]
    matrix.lay_out(40, "float16")
    assert made == ["delta_rows", "bitmap_tiles", "bitmap_tiles"]
    owner = PlayedMemory()
    kept = weakref.ref(owner)
    assert matrix.leave_to_graphs(owner)  # of its scales
    del owner
    assert kept() is not None
    played_engine.graphs.clear()
    assert kept() is None
    assert walked() is None
    assert not matrix.leave_to_graphs(None)
    with pytest.raises(RuntimeError, match="cannot be captured"):
        product(1, 3)


def test_what_graphs_had_beyond_the_stock_is_freed_with_them(played_engine):
    gpu, buffers = PlayedMemory(), streams.StreamBuffers()
    stream = gpu.stream(0)
    buffers.buffer(gpu, 0, stream, 0)
    numbers = range(1, 2 * streams._STOCK)
    graphs = [buffers.buffer(gpu, 0, stream, n) for n in numbers]
    graphs.append(buffers.buffer(gpu, 0, stream, 1, 3 * streams._SMALL))  # it grows
    assert len({graph.workspace.pointer for graph in graphs}) == len(graphs)
    assert gpu.made == streams._STOCK + 2
    freed = [weakref.ref(graph.array) for graph in graphs]
    del graphs
    assert all(array() is not None for array in freed)
    played_engine.graphs.clear()
    assert sum(array() is None for array in freed) == streams._STOCK + 1
    assert len(buffers._stock[gpu, 0]) == streams._STOCK - 1


def test_a_stream_gives_up_what_it_outgrew_but_not_to_others():
    gpu, buffers = PlayedMemory(), streams.StreamBuffers()
    stream = gpu.stream(0)
    small, *larger = (buffers.buffer(gpu, 0, stream, 0, n << 18) for n in (1, 2, 3))
    freed = [weakref.ref(buffer.array) for buffer in larger]
    del larger
    assert [array() is None for array in freed] == [True, False]
    others = [buffers.buffer(gpu, 0, object(), 0) for _ in range(2 * streams._STOCK)]
    assert small.workspace.pointer not in {other.workspace.pointer for other in others}
