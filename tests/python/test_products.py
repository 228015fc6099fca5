# SPDX-License-Identifier: Apache-2.0
"""Sparse times dense, both sides, against the error bound."""

import subprocess
import sys
from array import array
from ctypes import c_float

import gossamer
import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    INDEX_DTYPES,
    build,
    every_dtype,
    every_format,
    every_matrix,
    named,
    operand,
    product,
)
from error_bound import BFLOAT16, assert_within
from gossamer import _engine


@every_matrix
@every_dtype
def test_matmul(matrix, dtype):
    x, X = operand((matrix.cols,), dtype), operand((matrix.cols, 5), dtype)
    expected, expected_columns = product(matrix, dtype, x), product(matrix, dtype, X)
    for format in FORMATS:
        for index_dtype in INDEX_DTYPES:
            A = build(matrix, dtype, format, index_dtype)
            y = A @ x
            assert y.dtype == dtype
            assert_within(y, expected, dtype)
            assert_within(A @ X, expected_columns, dtype)


@every_matrix
@every_dtype
def test_transposed_products(matrix, dtype):
    x, X = operand((matrix.rows,), dtype), operand((matrix.rows, 3), dtype)
    expected = product(matrix, dtype, x, transpose=True)
    expected_columns = product(matrix, dtype, X, transpose=True)
    for format in FORMATS:
        A = build(matrix, dtype, format)
        for _ in range(2):  # the second time from what the first one cached
            assert_within(x @ A, expected, dtype)
            assert_within(A.T @ x, expected, dtype)
            assert_within((np.ascontiguousarray(X.T) @ A).T, expected_columns, dtype)
            assert_within(A.T @ X, expected_columns, dtype)


@every_dtype
def test_entries_in_no_order_are_added_up_where_they_are(dtype):
    """Products with vectors, sums and diagonals neither sort them nor keep another order."""
    rng = np.random.default_rng(0)
    row, col = rng.integers(0, 70, 30_000), rng.integers(0, 90, 30_000)
    values = rng.integers(-4, 5, 30_000) / 16  # sums of products are exact even in float16
    if np.dtype(dtype).kind == "c":
        values = values * (1 - 2j)
    dense = np.zeros((70, 90), values.dtype)
    np.add.at(dense, (row, col), values)
    x, z = (rng.integers(-1, 2, side) / 2 for side in (90, 70))
    given = x.astype(dtype), np.repeat(z.astype(dtype), 2)[::-2]
    for index_dtype in INDEX_DTYPES:
        coords = row.astype(index_dtype), col.astype(index_dtype)
        A = gossamer.coo_array((values.astype(dtype), coords), dense.shape)
        for B, expected in ((A, dense), (A.with_data(2 * A.data), 2 * dense)):
            got = [B @ given[0], given[1] @ B, B.T @ given[1], B.H @ given[1], B.sum(1), B.sum(0)]
            back = z[::-1]
            wanted = [expected @ x, back @ expected, back @ expected, back @ expected.conj()]
            wanted += [expected.sum(1), expected.sum(0)]
            got += [B.diagonal(k) for k in (0, 3, -69, 89)]
            wanted += [expected.diagonal(k) for k in (0, 3, -69, 89)]
            for one, other in zip(got, wanted, strict=True):
                assert one.dtype == dtype
                np.testing.assert_array_equal(one, other.astype(dtype))
        assert A._pattern._compressed is None
        assert A.T._pattern._compressed is None


@pytest.mark.parametrize("ordered", [True, False])
def test_transposed_products_of_entries_take_them_by_rows(ordered):
    """A vector times a COO matrix does not sort its columns, nor the transpose of sorted ones."""
    coo = build(named("banded"), np.float64, "coo")
    shuffled = np.random.default_rng(0).permutation(coo.nnz)
    if not ordered:
        entries = coo.data[shuffled], (coo.row[shuffled], coo.col[shuffled])
        coo = gossamer.coo_array(entries, coo.shape)
    x, dense = np.arange(1.0, 1 + coo.shape[0]), coo.todense()
    for left in (x @ coo, *((coo.T @ x, coo.rmatvec(x)) if ordered else ())):
        np.testing.assert_allclose(left, x @ dense, rtol=1e-13)
    assert coo._pattern.transpose()._compressed is None
    # Entries that are in order by columns alone stay so too.
    by_columns = coo.tocsc().tocoo()
    y = np.arange(1.0, 1 + coo.shape[1])
    np.testing.assert_allclose(by_columns @ y, dense @ y, rtol=1e-13)


