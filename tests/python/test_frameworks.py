# SPDX-License-Identifier: Apache-2.0
"""One suite for PyTorch, MLX and JAX: products within the error bound, gradients, refusals."""

import os
import re
import subprocess
import sys
from pathlib import Path

import gossamer
import numpy as np
import pytest
from battery.battery import matrices
from cases import build, every_format, every_matrix, named, operand, product
from differentiability import MODES, OPERATIONS, REFUSED, attempt, table
from error_bound import BFLOAT16, assert_within
from frameworks import FRAMEWORKS, every_framework

GUIDE = Path(__file__).parents[2] / "docs" / "frameworks.md"
FLOAT32 = np.dtype(np.float32)


def taken_over(A, framework):
    """A container of NumPy arrays as one of the framework's."""
    data, indices = framework.array(A.data), [framework.array(x) for x in A._index_arrays()]
    if A.format == "coo":
        return gossamer.coo_array((data, tuple(indices)), A.shape)
    make = gossamer.csr_array if A.format == "csr" else gossamer.csc_array
    return make((data, *indices), A.shape)


@every_matrix
@every_framework
def test_products(framework, matrix):
    x, X = operand((matrix.cols,), FLOAT32), operand((matrix.cols, 3), FLOAT32)
    z, Z = operand((matrix.rows,), FLOAT32), operand((5, matrix.rows), FLOAT32)
    A = taken_over(build(matrix, FLOAT32), framework)
    for B in (A, A.tocsc(), A.tocoo()):
        y = framework.numpy(B @ framework.array(x))
        assert y.dtype == FLOAT32
        assert_within(y, product(matrix, FLOAT32, x), FLOAT32)
        assert_within(framework.numpy(B @ framework.array(X)), product(matrix, FLOAT32, X), FLOAT32)
        assert_within(
            framework.numpy(B.__rmatmul__(framework.array(z))),
            product(matrix, FLOAT32, z, transpose=True),
            FLOAT32,
        )
        assert_within(
            framework.numpy(B.__rmatmul__(framework.array(Z))).T,
            product(matrix, FLOAT32, Z.T, transpose=True),
            FLOAT32,
        )


@every_format
@pytest.mark.parametrize("name", ["float16", "bfloat16", "float64", "complex64", "complex128"])
@every_framework
def test_dtypes_and_ranks(framework, name, format):
    if name not in framework.dtypes:
        pytest.skip(f"{framework.name} has no {name}")
    dtype = BFLOAT16 if name == "bfloat16" else np.dtype(name)
    matrix = named("random_0.1")
    A = taken_over(build(matrix, dtype, format), framework)
    X = operand((2, 1, matrix.cols, 3), dtype)
    Y = framework.numpy(A @ framework.array(X))
    assert (Y.dtype, Y.shape) == (dtype, (2, 1, matrix.rows, 3))
    for i in range(2):
        assert_within(Y[i, 0], product(matrix, dtype, X[i, 0]), dtype)
    Z = operand((2, 3, matrix.rows), dtype)
    W = framework.numpy(A.__rmatmul__(framework.array(Z)))
    for i in range(2):
        expected = product(matrix, dtype, Z[i].T, transpose=True)
        assert_within(W[i].T, expected, dtype)
    dense = framework.numpy(A.todense())
    np.testing.assert_array_equal(dense, build(matrix, dtype).todense())


@every_format
@every_framework
def test_elementwise_products_have_gradients(framework, format):
    """The sum of A ∘ B is linear in the values of A: its gradient by them is B at their places."""
    matrix = named("duplicates")
    A = taken_over(build(matrix, FLOAT32, format), framework)
    dense = operand((matrix.rows, matrix.cols), FLOAT32)
    B = gossamer.fromdense(framework.array(dense * (dense > 0)))
    row, col = build(matrix, FLOAT32, format).tocoo().coords
    for other, expected in (
        (framework.array(dense), dense[row, col]),
        (framework.array(dense[0]), dense[0, col]),
        (B, (dense * (dense > 0))[row, col]),
    ):
        gradient = framework.gradient(
            lambda data, other=other: A._with_data(data).multiply(other).data.sum(), A.data
        )
        np.testing.assert_allclose(framework.numpy(gradient), expected, rtol=1e-6)


