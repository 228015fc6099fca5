# SPDX-License-Identifier: Apache-2.0
"""Sums, scalars, and sparse products."""

import itertools
from unittest import mock

import gossamer
import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    build,
    cast,
    dense,
    every_dense_matrix,
    every_dtype,
    every_format,
    named,
)
from error_bound import BFLOAT16, Reference, assert_within, sum_terms, wide
from gossamer import _engine, arrays
from test_conversions import assert_canonical

PAIRS = list(itertools.product(FORMATS, FORMATS))


def summed(a: Reference, b: Reference, sign: int) -> Reference:
    return Reference(
        a.value + sign * b.value, a.scale + b.scale, a.finite + b.finite, a.terms + b.terms + 1
    )


@every_dense_matrix
@every_dtype
def test_add(matrix, dtype):
    other = matrix._replace(row=matrix.row[::2], col=matrix.col[::2], data=matrix.data[1::2])
    other = other._replace(row=other.row[: other.data.size], col=other.col[: other.data.size])
    with np.errstate(all="ignore"):
        a, b = dense(matrix, dtype), dense(other, dtype)
        expected = {sign: summed(a, b, sign) for sign in (1, -1)}
        # Both operands are rounded to the dtype before they are added.
        extra = abs(a.value) + abs(b.value) if dtype.itemsize == 2 else 0
    for (left, right), sign in zip(PAIRS, itertools.cycle((1, -1)), strict=False):
        A, B = build(matrix, dtype, left), build(other, dtype, right)
        with np.errstate(all="ignore"):
            total = A + B if sign > 0 else A - B
        assert total.format == left
        assert total.dtype == dtype
        assert_canonical(total)
        assert_within(total.todense(), expected[sign], dtype, extra)


def test_python_sums_a_list():
    A = gossamer.csr_array(np.array([[1.0, 0.0], [2.0, 3.0]]))
    assert (sum([A, A, 2 * A]).todense() == 4 * A.todense()).all()
    assert (0 - A).todense().tolist() == [[-1, 0], [-2, -3]]
    with pytest.raises(TypeError, match=r"A \+ B: B is int, expected a sparse array"):
        A + 1


@every_format
def test_sum_over_one_pattern_keeps_it(format):
    A = build(named("banded"), np.float64, format)
    total = A + A
    np.testing.assert_array_equal(total.data, 2 * A.data)
    assert (A - A).nnz == A.nnz
    if format == "csr":
        assert total.indices is A.indices


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_add_of_mixed_index_dtypes(left, right):
    matrix = named("random_0.1")
    A, B = build(matrix, "float32", left), build(matrix, "float32", right, np.int64)
    assert (A + B).index_dtype == (B - A).index_dtype == np.int64
    np.testing.assert_array_equal((A + B).todense(), 2 * A.todense())


def positions(A):
    return set(zip(*map(np.ndarray.tolist, A.tocoo().coords), strict=True))


@every_dense_matrix
@every_dtype
def test_multiply(matrix, dtype):
    """One rounding after those of the sums of duplicates, at the positions that both store.

    Two of each part where they are complex.
    """
    kept = np.random.default_rng(3).random(matrix.data.size) < 0.5
    other = matrix._replace(
        row=matrix.row[kept], col=matrix.col[kept], data=matrix.data[::-1][kept]
    )
    for left, right in PAIRS:
        A, B = build(matrix, dtype, left), build(other, dtype, right)
        with np.errstate(all="ignore"):
            product = A.multiply(B)
            assert (product.format, product.dtype) == (left, dtype)
            assert_canonical(product)
            assert positions(product) == positions(A) & positions(B)
            at = product.tocoo().coords
            x, y = (X.tocsr(canonical=True).todense()[at] for X in (A, B))
            got = product.tocoo().data
            if dtype.kind == "c":  # a part is the sum of two products
                terms = x.astype(wide(dtype)) * y.astype(wide(dtype))
                numbers = np.arange(terms.size)
                assert_within(got, sum_terms(numbers, terms, terms.size), dtype)
            else:
                np.testing.assert_array_equal(got.astype(wide(dtype)), (x * y).astype(wide(dtype)))


