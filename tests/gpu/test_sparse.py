# SPDX-License-Identifier: Apache-2.0
"""Sparse containers over arrays of CuPy and PyTorch on a GPU: the CPU's battery and bounds."""

from importlib.util import find_spec

import gossamer as gs
import numpy as np
import pytest
from cases import build, dense, every_dense_matrix, every_matrix, named, operand, product
from error_bound import BFLOAT16, assert_within
from gossamer.arrays import adapter_of
from gossamer.cuda import memory_of

FRAMEWORKS = [name for name in ("cupy", "torch") if find_spec(name)]
DTYPES = [np.dtype(name) for name in ("float16", "float32", "float64", "complex64", "complex128")]

every_framework = pytest.mark.parametrize("framework", FRAMEWORKS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def to_gpu(x, framework):
    if framework == "torch":
        import torch

        return torch.from_numpy(np.ascontiguousarray(x)).cuda()
    import cupy

    return cupy.asarray(x)


def to_host(x):
    return memory_of(x).to_host(x)


def on_gpu(A, framework):
    """The container with its values on the GPU."""
    data = to_gpu(A.data, framework)
    return A._with_data(data, adapter_of(data))


@every_framework
@every_dtype
@every_matrix
def test_products(framework, dtype, matrix):
    for format in ("csr", "csc", "coo"):
        A = on_gpu(build(matrix, dtype, format), framework)
        x = operand((matrix.cols,), dtype)
        assert_within(to_host(A @ to_gpu(x, framework)), product(matrix, dtype, x), dtype)
        z = operand((matrix.rows,), dtype)
        assert_within(
            to_host(to_gpu(z, framework) @ A), product(matrix, dtype, z, transpose=True), dtype
        )
        X = operand((matrix.cols, 8), dtype)
        assert_within(to_host(A @ to_gpu(X, framework)), product(matrix, dtype, X), dtype)


@every_framework
@every_dense_matrix
def test_int64_indices_and_batches(framework, matrix):
    dtype = np.dtype(np.float32)
    A = on_gpu(build(matrix, dtype, index_dtype=np.int64), framework)
    X = operand((2, 3, matrix.cols, 5), dtype)
    Y = to_host(A @ to_gpu(X, framework))
    assert Y.shape == (2, 3, matrix.rows, 5)
    for i in range(2):
        for j in range(3):
            assert_within(Y[i, j], product(matrix, dtype, X[i, j]), dtype)
    flipped = to_gpu(X, framework)[..., ::2]
    assert_within(to_host(A @ flipped)[1, 2], product(matrix, dtype, X[1, 2, :, ::2]), dtype)


@every_framework
@every_dtype
@every_dense_matrix
def test_todense_and_conversions(framework, dtype, matrix):
    A = on_gpu(build(matrix, dtype, "coo"), framework)
    expected = dense(matrix, dtype)
    for converted in (A, A.tocsr(), A.tocsc(), A.tocsr(canonical=True), A.T.T.tocoo()):
        assert_within(to_host(converted.todense()), expected, dtype)


@every_framework
@every_dense_matrix
def test_reductions_and_sampled_products(framework, matrix):
    dtype = np.dtype(np.float64)
    A = build(matrix, dtype)
    B = on_gpu(A, framework)
    ones = np.ones(matrix.cols)
    assert_within(to_host(B.row_sums()), product(matrix, dtype, ones), dtype)
    U, V = operand((matrix.rows, 3), dtype), operand((matrix.cols, 3), dtype)
    sampled = gs.sddmm(B, to_gpu(U, framework), to_gpu(V, framework))
    np.testing.assert_allclose(
        to_host(sampled.data), gs.sddmm(A, U, V).data, rtol=1e-12, atol=1e-12
    )


@every_framework
def test_sparse_products(framework):
    for name in ("random_1e-2", "unsorted", "duplicates", "power_law"):
        A = build(named(name), np.float64)
        B = on_gpu(A, framework)
        C, expected = B @ B.T, (A @ A.T).tocsr()
        assert np.array_equal(C.indices, expected.indices)
        np.testing.assert_allclose(to_host(C.data), expected.data, rtol=1e-10, atol=1e-10)


@every_framework
def test_the_same_bits_200_times(framework):
    for name in ("power_law", "long_row", "banded", "random_0.5"):
        A = on_gpu(build(named(name), np.float32), framework)
        for shape in ((A.shape[1],), (A.shape[1], 64)):
            x = to_gpu(operand(shape, np.float32), framework)
            first = to_host(A @ x)
            assert all(np.array_equal(to_host(A @ x), first, equal_nan=True) for _ in range(200))


@every_framework
def test_arrays_of_the_gpu_make_containers(framework):
    data = to_gpu(np.array([1.0, 2.0, 3.0], np.float32), framework)
    indices, indptr = (to_gpu(np.array(x), framework) for x in ([0, 2, 1], [0, 2, 3]))
    A = gs.csr_array((data, indices, indptr), (2, 3))
    assert A.device.type == "gpu"
    assert to_host(A @ to_gpu(np.array([1, 10, 100], np.float32), framework)).tolist() == [201, 30]
    assert A.to("cpu").device.type == "cpu"
    with pytest.raises(ValueError, match=r"indices\[1\] = 9"):
        gs.csr_array((data, to_gpu(np.array([0, 9, 1]), framework), indptr), (2, 3))


def test_to_moves_there_and_back():
    A = build(named("banded"), np.float32)
    B = A.to("cuda")
    assert B.device.type == "gpu"
    x = operand((A.shape[1],), np.float32)
    y = B @ to_gpu(x, type(B.data).__module__.partition(".")[0])
    np.testing.assert_allclose(to_host(y), A @ x, rtol=1e-4, atol=1e-4)
    assert np.array_equal(B.to("cpu").data, A.data)


@every_framework
def test_errors_leave_the_process_usable(framework):
    A = on_gpu(build(named("banded"), np.float32), framework)
    with pytest.raises(ValueError, match="x has shape"):
        A @ to_gpu(np.ones(3, np.float32), framework)
    with pytest.raises(TypeError):
        A @ np.ones(A.shape[1], np.float32)
    x = to_gpu(np.ones(A.shape[1], np.float32), framework)
    assert np.isfinite(to_host(A @ x)).all()


def test_bfloat16_tensors():
    torch = pytest.importorskip("torch")
    matrix = named("random_0.1")
    A = build(matrix, np.float32)
    data = torch.from_numpy(A.data).to(torch.bfloat16).cuda()
    B = gs.csr_array((data, A.indices, A.indptr), A.shape)
    x = torch.randn(matrix.cols).to(torch.bfloat16)
    reference = product(matrix, BFLOAT16, x.float().numpy().astype(BFLOAT16))
    assert_within(to_host(B @ x.cuda()), reference, BFLOAT16)


def test_products_in_a_cuda_graph_and_gradients():
    torch = pytest.importorskip("torch")
    for name in ("banded", "power_law", "long_row"):
        A = on_gpu(build(named(name), np.float32), "torch")
        x = torch.randn(A.shape[1], 4, device="cuda")
        A @ x
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = A @ x
        x.copy_(torch.randn_like(x))
        expected = A @ x
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, expected)
        x.requires_grad_()
        (A @ x).square().sum().backward()
        D = A.todense().double()
        torch.testing.assert_close(
            x.grad.double(), 2 * D.T @ (D @ x.detach().double()), rtol=1e-3, atol=1e-3
        )