@every_framework
def test_the_example_of_the_predecessor(framework):
    """512 × 512 at 0.2%, a batch of 8: product and gradient against the dense result."""
    scipy_sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(7)
    sp = scipy_sparse.random_array((512, 512), density=0.002, format="csr", rng=rng)
    sp = sp.astype(np.float32)
    parts = (sp.data, sp.indices.astype(np.int32), sp.indptr.astype(np.int32))
    A = gossamer.csr_array(
        tuple(framework.array(part) for part in parts),
        shape=sp.shape,
        sorted_indices=True,
        canonical=True,
    )
    B = rng.standard_normal((8, 512, 16)).astype(np.float32)
    coo = sp.tocoo()
    matrix = named("unsorted")._replace(rows=512, cols=512, row=coo.row, col=coo.col, data=coo.data)
    Y = framework.numpy(A @ framework.array(B))
    gradient = framework.numpy(
        framework.gradient(lambda B: ((A @ B) ** 2).sum(), framework.array(B))
    )
    for i in range(8):
        assert_within(Y[i], product(matrix, FLOAT32, B[i]), FLOAT32)
        # Of what the framework got: twice the product, exactly.
        expected = product(matrix, FLOAT32, 2 * Y[i], transpose=True)
        assert_within(gradient[i], expected, FLOAT32)


# ---- gradients -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", OPERATIONS)
@every_framework
def test_differentiable_by_the_stored_values(framework, name, mode):
    refusal = REFUSED.get((framework.name, mode), {}).get(name)
    if refusal is not None:
        with pytest.raises(Exception, match=refusal):
            attempt(name, mode, framework)
        return
    got, expected = attempt(name, mode, framework)
    assert got == pytest.approx(expected, rel=1e-6)


def test_the_table_of_the_docs_is_the_tested_one():
    assert table() in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("shape", [(7,), (7, 3), (2, 7, 3)])
@every_framework
def test_gradients_by_the_operand(framework, shape):
    D = np.random.default_rng(0).standard_normal((9, 7))
    D[D < 0.3] = 0
    x = np.random.default_rng(1).standard_normal(shape)
    A, given = gossamer.fromdense(framework.array(D)), framework.array(x)
    loss = lambda x: ((A @ x) ** 2).sum()  # noqa: E731
    expected = D.T @ (2 * (D @ x))
    got = framework.numpy(framework.gradient(loss, given))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    moved = framework.forward(lambda x: A @ x, given, given)
    np.testing.assert_allclose(framework.numpy(moved), D @ x, rtol=1e-12)
    compiled = framework.compiled(lambda x: A @ x)(given)
    np.testing.assert_allclose(framework.numpy(compiled), D @ x, rtol=1e-12)


@every_framework
def test_batches_of_operands_and_of_values(framework):
    D = np.random.default_rng(0).standard_normal((9, 7))
    D[D < 0.3] = 0
    A = gossamer.fromdense(framework.array(D))
    X = np.random.default_rng(1).standard_normal((4, 7))
    rows = framework.numpy(framework.batched(lambda x: A @ x, framework.array(X)))
    np.testing.assert_allclose(rows, X @ D.T, rtol=1e-12)
    V = np.random.default_rng(2).standard_normal((3, A.nnz))
    x = framework.array(X[0])
    many = framework.batched(lambda v: A._with_data(v) @ x, framework.array(V))
    for i in range(3):
        expected = framework.numpy(A._with_data(framework.array(V[i])) @ x)
        np.testing.assert_allclose(framework.numpy(many)[i], expected, rtol=1e-12)


@every_framework
def test_batches_of_none(framework):
    """A batch without members has the shape that members would have."""
    D = np.eye(9, 7, dtype=np.float32)
    A, x = gossamer.fromdense(framework.array(D)), framework.array(np.ones(7, np.float32))
    none = lambda *shape: framework.array(np.zeros((0, *shape), np.float32))  # noqa: E731
    assert framework.batched(lambda x: A @ x, none(7)).shape == (0, 9)
    assert framework.batched(lambda x: A @ x, none(7, 2)).shape == (0, 9, 2)
    assert framework.batched(lambda v: A.with_data(v) @ x, none(A.nnz)).shape == (0, 9)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4, 3)])
@every_framework
def test_compiled_without_stored_values(framework, shape):
    A = gossamer.fromdense(framework.array(np.zeros(shape)))
    X = framework.array(np.ones((shape[1], 2)))
    for function in (
        lambda v: A.with_data(v) @ X,
        lambda v: A.with_data(v).todense(),
        lambda v: A.with_data(v).sum(0),
        lambda v: A.with_data(v).tocsc().data,
    ):
        compiled = framework.numpy(framework.compiled(function)(A.data))
        np.testing.assert_array_equal(compiled, framework.numpy(function(A.data)))


