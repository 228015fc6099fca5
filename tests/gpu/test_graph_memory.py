# SPDX-License-Identifier: Apache-2.0
"""What CUDA graphs keep: as long as they are there, and no longer."""

import time

import gossamer as gs
import pytest

torch = pytest.importorskip("torch")

from allocation import allocated  # noqa: E402


def half_empty(rows=600, cols=512, density=0.5, seed=0):
    torch.manual_seed(seed)
    dense = torch.randn(rows, cols, device="cuda", dtype=torch.float16)
    return dense * (torch.rand(rows, cols, device="cuda") < density)


def packed_layer(dtype=None):
    return gs.nn.PackedLinear(gs.compress(half_empty(), "bitmap", dtype))


def vectors(count, cols=512):
    return torch.randn(count, cols, device="cuda", dtype=torch.float16)


def captured(call, *arguments):
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call(*arguments)
    return graph, result


def replayed(graph, result):
    result.fill_(torch.nan)
    graph.replay()
    torch.cuda.synchronize()
    return result


def products():
    """Products that a graph needs memory for, each with an operand; all were made once."""
    P = gs.compress(half_empty())
    A = gs.fromdense(half_empty(density=0.1).float())
    calls = [
        *((P.__matmul__, vectors(count).T) for count in (1, 40, 200)),
        *((P.T.__matmul__, vectors(count, 600).T) for count in (1, 200)),
        *((A.__matmul__, vectors(count).T.float()) for count in (1, 5)),
    ]
    for call, x in calls:
        call(x)
    return calls


def test_a_hundred_graphs_in_turns_take_no_more_than_one():
    calls = products()
    expected = [call(x) for call, x in calls]

    def turn():
        graph, results = captured(lambda: [call(x) for call, x in calls])
        graph.replay()
        torch.cuda.synchronize()
        assert all(map(torch.equal, results, expected))

    turn()
    before = allocated()
    for _ in range(100):
        turn()
    assert allocated(before) <= before


def test_graphs_beside_each_other_have_memory_of_their_own():
    calls, streams = products(), [torch.cuda.Stream() for _ in range(8)]
    captured(lambda: [call(x) for call, x in calls])
    before = allocated()
    graphs = [captured(call, x) for _ in range(6) for call, x in calls]
    expected = [call(x) for _ in range(6) for call, x in calls]
    torch.cuda.synchronize()
    for _ in range(10):
        for i, (graph, _) in enumerate(graphs):
            with torch.cuda.stream(streams[i % len(streams)]):
                graph.replay()
    torch.cuda.synchronize()
    assert all(
        torch.equal(found, right) for (_, found), right in zip(graphs, expected, strict=True)
    )
    del expected, graphs, graph, _
    assert allocated(before) <= before


def test_a_graph_that_is_dropped_while_it_runs_keeps_its_memory():
    P, x = gs.compress(half_empty()), vectors(1)[0] * 0.01
    expected, side = P @ x, torch.cuda.Stream()
    with torch.cuda.stream(side):
        P @ x
    torch.cuda.synchronize()
    for _ in range(20):
        graph, found = captured(lambda: [P @ x for _ in range(200)])
        with torch.cuda.stream(side):
            torch.cuda._sleep(2_000_000)
            graph.replay()
        del graph
        other, beside = captured(lambda: [P @ x for _ in range(200)])
        other.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(y, expected) for y in (*found, *beside))


def test_captures_that_fail_keep_nothing():
    calls = products()

    def fail():
        for call, x in calls:
            call(x)
        raise RuntimeError("midway")

    def attempt():
        with pytest.raises(RuntimeError, match="midway"):
            captured(fail)

    attempt()
    before = allocated()
    for _ in range(40):
        attempt()
    assert allocated(before) <= before


def test_a_graph_outlives_its_matrix():
    products()  # streams have what they keep
    before = allocated()
    P, x = gs.compress(half_empty()), vectors(1)[0]
    expected = P @ x
    graph, y = captured(P.__matmul__, x)
    del P
    reused = [torch.full((1 << 18,), 0xFF, dtype=torch.uint8, device="cuda") for _ in range(16)]
    assert torch.equal(replayed(graph, y), expected)
    del reused, expected, graph, x, y
    assert allocated(before) <= before


def test_a_matrix_that_is_gone_has_left_nothing():
    products()
    P = gs.compress(half_empty(seed=1))
    P @ vectors(1)[0]
    rest = allocated() - P.nbytes - P._storage._on_device().nbytes
    del P
    assert allocated(rest) <= rest


def test_a_layer_gives_up_what_a_graph_walks_and_takes_it_back():
    layer, x = packed_layer(), {count: vectors(count) for count in (1, 40)}
    expected = {count: layer(x[count]) for count in (1, 40)}
    sizes = {}
    for count in (40, 1):
        layer.lay_out(count)
        expected[count] = layer(x[count])
        sizes[count] = allocated()
    graph, y = captured(layer, x[1])
    layer.lay_out(40)
    both = allocated()
    assert both > max(sizes.values())
    assert torch.equal(layer(x[40]), expected[40])
    assert torch.equal(replayed(graph, y), expected[1])
    again, z = captured(layer, x[1])  # which it does not have itself
    assert torch.equal(replayed(again, z), expected[1])
    layer.lay_out(1)
    assert allocated(both) < both
    del graph, again
    assert torch.equal(layer(x[1]), expected[1])
    layer.lay_out(40)
    del y, z
    assert allocated(sizes[40]) <= sizes[40]


def test_packed_arrays_are_given_up_when_the_last_graph_that_reads_them_is_gone():
    layer, x = packed_layer(), vectors(256)
    expected = layer(x)
    graph, y = captured(layer, x)
    for _ in range(2):
        layer(x[:1])
        assert layer.values.numel()
        assert torch.equal(replayed(graph, y), expected)
    del graph
    for _ in range(100):
        layer(x[:1])
        if not layer.values.numel():
            break
        time.sleep(0.01)
    assert not layer.values.numel()


@pytest.mark.parametrize("count", [1, 256])
def test_scales_that_a_graph_reads_are_not_written_to(count):
    layer, x = packed_layer("int8"), vectors(count)
    other = gs.nn.PackedLinear(gs.compress(half_empty(seed=1) * 3, "bitmap", "int8"))
    expected = layer(x)
    graph, y = captured(layer, x)
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(x), other(x))
    assert torch.equal(replayed(graph, y), expected)