@every_format
@pytest.mark.parametrize("name", ["duplicates", "unsorted", "wide", "empty_5x0", "empty_0x0"])
def test_multiply_by_dense(format, name):
    A = build(named(name), np.float32, format)
    m, n = A.shape
    rng = np.random.default_rng(4)
    for shape in ((m, n), (n,), (1, n), (m, 1), (1, 1)):
        B = rng.standard_normal(shape)
        product = A.multiply(B)
        assert (product.format, product.dtype, product.nnz) == (format, np.float64, A.nnz)
        np.testing.assert_allclose(product.todense(), A.todense() * B, rtol=1e-6)
    np.testing.assert_array_equal(A.multiply(3).data, A.data * 3)
    np.testing.assert_array_equal(A.multiply(np.float32(3)).data, A.data * 3)
    for scalar in (BFLOAT16.type(3), np.bool_(True), np.array(3, np.float32)):
        product = A.multiply(scalar)
        assert product.dtype == (A * scalar).dtype
        np.testing.assert_array_equal(product.data, A.data * float(scalar))
    transposed = np.asfortranarray(rng.standard_normal((m, n)))
    np.testing.assert_array_equal(
        A.multiply(transposed).data, A.multiply(transposed.copy("C")).data
    )
    np.testing.assert_array_equal(A.multiply(np.broadcast_to(2.0, n)).data, A.data * 2)


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d.kind != "c"], ids=str)
def test_products_keep_the_sign_of_zero(dtype):
    A = gossamer.csr_array((np.array([-1, 2, 0], dtype), [0, 1, 2], [0, 3]), (1, 4))
    for cols in ([0, 1, 2], [0, 2, 3]):
        B = gossamer.csr_array((np.array([0, -3, -5], dtype), cols, [0, 3]), (1, 4))
        product = A.multiply(B)
        assert np.signbit(product.data.astype(float)).all()
        assert product.data.astype(float).tolist() == ([0, -6, 0] if cols[1] == 1 else [0, 0])


@every_format
def test_names_of_scipy(format):
    A = build(named("random_0.1"), np.float64, format)
    np.testing.assert_array_equal(A.toarray(), A.todense())
    x = np.arange(A.shape[1]) / 7
    np.testing.assert_array_equal(A.dot(x), A @ x)
    np.testing.assert_array_equal(A.dot(A.T).todense(), (A @ A.T).todense())


@every_dtype
@every_format
def test_scalars(dtype, format):
    A = build(named("random_0.1"), dtype, format)
    for scaled, values in (
        (A * 2, A.data * 2),
        (3 * A, A.data * 3),
        (A / 4, A.data / 4),
        (-A, -A.data),
        (A * 0.5, A.data * 0.5),
        (A * np.int64(3), A.data * 3),
        (np.float64(2) * A, np.float64(2) * A.data),
        (A * np.array(2, np.float32), A.data * np.float32(2)),
    ):
        assert scaled.format == format
        assert scaled.dtype == values.dtype
        np.testing.assert_array_equal(scaled.data, values)
    assert (A * 2).dtype == dtype


@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in (BFLOAT16, np.float16)], ids=str)
def test_complex_scalar(dtype):
    A = build(named("random_0.1"), dtype)
    assert (A * 1j).dtype == (A.data * 1j).dtype


def sparse_product(A: Reference, B: Reference) -> Reference:
    terms = (A.terms > 0).astype(float) @ (B.terms > 0)
    # Duplicates multiply the number of terms.
    many = A.terms.astype(float) @ B.terms
    return Reference(
        A.value @ B.value, A.scale @ B.scale, A.finite @ B.finite, np.maximum(terms, many)
    )


SMALL = [
    "empty_0x0",
    "empty_0x7",
    "empty_5x0",
    "no_entries",
    "one_by_one_thrice",
    "single_row",
    "single_column",
    "full_row",
    "full_column",
    "full",
    "empty_rows",
    "unsorted",
    "duplicates",
    "random_0.5",
    "stored_zeros",
    "negative_zero",
    "all_zeros",
]