@every_framework
def test_dtypes_are_written_as_the_framework_does(framework):
    of = {"torch": "torch.", "mlx": "mlx.core.", "jax": ""}[framework.name]
    A = gossamer.eye(3, dtype="float32")
    written = str(A).replace("float32", f"{of}float32").replace("int32", f"{of}int32")
    assert str(A.with_data(framework.array(A.data))) == written


@every_framework
def test_extremes_see_nan(framework):
    D = np.array([[1.0, np.nan, 0], [0, -2, -3], [-1, -2, -3]])
    A = gossamer.fromdense(framework.array(D))
    for axis in (0, 1):
        np.testing.assert_array_equal(framework.numpy(A.max(axis)), D.max(axis))
        np.testing.assert_array_equal(framework.numpy(A.min(axis)), D.min(axis))


@every_framework
def test_extremes_of_no_rows(framework):
    A = gossamer.fromdense(framework.array(np.zeros((0, 3), np.float32)))
    for axis, extremes in ((1, A.max(1)), (0, A.T.min(0))):
        assert extremes.shape == (0,), axis


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@every_framework
def test_equal_extremes_share_their_gradient(framework, dtype):
    """As in dense matrices, zeros included; those of rows 2 and 4 are stored in column 0."""
    D = np.array([[2.0, 2, 2, 0], [0, -1, -1, -3], [0, 0, -1, -2], [-1, -1, -1, -1], [0, 0, 5, 5]])
    stored = D != 0
    stored[[2, 4], 0] = True
    row, col = np.nonzero(stored)
    dtype = BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype)
    data = framework.array(D[stored].astype(dtype))
    A = gossamer.coo_array((data, (row, col)), D.shape)
    for name in ("max", "min"):
        for axis in (0, 1):
            largest = getattr(D, name)(axis, keepdims=True)
            weights = np.arange(1, largest.size + 1).astype(dtype)
            shares = (largest == D) / (largest == D).sum(axis, keepdims=True)
            expected = (shares * np.expand_dims(weights.astype(float), axis))[stored]
            along = lambda v, name=name, axis=axis: getattr(A.with_data(v), name)(axis)  # noqa: E731
            given = framework.array(weights)
            gradient = framework.gradient(lambda v: (along(v) * given).sum(), data)  # noqa: B023
            rtol = 1e-2 if dtype == BFLOAT16 else 1e-6
            np.testing.assert_allclose(framework.numpy(gradient).astype(float), expected, rtol)


@pytest.mark.parametrize("name", ["complex64", "complex128"])
@every_framework
def test_complex_gradients_follow_the_framework(framework, name):
    if name not in framework.dtypes:
        pytest.skip(f"{framework.name} has no {name}")
    rng = np.random.default_rng(3)
    D = (rng.standard_normal((5, 4)) + 1j * rng.standard_normal((5, 4))).astype(name)
    D[rng.random((5, 4)) < 0.5] = 0
    x = framework.array((rng.standard_normal(4) + 1j * rng.standard_normal(4)).astype(name))
    A, dense = gossamer.fromdense(framework.array(D)), framework.array(D)

    def loss(y):
        return ((y.real**3) + y.real * y.imag).sum()

    for sparse, full, at in (
        (lambda x: loss(A @ x), lambda x: loss(dense @ x), x),
        (lambda v: loss(A._with_data(v) @ x), lambda d: loss(d @ x), None),
    ):
        got = framework.numpy(framework.gradient(sparse, A.data if at is None else at))
        expected = framework.numpy(framework.gradient(full, dense if at is None else at))
        if at is None:
            expected = expected[D != 0]
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


