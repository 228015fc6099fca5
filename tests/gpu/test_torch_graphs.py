# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs, PyTorch's compiler and streams, with sparse and packed products."""

import gossamer as gs
import pytest

torch = pytest.importorskip("torch")


def sparse_matrix(rows=600, cols=400, density=0.05, seed=0):
    torch.manual_seed(seed)
    dense = torch.randn(rows, cols, device="cuda")
    return gs.fromdense(dense * (torch.rand(rows, cols, device="cuda") < density))


def packed_matrix(rows=512, cols=512, density=0.4, seed=0):
    torch.manual_seed(seed)
    dense = torch.randn(rows, cols, device="cuda", dtype=torch.float16)
    return gs.compress(dense * (torch.rand(rows, cols, device="cuda") < density))


def captured(call):
    """A CUDA graph of a call that was made once before, and its result."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()
    return graph, result


def test_a_chain_of_packed_products_in_a_graph_has_the_bits_of_single_ones():
    shapes = [(900, 512), (512, 900)] * 3  # they need different amounts of shared memory
    matrices = [packed_matrix(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    x = torch.randn(512, device="cuda", dtype=torch.float16) * 0.01

    def chain():
        y, along = x, []
        for i, P in enumerate(matrices):
            y = P @ y
            if i % 3 == 2:  # another kernel in between
                y = y * 0.01
            along.append(y)
        return along

    graph, results = captured(chain)
    for _ in range(20):
        x.copy_(torch.randn_like(x) * 0.01)
        expected = chain()
        graph.replay()
        torch.cuda.synchronize()
        for found, right in zip(results, expected, strict=True):
            assert torch.equal(found, right)


def test_a_chain_of_sparse_and_packed_products_in_a_graph_has_the_bits_of_single_ones():
    square = sparse_matrix(500, 500)
    dense = torch.zeros(500, 500, device="cuda")
    dense[7] = 1  # uneven rows
    uneven = gs.fromdense(dense + torch.eye(500, device="cuda"))
    P = packed_matrix(500, 500)
    x = torch.randn(500, 3, device="cuda") * 0.1

    def chain():
        y = square @ x
        y = square @ (uneven @ (square @ y)) * 0.01
        z = square @ y[:, 0]
        packed = P @ (uneven @ z).half()
        return y, z, square @ (uneven @ packed.float())

    graph, results = captured(chain)
    for _ in range(20):
        x.copy_(torch.randn_like(x) * 0.1)
        square.data.copy_(torch.randn_like(square.data) * 0.1)  # read after the kernels before
        expected = chain()
        graph.replay()
        torch.cuda.synchronize()
        for found, right in zip(results, expected, strict=True):
            assert torch.equal(found, right)


def test_weights_written_right_before_a_captured_product_are_read():
    P = packed_matrix()
    x = torch.ones(512, device="cuda", dtype=torch.float16)

    def two():
        return P @ x, P @ x

    graph, results = captured(two)
    P._storage.values.mul_(2)
    expected = P @ x  # of a new arrangement: graphs keep the one that they were captured with
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0] * 2, expected)


def test_a_training_step_in_a_graph():
    torch.manual_seed(0)
    layer = gs.nn.SparseLinear.from_mask(torch.rand(300, 200) < 0.1).cuda()
    twin = gs.nn.SparseLinear.from_mask(torch.rand(300, 200) < 0.1).cuda()
    twin.load_state_dict(layer.state_dict())
    x = torch.randn(8, 200, device="cuda", requires_grad=True)

    def step(model):
        for parameter in model.parameters():
            parameter.grad = None
        model(x).square().sum().backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 1e-3 * parameter.grad

    graph, _ = captured(lambda: step(layer))
    twin.load_state_dict(layer.state_dict())
    for _ in range(3):
        graph.replay()
        step(twin)
    torch.cuda.synchronize()
    for mine, other in zip(layer.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_compiled_products():
    pytest.importorskip("triton")
    A, P = sparse_matrix(512, 512), packed_matrix()

    def model(x):
        y = torch.relu(A @ x) + 1
        return (P @ y.half()).float() * 2

    compiled = torch.compile(model, fullgraph=True)
    for seed in range(4):
        torch.manual_seed(seed)
        x = torch.randn(512, device="cuda")
        torch.testing.assert_close(compiled(x), model(x), rtol=1e-2, atol=1e-2)


def test_compiled_products_and_gradients_in_graphs():
    pytest.importorskip("triton")
    A = sparse_matrix()
    x = torch.randn(400, 4, device="cuda", requires_grad=True)
    (A @ x).sum().backward()  # what the GPU keeps is made outside of the compiler's graphs

    def loss(x):
        return (A @ x).square().sum()

    compiled = torch.compile(loss, fullgraph=True, mode="reduce-overhead")
    for _ in range(3):
        (expected,) = torch.autograd.grad(loss(x), x)
        (found,) = torch.autograd.grad(compiled(x), x)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_compiled_packed_products_in_graphs():
    pytest.importorskip("triton")
    P = packed_matrix()
    x = torch.randn(512, device="cuda").half()
    expected = torch.relu(P @ x)  # what the GPU keeps is made outside of the compiler's graphs
    compiled = torch.compile(lambda x: torch.relu(P @ x), fullgraph=True, mode="reduce-overhead")
    for _ in range(4):
        torch.testing.assert_close(compiled(x), expected)


def test_products_run_on_the_current_stream():
    A, P = sparse_matrix(512, 512), packed_matrix()
    x = torch.zeros(512, device="cuda")
    A @ x, P @ x.half()
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)  # some milliseconds, after which x is written
        x.fill_(1)
        y, z = A @ x, P @ x.half()
    side.synchronize()
    torch.testing.assert_close(y, A.todense() @ torch.ones(512, device="cuda"))
    assert z.abs().sum() > 0