@pytest.mark.parametrize("name", SMALL)
@every_dtype
def test_spgemm(name, dtype):
    matrix = named(name)
    transposed = matrix._replace(rows=matrix.cols, cols=matrix.rows, row=matrix.col, col=matrix.row)
    with np.errstate(all="ignore"):
        expected = sparse_product(dense(matrix, dtype), dense(transposed, dtype))
    for left, right in PAIRS:
        product = build(matrix, dtype, left) @ build(transposed, dtype, right)
        assert product.format == left
        assert product.dtype == dtype
        assert_canonical(product)
        assert product.nnz == np.count_nonzero(expected.terms)
        assert_within(product.todense(), expected, dtype)


@pytest.mark.parametrize("name", ["diagonal", "banded", "arrow", "power_law", "random_1e-2"])
def test_spgemm_of_larger_matrices(name):
    matrix = named(name)
    A = build(matrix, np.float64)
    S = A.to_scipy()
    expected, scale = (S @ S.T).tocsr(), (abs(S) @ abs(S).T).tocsr()
    expected.sort_indices()
    product = A @ A.T
    assert_canonical(product)
    np.testing.assert_array_equal(product.indptr, expected.indptr)
    np.testing.assert_array_equal(product.indices, expected.indices)
    scale.sort_indices()
    n = 2 * np.diff(A.indptr).max() + 4
    assert (abs(product.data - expected.data) <= n * 2.0**-53 * scale.data).all()


@pytest.mark.parametrize("dtype", ["float16", "float32", "complex128"])
def test_spgemm_in_one_phase_and_in_two_are_the_same(dtype, monkeypatch):
    matrix = named("power_law")
    A, B = build(matrix, dtype), build(matrix, dtype, "csc", np.int64)
    counted = []
    count = _engine.SpgemmAtOnce.count
    monkeypatch.setattr(
        _engine.SpgemmAtOnce, "count", lambda self: counted.append(0) or count(self)
    )
    at_once = A @ B.T
    monkeypatch.setattr(arrays.numpy, "_LARGEST_BLOCK_KEPT", 0)
    in_memory_of_large_results = A @ B.T
    assert not counted
    with monkeypatch.context() as short_of_memory:
        short_of_memory.setattr(arrays.numpy, "_result", mock.Mock(side_effect=MemoryError))
        without_workspace = A @ B.T
    assert len(counted) == 1
    monkeypatch.setattr(arrays.numpy, "_LARGEST_WORKSPACE", 0)
    counted_first = A @ B.T
    assert len(counted) == 2
    for product in (in_memory_of_large_results, without_workspace, counted_first):
        for part in ("indptr", "indices", "data"):
            np.testing.assert_array_equal(getattr(at_once, part), getattr(product, part))


def test_spgemm_at_once_refuses_arrays_that_do_not_fit():
    A = build(named("random_0.5"), "float32")
    (a, a_values), (b, b_values) = A._by_rows(), A.T.tocsr()._by_rows()
    indptr = np.empty(A.shape[0] + 1, np.int64)
    with pytest.raises(ValueError, match="indptr has rank 1"):
        _engine.SpgemmAtOnce(a.handle, a_values, b.handle, b_values, indptr[1:])
    with pytest.raises(ValueError, match="b_values"):
        _engine.SpgemmAtOnce(a.handle, a_values, b.handle, b_values[1:], indptr)
    product = _engine.SpgemmAtOnce(a.handle, a_values, b.handle, b_values, indptr)
    with pytest.raises(ValueError, match="compute comes first"):
        product.collect(np.empty(0, np.int32), np.empty(0, np.float32))
    workspace = np.empty(product.workspace_size, np.int64)
    with pytest.raises(ValueError, match="workspace has rank 1"):
        product.compute(workspace[1:])
    nnz = product.compute(workspace)
    with pytest.raises(ValueError, match="indices has rank 1"):
        product.collect(np.empty(nnz + 1, np.int32), np.empty(nnz, np.float32))