MEMORY = """
import re, sys
from pathlib import Path
import numpy as np, gossamer
from frameworks import FRAMEWORKS

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) << 10

framework, n, k = FRAMEWORKS[sys.argv[1]](), 1 << 15, 4
row, col = np.random.default_rng(1).integers(n, size=(2, 50_000), dtype=np.int32)
data = framework.array(np.ones(50_000, np.float32))
X = framework.array(np.ones((n, k), np.float32))
coo = gossamer.coo_array((data, (row, col)), (n, n))
A, P = coo.tocsr(canonical=True), gossamer.compress(coo.tocsr(canonical=True), "gap8")
before = peak()
for M in (A, A.tocsc(), coo, P):
    assert framework.gradient(lambda x: ((M @ x) ** 2).sum(), X).shape == X.shape
    gradient = framework.gradient(lambda v: ((M.with_data(v) @ X) ** 2).sum(), M.data)
    assert gradient.shape == M.data.shape
for function in (
    lambda v: A.with_data(v).matmat(A.T).data,
    lambda v: (A.with_data(v) + A.tocsc()).data,
    lambda v: A.with_data(v)[: n // 2].tocsc().data,
    lambda v: A.with_data(v).sum(0) + A.with_data(v).diagonal(0),
):
    assert framework.gradient(lambda v: (function(v) ** 2).sum(), A.data).shape == A.data.shape
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
@every_framework
def test_gradients_build_no_dense_matrix(framework):
    """The process's peak grows by a small part of the 4 GiB that one would take."""
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    command = [sys.executable, "-c", MEMORY, framework.name]
    environment = os.environ | {"PYTHONPATH": path}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert 0 < int(run.stdout) < 2**28


# ---- packed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("x_dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "float8_e4m3"])
@every_framework
def test_packed_products_have_the_bits_of_numpy(framework, dtype, x_dtype):
    W = np.random.default_rng(5).standard_normal((40, 70)).astype(np.float32)
    W[np.abs(W) < 0.7] = 0
    P, N = (
        gossamer.compress(framework.array(W), "bitmap", dtype),
        gossamer.compress(W, "bitmap", dtype),
    )
    cast = BFLOAT16 if x_dtype == "bfloat16" else np.dtype(x_dtype)
    x = np.random.default_rng(6).standard_normal((2, 70, 3)).astype(cast)
    y = framework.numpy(P @ framework.array(x))
    np.testing.assert_array_equal(y, N @ x)
    z = np.random.default_rng(6).standard_normal((3, 40)).astype(cast)
    got = framework.numpy(P.__rmatmul__(framework.array(z)))
    np.testing.assert_array_equal(got, z @ N)
    gradient = framework.gradient(lambda x: (P @ x).sum(), framework.array(x))
    ones = np.ones((2, 40, 3), (N @ x).dtype)
    np.testing.assert_array_equal(framework.numpy(gradient), (N.T @ ones).astype(cast))


def with_long_gaps():
    """A matrix whose 4-bit gaps need fillers."""
    W = np.random.default_rng(5).standard_normal((12, 70)).astype(np.float32)
    W[np.abs(W) < 1.3] = 0
    W[:, 3:40] = 0
    return W


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("shape", [(70,), (70, 3), (2, 70, 3)])
@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8", "dense"])
@every_framework
def test_gradients_by_packed_values(framework, format, shape, dtype):
    if format == "dense" and dtype != "float32":
        return
    W = with_long_gaps()
    P = gossamer.compress(framework.array(W), format, dtype)
    rng = np.random.default_rng(6)
    x = rng.integers(-4, 5, shape).astype(np.float32)  # so that sums are exact
    G = rng.integers(-4, 5, (*shape[:-2], 12, *shape[-1:]) if len(shape) > 1 else 12)
    G = G.astype(np.float32)
    given, weights = framework.array(x), framework.array(G)
    expected = np.einsum("...ik,...jk->...ij", *(a[:, None] if a.ndim == 1 else a for a in (G, x)))
    expected = expected.reshape(-1, 12, 70).sum(0)
    if format != "dense":
        expected = expected * (W != 0)
    gradient = framework.gradient(lambda v: ((P.with_data(v) @ given) * weights).sum(), P.data)
    got = P.with_data(gradient).decompress("float32")
    np.testing.assert_array_equal(framework.numpy(got), expected)
    swapped = framework.array(np.ascontiguousarray(np.moveaxis(x, -1, -2) if x.ndim > 1 else x))
    turned = np.moveaxis(G, -1, -2) if G.ndim > 1 else G
    weights = framework.array(np.ascontiguousarray(turned))
    again = framework.gradient(
        lambda v: ((P.with_data(v).T.__rmatmul__(swapped)) * weights).sum(), P.data
    )
    np.testing.assert_array_equal(framework.numpy(again), framework.numpy(gradient))