def uneven(rows):
    """A matrix whose rows are of all lengths, some of them longer than a block takes at once."""
    lengths = np.random.default_rng(0).integers(0, 9, rows)
    lengths[:: rows // 5] = 9000
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    indices = np.concatenate([np.arange(n) for n in lengths]).astype(np.int32)
    values = np.random.default_rng(1).standard_normal(len(indices)).astype(np.float32)
    return gs.csr_array((values, indices, indptr), shape=(rows, 9001))


@pytest.mark.parametrize("dtype", ["float32", "float16", "complex64", "float64"])
@pytest.mark.parametrize("leading", [(), (5,), (2, 3), (0,)], ids=str)
@pytest.mark.parametrize("rows", [70, 300, 100_000])
def test_a_layer_adds_its_bias(dtype, leading, rows):
    torch = pytest.importorskip("torch")
    A = on_gpu(
        uneven(rows) if rows > 100 else gs.random_array((rows, 50), density=0.3, rng=0), "torch"
    )
    A = A.tocsr().astype(getattr(torch, dtype))
    generator = torch.Generator("cuda").manual_seed(0)
    b = torch.randn(rows, generator=generator, device="cuda", dtype=A.dtype)
    shape = *leading, A.shape[1]
    x = torch.randn(shape, generator=generator, device="cuda", dtype=A.dtype).requires_grad_()
    layer = gs.nn.SparseLinear(A, b)
    with torch.no_grad():
        expected = x @ A.T + b
    y = layer(x)
    assert torch.equal(y, expected)
    g = torch.randn(y.shape, generator=generator, device="cuda", dtype=A.dtype)
    gradients = torch.autograd.grad(y, (x, layer.values, layer.bias), g)
    plain = gs.nn.SparseLinear(A)
    by_x, by_values = torch.autograd.grad(plain(x), (x, plain.values), g)
    assert torch.equal(gradients[0], by_x)
    assert torch.equal(gradients[1], by_values)
    torch.testing.assert_close(gradients[2], g.reshape(-1, rows).sum(0), rtol=1e-2, atol=1e-2)


@every_framework
@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("rows", [300, 100_000])
def test_transposed_products_are_those_of_the_transpose(framework, rows, k):
    A = on_gpu(uneven(rows), framework)
    T = on_gpu(uneven(rows).T.tocsr(), framework)  # values in the transpose's order
    X = to_gpu(np.random.default_rng(2).standard_normal((rows, k)).astype(np.float32), framework)
    assert (to_host(A.T @ X) == to_host(T @ X)).all()
    assert (to_host(A.T @ X[:, 0]) == to_host(T @ X[:, 0])).all()


def test_memory_that_is_short_is_said_and_the_process_goes_on():
    torch = pytest.importorskip("torch")
    A = on_gpu(uneven(300), "torch")
    P = gs.compress(torch.eye(40, dtype=torch.float16, device="cuda"))
    # Columns that are one, and results of far more bytes than the GPU has.
    x = torch.ones(A.shape[1], device="cuda")
    z = torch.ones(40, dtype=torch.float16, device="cuda")
    wide = x[:, None].expand(-1, 1 << 33), z[:, None].expand(-1, 1 << 34)
    before = torch.cuda.memory_allocated()
    for matrix, X in zip((A, P), wide, strict=True):
        for _ in range(2):
            with pytest.raises(torch.OutOfMemoryError, match="Tried to allocate"):
                matrix @ X
    assert torch.cuda.memory_allocated() < before + (1 << 28)
    torch.testing.assert_close(A @ x, A.todense() @ x, rtol=1e-3, atol=1e-2)
    assert torch.equal(P @ z, z)


def test_a_workspace_that_does_not_fit_leaves_the_process_usable(monkeypatch):
    torch = pytest.importorskip("torch")
    from gossamer.arrays.torch.cuda import memory

    A = on_gpu(uneven(300), "torch")
    X = torch.ones(A.shape[1], 256, device="cuda")
    expected = A @ X
    P = gs.compress(torch.eye(40, dtype=torch.float16, device="cuda"), "bitmap")
    z = torch.ones(40, dtype=torch.float16, device="cuda")
    with monkeypatch.context() as short:

        def allocate(*_):
            raise torch.OutOfMemoryError("CUDA out of memory")

        short.setattr(memory, "empty", allocate, raising=False)
        with pytest.raises(torch.OutOfMemoryError):
            A @ X.mT.contiguous().mT  # is copied
        with pytest.raises(torch.OutOfMemoryError):
            P @ z  # lays the matrix out
    assert torch.equal(A @ X, expected)
    assert torch.equal(P @ z, z)