@every_format
def test_spgemm_takes_scipy_on_either_side(format):
    sparse = pytest.importorskip("scipy.sparse")
    A = build(named("random_0.1"), np.float64, format)
    S = sparse.random_array((A.shape[1], 40), density=0.2, rng=np.random.default_rng(1))
    for other in (S.tocsr(), S.tocsc(), S.tocoo(), sparse.csr_matrix(S)):
        product = A @ other
        assert product.format == format
        np.testing.assert_allclose(product.todense(), A.todense() @ S.toarray())
    np.testing.assert_allclose((A + A.to_scipy()).todense(), 2 * A.todense())


def test_spgemm_of_mixed_index_dtypes():
    matrix = named("random_0.5")
    A, B = build(matrix, "float32"), build(matrix, "float32", "csc", np.int64)
    assert (A @ B.T).index_dtype == (B.T @ A).index_dtype == np.int64
    assert (A @ A.T).index_dtype == np.int32


@every_dtype
@every_format
def test_sddmm(dtype, format):
    matrix = named("unsorted")
    A = build(matrix, dtype, format)
    rng = np.random.default_rng(2)
    U, V = (
        cast(rng.standard_normal((n, 7)) + 1j * rng.standard_normal((n, 7)), dtype) for n in A.shape
    )
    sampled = gossamer.sddmm(A, U, V)
    assert sampled.format == format
    assert sampled.dtype == dtype
    coo = sampled.tocoo()
    products = U.astype(wide(dtype))[coo.row] * V.astype(wide(dtype))[coo.col]
    reference = Reference(
        products.sum(1), abs(products).sum(1), abs(products).sum(1), np.full(coo.nnz, 7)
    )
    assert_within(coo.data, reference, dtype)


def test_named_products():
    A = build(named("random_0.5"), np.float64)
    rng = np.random.default_rng(0)
    x, X = rng.standard_normal(A.shape[1]), rng.standard_normal((A.shape[1], 3))
    batch, vectors = rng.standard_normal((2, *X.shape)), rng.standard_normal((2, 4, A.shape[1]))
    for B in (A, A.tocsc(), A.tocoo()):
        function = {
            name: getattr(gossamer, f"{B.format}_{name}")
            for name in ("matvec", "matmul", "matmat", "batched_matvec", "batched_matmul")
        }
        np.testing.assert_array_equal(function["matvec"](B, x), B @ x)
        np.testing.assert_array_equal(function["matmul"](B, X), B @ X)
        np.testing.assert_array_equal(function["matmul"](B, batch), B @ batch)
        np.testing.assert_array_equal(function["batched_matmul"](B, batch), B @ batch)
        np.testing.assert_array_equal(function["matmat"](B, A.T).data, (B @ A.T).data)
        Y = function["batched_matvec"](B, vectors)
        assert Y.shape == (2, 4, A.shape[0])
        np.testing.assert_allclose(Y[1, 2], B @ vectors[1, 2])
        assert function["matvec"].__name__ == f"{B.format}_matvec"


@every_format
def test_moduli(format):
    A = build(named("duplicates"), np.complex128, format)
    modulus = abs(A)
    assert (modulus.format, modulus.dtype) == (format, np.float64)
    np.testing.assert_allclose(modulus.todense(), abs(A.todense()), rtol=1e-13)


@every_dtype
@every_format
@pytest.mark.parametrize("n", [2, 3.0])
def test_powers_are_of_the_elements(dtype, format, n):
    A = build(named("duplicates"), dtype, format)
    power = A**n
    assert (power.format, power.dtype) == (format, A.dtype)
    canonical = A.tocsr(canonical=True)
    expected = canonical.with_data(cast(canonical.data**n, dtype)).todense()
    np.testing.assert_array_equal(power.todense(), expected)


@every_format
@pytest.mark.parametrize("shape", [(10,), (1, 10), (6, 1), (6, 10)])
def test_factors_lie_anyhow_in_memory(shape, format):
    rng = np.random.default_rng(3)
    A = gossamer.random_array((6, 10), density=0.5, rng=rng, format=format)
    factors = rng.standard_normal([2 * n for n in shape])
    for every in (slice(None, None, 2), slice(None, None, -2)):
        x = factors[tuple(every for _ in shape)]
        np.testing.assert_array_equal(A.multiply(x).todense(), A.todense() * x)