@every_framework
def test_packed_values_move_within_their_positions(framework):
    W = with_long_gaps()
    P = gossamer.compress(framework.array(W), "gap4")
    ones = framework.array(np.ones(P.data.shape, np.float32))
    assert P.data.shape[0] > P.nnz
    Q = P.with_data(ones)
    np.testing.assert_array_equal(framework.numpy(Q.decompress()), W != 0)
    assert Q.nnz == P.nnz == Q.tocsr().nnz
    x = framework.array(np.arange(70, dtype=np.float32))
    expected = (W != 0) @ np.arange(70, dtype=np.float32)
    np.testing.assert_array_equal(framework.numpy(Q @ x), expected)
    moved = framework.forward(lambda v: P.with_data(v) @ x, P.data, ones)
    np.testing.assert_array_equal(framework.numpy(moved), expected)
    twice = framework.gradient(lambda v: ((P.with_data(v) @ x) ** 2).sum(), ones)
    np.testing.assert_allclose(
        framework.numpy(P.with_data(twice).decompress()),
        (W != 0) * 2 * expected[:, None] * np.arange(70),
    )
    listed = P.with_data([1] * len(P.data))
    np.testing.assert_array_equal(framework.numpy(listed.data), framework.numpy(Q.data))
    with pytest.raises(ValueError, match=r"with_data: data has shape \(1,\)"):
        P.with_data(ones[:1])
    with pytest.raises(TypeError, match=r"with_data: data has dtype \w*64"):
        P.with_data(framework.array(np.ones(P.data.shape, np.complex64)))
    with pytest.raises(TypeError, match=r"values of int8, which are rounded"):
        gossamer.compress(framework.array(W), dtype="int8").with_data(ones)


@every_framework
def test_arrays_of_every_framework_are_saved(framework, tmp_path):
    pytest.importorskip("safetensors")
    W = np.random.default_rng(5).standard_normal((40, 70)).astype(np.float32)
    W[np.abs(W) < 0.7] = 0
    arrays = {
        "sparse": gossamer.fromdense(framework.array(W)),
        "packed": gossamer.compress(framework.array(W), dtype="bfloat16"),
        "narrow": gossamer.compress(framework.array(W), dtype="fp8"),
        "dense": framework.array(W.astype(BFLOAT16)),
    }
    file = tmp_path / "arrays.safetensors"
    gossamer.save_safetensors(file, arrays)
    loaded = gossamer.load_safetensors(file)
    np.testing.assert_array_equal(loaded["sparse"].todense(), W)
    np.testing.assert_array_equal(loaded["packed"].decompress("bfloat16"), W.astype(BFLOAT16))
    narrow = gossamer.compress(W, dtype="float8_e4m3").decompress()
    np.testing.assert_array_equal(loaded["narrow"].decompress(), narrow)
    np.testing.assert_array_equal(loaded["dense"], W.astype(BFLOAT16))


# ---- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [*FRAMEWORKS, "numpy"])
@every_framework
def test_mixed_frameworks_are_refused_with_advice(framework, other):
    if other == framework.name:
        return
    foreign = np.asarray if other == "numpy" else FRAMEWORKS[other]().array
    A = gossamer.fromdense(framework.array(np.eye(3, dtype=np.float32)))
    P = gossamer.compress(framework.array(np.eye(3, dtype=np.float32)))
    x = foreign(np.ones(3, np.float32))
    for mixed, name in (
        (lambda: A @ x, "A"), (lambda: P @ x, "P"), (lambda: A.__rmatmul__(x), "A"),
        (lambda: gossamer.csr_matvec(A, x), "A"), (lambda: gossamer.sddmm(A, A @ A.data, x), "A"),
    ):  # fmt: skip
        said = rf"[xV] is a .* and {name} holds .*; convert one of them: [xV] by .*, or {name} by "
        with pytest.raises(TypeError, match=said):
            mixed()
    with pytest.raises(TypeError) as caught:
        A @ x
    scope = {"A": A, "x": x, "numpy": np, "jax": sys.modules.get("jax")}
    scope |= {"torch": sys.modules.get("torch"), "mlx": sys.modules.get("mlx")}
    converted, moved = re.search(r"x by (.*), or A by (.*)$", str(caught.value)).groups()
    assert (A @ eval(converted, scope)).shape == (eval(moved, scope) @ x).shape == (3,)
    B = gossamer.fromdense(x[:, None] * x[None])
    both = rf"B by B.to\('{framework.name}'\), or A by A.to\('{other}'\)$"
    for mixed in (lambda: A @ B, lambda: A + B):
        with pytest.raises(TypeError, match=r"B holds .* and A .*; convert one of them: " + both):
            mixed()
    with pytest.raises(TypeError, match=r"blocks\[1\] holds .* and blocks\[0\] .*; convert"):
        gossamer.vstack([A, B])