@every_format
@pytest.mark.parametrize("name", ["random_0.1", "duplicates", "wide"])
def test_conjugate_transpose(format, name):
    matrix, dtype = named(name), np.dtype(np.complex128)
    A = build(matrix, dtype, format)
    x = operand((matrix.rows, 2), dtype)
    conjugated = matrix._replace(data=matrix.data.conj())
    expected = product(conjugated, dtype, x, transpose=True)
    assert_within(A.H @ x, expected, dtype)
    assert_within(A.rmatmat(x), expected, dtype)
    np.testing.assert_array_equal(A.rmatvec(x[:, 0]), A.H @ x[:, 0])
    np.testing.assert_array_equal(A.conj().data, A.data.conj())


@every_format
@every_dtype
def test_batches_of_any_rank(format, dtype):
    matrix = named("wide")
    A = build(matrix, dtype, format)
    X = operand((2, 1, 3, matrix.cols, 4), dtype)
    Y = A @ X
    assert Y.shape == (2, 1, 3, matrix.rows, 4)
    Z = operand((3, 2, 4, matrix.rows), dtype)
    W = Z @ A
    assert W.shape == (3, 2, 4, matrix.cols)
    for i in range(2):
        for j in range(3):
            assert_within(Y[i, 0, j], product(matrix, dtype, X[i, 0, j]), dtype)
            expected = product(matrix, dtype, Z[j, i].T, transpose=True)
            assert_within(W[j, i].T, expected, dtype)


def test_batch_of_more_axes_than_the_engine_has():
    A = build(named("random_0.1"), np.float64)
    X = operand((2, 1, 1, 2, 1, 1, 2, 100, 3), np.float64)
    Y = A @ X
    assert Y.shape == (2, 1, 1, 2, 1, 1, 2, 120, 3)
    np.testing.assert_array_equal(Y[1, 0, 0, 1, 0, 0, 1], A @ X[1, 0, 0, 1, 0, 0, 1])
    assert (A @ X[..., :0]).shape == (2, 1, 1, 2, 1, 1, 2, 120, 0)
    Z = operand((2, 1, 1, 2, 1, 1, 2, 3, 120), np.float64)
    np.testing.assert_array_equal((Z @ A)[1, 0, 0, 0, 0, 0, 1], Z[1, 0, 0, 0, 0, 0, 1] @ A)


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "every third column": lambda X: np.repeat(X, 3, axis=1)[:, ::3],
    "reversed": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "broadcast": lambda X: np.broadcast_to(X[:, :1], X.shape),
    "transposed view": lambda X: X.T.copy().T,
    "read-only": lambda X: _read_only(X),
    "field of a record": lambda X: _field(X),
    "unaligned": lambda X: _unaligned(X),
    "byte-swapped": lambda X: X.astype(X.dtype.newbyteorder()),
}


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


def _field(X):
    records = np.zeros(X.shape, dtype=[("flag", "i1"), ("value", X.dtype)])
    records["value"] = X
    return records["value"]


def _unaligned(X):
    return np.frombuffer(b"\0" + X.tobytes(), X.dtype, offset=1).reshape(X.shape)


@pytest.mark.parametrize("layout", sorted(set(LAYOUTS) - {"unaligned"}))
def test_layouts_of_an_empty_operand(layout):
    X = LAYOUTS[layout](np.zeros((0, 6)))
    np.testing.assert_array_equal(gossamer.csr_array((3, 0)) @ X, np.zeros((3, 6)))
    assert gossamer.fromdense(X).shape == (0, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "complex128"])
@every_format
def test_layouts_of_the_dense_operand(layout, dtype, format):
    matrix, dtype = named("random_0.5"), np.dtype(dtype)
    A = build(matrix, dtype, format)
    X = LAYOUTS[layout](operand((matrix.cols, 6), dtype))
    native = X.astype(dtype)
    assert_within(A @ X, product(matrix, dtype, native), dtype)
    assert_within(A @ X[:, 0], product(matrix, dtype, native[:, 0]), dtype)
    assert_within((X.T @ A.T).T, product(matrix, dtype, native), dtype)


@pytest.mark.parametrize("left", DTYPES, ids=str)
@pytest.mark.parametrize("right", DTYPES, ids=str)
def test_promotion(left, right):
    if left == right:
        expected = left
    elif left.itemsize == right.itemsize == 2:
        expected = np.dtype(np.float32)
    else:
        widened = [np.dtype(np.float32) if d.itemsize == 2 else d for d in (left, right)]
        expected = np.promote_types(*widened)
    matrix = named("random_0.1")
    A, x = build(matrix, left), operand((matrix.cols,), right)
    assert (A @ x).dtype == (operand((3, matrix.rows), right) @ A).dtype == expected
    np.testing.assert_array_equal(A @ x, A.astype(expected) @ x.astype(expected))
    assert (A + build(matrix, right)).dtype == expected
    assert (A @ build(matrix, right).T).dtype == expected


def test_written_values_are_seen():
    data = np.array([1.0, 2.0, 3.0])
    A = gossamer.csr_array((data, [0, 1, 1], [0, 2, 3]), (2, 2))
    C = gossamer.coo_array((data, ([0, 1, 0], [0, 1, 1])), (2, 2))
    before = [np.ones(2) @ A, A.T @ np.ones(2), C @ np.ones(2), np.ones(2) @ C]
    data *= 10
    after = [np.ones(2) @ A, A.T @ np.ones(2), C @ np.ones(2), np.ones(2) @ C]
    np.testing.assert_array_equal(np.array(after), 10 * np.array(before))


def test_values_of_the_engine_are_read_only_and_cached():
    A = build(named("random_0.1"), np.float64).tocsc().tocsr()
    assert not A.data.flags.writeable
    assert A._by_cols()[1] is A._by_cols()[1]
    assert A.T.T is A
    assert A.copy().data.flags.writeable


def test_lists_and_subclasses_are_taken():
    A = gossamer.csr_array(([1.0, 2.0], [0, 1], [0, 1, 2]), (2, 2))
    assert (A @ [1.0, 2.0]).tolist() == [1.0, 4.0]
    column = np.ones((2, 1)).view(type("Subclass", (np.ndarray,), {}))
    assert type(A @ column) is np.ndarray
    assert ([1.0, 2.0] @ A).tolist() == [1.0, 4.0]


BUFFERS = {
    "array": lambda numbers: array("f", numbers),
    "ctypes": lambda numbers: (c_float * len(numbers))(*numbers),
    "memoryview": lambda numbers: memoryview(np.array(numbers, np.float32)),
    "reversed": lambda numbers: memoryview(np.array(numbers[::-1], np.float32))[::-1],
}


@pytest.mark.parametrize("kind", BUFFERS)
def test_the_engine_takes_any_buffer_of_its_types(kind):
    made, numbers = BUFFERS[kind], [1.0, 2.0, 3.0]
    pattern, values = gossamer.eye(3, dtype=np.float32)._by_rows()
    assert pattern.product(values, made(numbers), False, 100).tolist() == numbers
    y = made([0.0] * 3)
    pattern.multiply(values, np.array(numbers, np.float32), y)
    assert list(y) == numbers


def test_the_engine_takes_a_buffer_of_two_axes_that_names_no_strides():
    pattern, values = gossamer.diags([2, 3], dtype=np.float32)._by_rows()
    X = (c_float * 3 * 2)((1, 2, 3), (4, 5, 6))
    assert pattern.product(values, X, False, 100).tolist() == [[2, 4, 6], [12, 15, 18]]


@pytest.mark.parametrize("dtype", ["O", "S4", ">f4", "float64"])
def test_the_engine_makes_results_of_the_values_dtype_alone(dtype):
    pattern, values = gossamer.eye(3, dtype=np.float32)._by_rows()
    with pytest.raises(TypeError, match="must be"):
        _engine.product(np.empty, pattern.handle, values, values, np.dtype(dtype), False, 100)


def test_first_products_of_several_threads_where_imports_are_watched():
    # A hook written in Python lets the other threads run.
    code = """if True:
        import builtins, faulthandler, threading, time
        import gossamer, numpy as np
        A, x, imports = gossamer.eye(3), np.ones(3), builtins.__import__
        def watched(*arguments, **options):
            time.sleep(0.05)
            return imports(*arguments, **options)
        builtins.__import__ = watched
        faulthandler.dump_traceback_later(20, exit=True)
        threads = [threading.Thread(target=lambda: A @ x) for _ in range(3)]
        for step in (threading.Thread.start, threading.Thread.join):
            for thread in threads:
                step(thread)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_linear_operator_protocol():
    A = build(named("random_0.5"), np.float64)
    x = operand((A.shape[1],), np.float64)
    np.testing.assert_array_equal(A.matvec(x), A @ x)
    np.testing.assert_array_equal(A.matmat(x[:, None])[:, 0], A @ x)


def test_bfloat16_is_ml_dtypes():
    A = build(named("banded"), BFLOAT16)
    assert (A @ np.ones(400, BFLOAT16)).dtype == BFLOAT16
    assert "dtype=bfloat16" in repr(A)
    assert A.astype("float32").astype("bfloat16").dtype == BFLOAT16