@every_framework
def test_wrong_arrays(framework):
    A = gossamer.fromdense(framework.array(np.eye(3)))
    with pytest.raises(TypeError, match="x has dtype int32, expected one of float16"):
        A @ framework.array(np.ones(3, np.int32))
    with pytest.raises(ValueError, match=r"x has shape \(4,\), expected \(3,\)"):
        A @ framework.array(np.ones(4))
    with pytest.raises(ValueError, match=r"data has shape \(1, 1\), expected one axis"):
        gossamer.csr_array((framework.array(np.ones((1, 1))), [0], [0, 1]), (1, 1))
    indices = framework.array(np.zeros(1, np.float32))
    with pytest.raises(TypeError, match="indices has dtype float32"):
        gossamer.csr_array((framework.array(np.ones(1)), indices, [0, 1]), (1, 1))
    with pytest.raises(ValueError, match=r"indices\[0\] = 7 is out of range for 1 columns"):
        gossamer.csr_array((framework.array(np.ones(1)), [7], [0, 1]), (1, 1))


@every_framework
def test_structure_cannot_be_traced(framework):
    A = gossamer.fromdense(framework.array(np.eye(3)))
    x, indices = framework.array(np.ones(3)), framework.array(np.arange(3))
    narrow = framework.array(np.ones(3, np.float32))
    make, index = "inside torch.compile|make the sparse array outside", "indices is a .* not traced"
    for function, argument, refusal in (
        (lambda x: gossamer.fromdense(x[None]).data.sum(), x, make),
        (lambda x: gossamer.compress(x[None]).decompress().sum(), narrow, make),
        (lambda i: gossamer.csr_array((x, i, [0, 1, 2, 3])).data, indices, f"{make}|{index}"),
    ):
        with pytest.raises(Exception, match=refusal):
            framework.compiled(function)(argument)
    tripled = framework.compiled(lambda x: A.with_data(3 * x) @ x)(x)
    np.testing.assert_array_equal(framework.numpy(tripled), [3, 3, 3])


@every_framework
def test_other_values_at_the_same_positions(framework):
    D = np.array([[1.0, 0, 2], [0, 0, 3]])
    for format in ("csr", "csc", "coo"):
        A = gossamer.fromdense(framework.array(D), format=format)
        B = A.with_data(framework.array(np.arange(1.0, 4)))
        assert (B.format, B.shape) == (format, (2, 3))
        np.testing.assert_array_equal(framework.numpy(B.todense()) != 0, D != 0)
    with pytest.raises(ValueError, match=r"with_data: data has 2 elements, expected 3"):
        A.with_data(framework.array(np.ones(2)))
    with pytest.raises(TypeError, match=r"with_data: data has dtype int"):
        A.with_data(framework.array(np.ones(3, np.int32)))


@pytest.mark.parametrize("matrix", matrices()[:14], ids=lambda m: m.name)
@every_framework
def test_to_scipy_and_back(framework, matrix):
    pytest.importorskip("scipy")
    A = build(matrix, FLOAT32)
    back = taken_over(A, framework).to_scipy()
    np.testing.assert_array_equal(back.data, A.data)
    np.testing.assert_array_equal(back.indices, A.indices)


@every_framework
def test_arrays_of_numpy_go_to_a_framework_and_back(framework, tmp_path):
    D = np.random.default_rng(0).standard_normal((40, 70)).astype(np.float32)
    D[np.abs(D) < 1] = 0
    x = np.ones(70, np.float32)
    given = {f"{dtype}": gossamer.compress(D, dtype=dtype) for dtype in ("float32", "bfloat16")}
    given |= {dtype: gossamer.compress(D, "gap8", dtype) for dtype in ("int8", "float8_e4m3")}
    given |= {format: gossamer.fromdense(D, format=format) for format in ("csr", "csc", "coo")}
    given["transposed"] = gossamer.compress(D.T, "gap4").T
    file = tmp_path / "arrays.safetensors"
    gossamer.save_safetensors(file, given | {"dense": D})
    loaded = gossamer.load_safetensors(file, framework.name)
    np.testing.assert_array_equal(framework.numpy(loaded.pop("dense")), D)
    for name, A in given.items():
        for there in (A.to(framework.name), loaded[name]):
            y = there @ framework.array(x)
            np.testing.assert_allclose(framework.numpy(y), A @ x, rtol=1e-5, atol=1e-5)
            assert there.to(framework.name) is there
            np.testing.assert_array_equal(there.to("numpy") @ x, A @ x)


@every_framework
def test_lists_take_the_dtype_of_the_values(framework):
    A = gossamer.fromdense(framework.array(np.eye(3, dtype=np.float32)))
    for listed in ([1, 2, 3], (1.0, 2.0, 3.0)):
        y = framework.numpy(A @ listed)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y, [1, 2, 3])
    with pytest.raises(TypeError, match=r"x has dtype"):
        A @ framework.array(np.array([1, 2, 3]))


@every_framework
@pytest.mark.parametrize("format", ["bitmap", "dense"])
def test_packed_products_take_lists_as_float32(framework, format):
    P = gossamer.compress(framework.array(np.eye(3, dtype=np.float32)), format)
    for listed in ([1, 2, 3], (1.0, 2.0, 3.0)):
        for y in (P @ listed, listed @ P):
            assert framework.numpy(y).dtype == np.float32
            np.testing.assert_array_equal(framework.numpy(y), [1, 2, 3])
    with pytest.raises(TypeError, match=r"x is a list that holds '1', expected"):
        P @ ["1", "2", "3"]
    with pytest.raises(TypeError, match=rf"and P holds {framework.name}.* arrays"):
        P @ np.ones(3, np.float32)


@every_framework
def test_nothing_is_narrowed_on_the_way_to_a_framework(framework):
    A = gossamer.eye(3, dtype="complex128")
    if "complex128" not in framework.dtypes:
        with pytest.raises(TypeError, match=r"has no complex128"):
            A.to(framework.name)
    else:
        assert framework.numpy(A.to(framework.name).data).dtype == np.complex128


@every_framework
@pytest.mark.parametrize("integer", [np.array([2**40, 1]), np.array([2**63], np.uint64)])
def test_integers_of_a_file_are_not_narrowed(framework, integer, tmp_path):
    file = tmp_path / "integers.safetensors"
    gossamer.save_safetensors(file, {"integers": integer})
    loaded = np.asarray(gossamer.load_safetensors(file, framework.name)["integers"])
    assert loaded.dtype == integer.dtype
    np.testing.assert_array_equal(loaded, integer)
    if framework.name == "jax":
        with (
            framework.jax.enable_x64(False),
            pytest.raises(TypeError, match=rf"has no {integer.dtype} unless .*jax_enable_x64"),
        ):
            gossamer.load_safetensors(file, "jax")


@every_framework
def test_what_cannot_be_written_to_is_copied_for_who_could(framework, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    D = np.eye(3, dtype=np.float32)
    A = gossamer.fromdense(framework.array(D))
    there = A.to("torch").data
    if framework.name != "torch":
        there.mul_(0)
    np.testing.assert_array_equal(framework.numpy(A.data), np.ones(3))
    host = A.to("numpy").data
    if framework.name != "torch":
        assert not host.flags.writeable
    np.ones(3, np.float32).tofile(tmp_path / "values")
    values = np.memmap(tmp_path / "values", np.float32, "r")
    B = gossamer.csr_array((values, np.arange(3), np.arange(4)), (3, 3))
    for C in (B, gossamer.fromdense(D)):
        C.to("torch").data.add_(1)
        np.testing.assert_array_equal(C.data, np.ones(3))
    for dtype in ("float32", "bfloat16", "int8", "float8_e4m3"):
        P = gossamer.compress(D, "bitmap", dtype)
        moved = P.to(framework.name).to("torch")
        moved.data.view(torch.uint8).zero_()
        if moved.scales is not None:
            moved.scales.zero_()
        np.testing.assert_allclose(P.decompress(), D)


@every_framework
def test_the_frameworks_are_listed(framework):
    D = framework.array(np.eye(3, dtype=np.float32))
    for A in (gossamer.fromdense(D), gossamer.compress(D, "bitmap")):
        with pytest.raises(ValueError, match=r"'pytorch', .*'numpy', 'torch', 'cupy', 'mlx' or"):
            A.to("pytorch")
