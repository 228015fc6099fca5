# SPDX-License-Identifier: Apache-2.0
"""Wrong input raises an exception that names argument, position and value."""

import re

import gossamer
import numpy as np
import pytest
from battery.battery import matrices
from cases import build, every_format, named
from gossamer import coo_array, csc_array, csr_array

D, J, P = [1.0, 2.0, 3.0], [0, 2, 1], [0, 2, 3]
R, C = [0, 0, 1], [0, 2, 1]
SHAPE = 2, 3
f64, i32, i64 = np.float64, np.int32, np.int64

CONSTRUCTORS = [
    # shapes
    (lambda: csr_array((D, J, P), (2,)), ValueError, "shape = (2,), expected two integers"),
    (lambda: csr_array((D, J, P), (2, 3, 1)), ValueError, "shape = (2, 3, 1)"),
    (lambda: csr_array((D, J, P), (2.0, 3)), ValueError, "shape = (2.0, 3)"),
    (lambda: csr_array((D, J, P), (-2, 3)), ValueError, "(-2, 3), expected lengths from 0"),
    (lambda: csr_array((D, J, P), (2, 2**63)), ValueError, f"{(2, 2**63)}, expected lengths"),
    (lambda: coo_array((D, (R, C)), "ab"), ValueError, "coo_array: shape = 'ab'"),
    (lambda: csr_array((D, (R, C)), (1, 3)), ValueError, "row[2] = 1 is out of range for 1 row"),
    (lambda: csr_array(np.eye(2), (3, 3)), ValueError, "shape = (3, 3), but the matrix has"),
    (lambda: csr_array(np.eye(2), 5), ValueError, "csr_array: shape = 5, expected two integers"),
    (lambda: csr_array((D, (R, C)), 5), ValueError, "csr_array: shape = 5, expected two integers"),
    # lengths
    (lambda: csr_array((D, J, 5)), ValueError, "csr_array: indptr has shape (), expected one axis"),
    (lambda: csr_array((D, J, P), (3, 3)), ValueError, "indptr has 3 elements, expected 4"),
    (lambda: csc_array((D, J, P), (3, 3)), ValueError, "csc_array: indptr has 3 elements"),
    (lambda: csr_array((D[:2], J, P), SHAPE), ValueError, "indices has 3 elements and data 2"),
    (lambda: csr_array((D, J[:2], P), SHAPE), ValueError, "indices has 2 elements and data 3"),
    (lambda: coo_array((D, (R[:2], C)), SHAPE), ValueError, "row has 2 elements and data 3"),
    (lambda: coo_array((D, (R, C[:1])), SHAPE), ValueError, "col has 1 elements and data 3"),
    (lambda: csr_array((D, J, []), (0, 3)), ValueError, "indptr has 0 elements, expected 1"),
    # axes
    (lambda: csr_array([[1.0, 2.0], [3.0]]), ValueError, "csr_array: arg: setting an array el"),
    (lambda: csr_array(([1.0, [2.0], 3.0], J, P), SHAPE), ValueError, "csr_array: data: setting"),
    (lambda: csr_array(([D], J, P), SHAPE), ValueError, "data has shape (1, 3), expected one axis"),
    (lambda: csr_array((D, [J], P), SHAPE), ValueError, "indices has shape (1, 3)"),
    (lambda: csr_array((D, J, np.array(3)), SHAPE), ValueError, "indptr has shape ()"),
    (lambda: csr_array(np.ones(3)), ValueError, "csr_array: arg has shape (3,), expected two"),
    (lambda: csr_array((3.0, 3)), TypeError, "csr_array: arg is a tuple of float, int, expected"),
    (lambda: csr_array((-3, 3)), ValueError, "csr_array: shape = (-3, 3), expected lengths"),
    (lambda: coo_array((D, R)), TypeError, "list, list, expected (data, (row, col)), (rows"),
    (lambda: csr_array((D, J, P, SHAPE)), TypeError, "csr_array: arg is a tuple of list, list"),
    (lambda: gossamer.fromdense(np.ones((2, 2, 2))), ValueError, "expected two axes"),
    # dtypes
    (
        lambda: csr_array((np.array([1, 2, 3]), J, P), SHAPE),
        TypeError,
        "nothing is cast silently: give dtype=",
    ),
    (lambda: csr_array(([True] * 3, J, P), SHAPE), TypeError, "data has dtype bool, expected one"),
    (lambda: csr_array((["a"] * 3, J, P), SHAPE), TypeError, "data is a list that holds 'a'"),
    (lambda: csr_array(([None] * 3, J, P), SHAPE), TypeError, "a list that holds None, expected"),
    (lambda: csr_array((np.longdouble(D), J, P), SHAPE), TypeError, "data has dtype float"),
    (lambda: csr_array((D, [0.0, 2, 1], P), SHAPE), TypeError, "indices has dtype float64"),
    (lambda: csr_array((D, J, np.array([False] * 3)), SHAPE), TypeError, "indptr has dtype bool"),
    (lambda: coo_array((D, (R, np.zeros(3))), SHAPE), TypeError, "col has dtype float64"),
    (lambda: gossamer.fromdense(np.eye(2, dtype=int)), TypeError, "dense has dtype int64"),
    (lambda: csr_array((np.ma.array(D), J, P), SHAPE), TypeError, "data is a masked array"),
    (
        lambda: csc_array(np.eye(2, dtype=int)),
        TypeError,
        "csc_array: arg has dtype int64",
    ),
    (lambda: gossamer.fromdense(np.eye(2), "csc"), TypeError, "threshold = 'csc', expected a numb"),
    (lambda: gossamer.sddmm(np.eye(2), D, D), TypeError, "sddmm: A is ndarray, expected a sparse"),
    (lambda: gossamer.io.save_npz("a", 3), TypeError, "save_npz: matrix is int, expected a sparse"),
    (lambda: gossamer.asarray([[1, 2]]), TypeError, "asarray: x has dtype int64"),
    (lambda: gossamer.eye(3, dtype=int), TypeError, "eye: dtype = int64, expected one of"),
    (lambda: gossamer.eye(3, dtype=Ellipsis), TypeError, "eye: dtype = Ellipsis, expected one of"),
    (lambda: csr_array(np.eye(2), dtype="flaot32"), TypeError, "csr_array: dtype = 'flaot32', exp"),
    (lambda: gossamer.random_array((2, 2), dtype=int), TypeError, "random_array: dtype = int64"),
    # indices
    (lambda: csr_array((D, [0, 3, 1], P), SHAPE), ValueError, "indices[1] = 3 is out of range"),
    (lambda: csr_array((D, [0, 2, -1], P), SHAPE), ValueError, "indices[2] = -1 is out of range"),
    (lambda: csc_array((D, [0, 3, 1], P), (3, 2)), ValueError, "csc_array: indices[1] = 3"),
    (lambda: coo_array((D, ([0, 2, 1], C)), SHAPE), ValueError, "row[1] = 2 is out of range"),
    (lambda: coo_array((D, (R, [0, -5, 1])), SHAPE), ValueError, "col[1] = -5 is out of range"),
    (lambda: csr_array((D, (R, [0, 9, 1])), SHAPE), ValueError, "csr_array: col[1] = 9 is out of"),
    (lambda: csc_array((D, ([0, 9, 1], C)), SHAPE), ValueError, "csc_array: row[1] = 9 is out of"),
    (lambda: coo_array((D, ([0, -1, 0], C))), ValueError, "coo_array: row[1] = -1 is negative"),
    (lambda: csr_array((D, [0, 2, -1], P)), ValueError, "csr_array: indices[2] = -1 is negative"),
    (lambda: csr_array((D, J, [0, 2, 4]), SHAPE), ValueError, "indptr[2] = 4"),
    (lambda: csr_array((D, J, [1, 2, 3]), SHAPE), ValueError, "indptr[0] = 1"),
    (lambda: csr_array((D, J, [0, -1, 3]), SHAPE), ValueError, "indptr[1] = -1"),
    (lambda: csr_array((D, J + J, [0, 4, 2]), SHAPE), ValueError, "indices has 6 elements"),
    (lambda: csr_array((D, J, [0, 3, 2]), SHAPE), ValueError, "indptr"),
    # overflow
    (lambda: csr_array((D, [0, 2**31, 1], P), SHAPE), ValueError, "indices[1] = 2147483648"),
    (lambda: csr_array((D, np.array([0, 2**32, 1]), P), SHAPE), ValueError, "[1] = 4294967296"),
    (lambda: csr_array((D, np.uint64([0, 2**63, 1]), P), SHAPE), ValueError, f"[1] = {2**63}"),
    (lambda: coo_array((D, (np.uint64([0, 0, 2**64 - 1]), C)), (9, 9)), ValueError, "row[2] = 184"),
    (lambda: csr_array((D, [0, 2, 2**70], P), SHAPE), TypeError, "indices has dtype object"),
    (lambda: coo_array((D[:1], ([2**63 - 1], [0]))), ValueError, f"shape = ({2**63}, 1), expected"),
    (
        lambda: csr_array((D[:1], [2**63 - 1], [0, 1])),
        ValueError,
        f"shape = (1, {2**63}), expected",
    ),
    # claims
    (
        lambda: csr_array((D, [2, 0, 1], P), SHAPE, sorted_indices=True),
        ValueError,
        "sorted_indices = True, but",
    ),
    (lambda: csr_array((D, [2, 2, 1], P), SHAPE, canonical=True), ValueError, "canonical = True"),
    (lambda: coo_array((D, ([0, 0, 0], C)), SHAPE, canonical=True), ValueError, "canonical = True"),
    (lambda: csc_array(np.eye(2), validate="no"), ValueError, "csc_array: validate = 'no'"),
    (lambda: csr_array((D, J, P), SHAPE, validate="no"), ValueError, "validate = 'no', expected"),
    # builders
    (lambda: gossamer.diags([[1.0, 2.0]], [0], (3, 3)), ValueError, "diagonals[0] has 2 elements"),
    (lambda: gossamer.diags([D, D], [0, 0]), ValueError, "at offsets [0, 0]"),
    (lambda: gossamer.diags([D], [0, 1]), ValueError, "1 diagonals at offsets [0, 1]"),
    (lambda: gossamer.diags([], []), ValueError, "there are no diagonals"),
    (lambda: gossamer.diags([D], [0], (3,)), ValueError, "diags: shape = (3,), expected two"),
    (lambda: gossamer.diags([D], [2**63]), ValueError, "diags: shape = (922337203685477"),
    (lambda: gossamer.diags([D], [0.5]), TypeError, "diags: offsets = [0.5], expected integers"),
    (lambda: gossamer.diags([D], [0], format="bsr"), ValueError, "diags: format = 'bsr'"),
    (lambda: gossamer.eye(-1), ValueError, "eye: shape = (-1, -1)"),
    (lambda: gossamer.eye(2.5), ValueError, "eye: shape = (2.5, 2.5), expected two integers"),
    (lambda: gossamer.eye(2, k=1.5), TypeError, "eye: k = 1.5, expected an integer"),
    (lambda: gossamer.eye(2, format="bsr"), ValueError, "eye: format = 'bsr'"),
    (lambda: gossamer.identity(-1), ValueError, "identity: shape = (-1, -1)"),
    (
        lambda: gossamer.random_array((2, 2), density=1, data_sampler=lambda n: np.ones(n + 1)),
        ValueError,
        "random_array: data_sampler returned shape (5,), expected (4,)",
    ),
    (lambda: gossamer.random_array((3,)), ValueError, "random_array: shape = (3,)"),
    (lambda: gossamer.random_array((2, 2), format="bsr"), ValueError, "random_array: format"),
    (lambda: gossamer.random_array((2, 2), density=1.5), ValueError, "density = 1.5"),
    (
        lambda: gossamer.random_array((2, 2), density="a"),
        ValueError,
        "density = 'a', expected a nu",
    ),
    (lambda: gossamer.random_array((-2, 2)), ValueError, "shape = (-2, 2)"),
    (
        lambda: gossamer.random_array((2, 2), rng="x"),
        TypeError,
        "random_array: rng = 'x', expected a numpy",
    ),
    (
        lambda: gossamer.random_array((2, 2), rng=-1),
        ValueError,
        "random_array: rng = -1, expected a numpy",
    ),
    (
        lambda: gossamer.random_array((2, 2), data_sampler=lambda n: np.full(n, 1j)),
        TypeError,
        "random_array: data_sampler returned complex128, expected what dtype = float64 holds",
    ),
    (lambda: gossamer.random_array((2**40, 2**40)), ValueError, "2**63 - 1 positions"),
    (lambda: gossamer.fromdense(np.eye(2), threshold=-1), ValueError, "threshold"),
    (lambda: gossamer.fromdense(np.eye(2), threshold=np.nan), ValueError, "threshold"),
    (lambda: gossamer.fromdense(np.eye(2), format="bsr"), ValueError, "fromdense: format = 'bsr'"),
]


@pytest.mark.parametrize(("make", "error", "message"), CONSTRUCTORS)
def test_constructors(make, error, message):
    with pytest.raises(error, match=re.escape(message)):
        make()


def A(format="csr"):
    return csr_array((D, J, P), SHAPE).asformat(format)


def packed(A):
    return gossamer.compress(A.astype("float32"))


OPERATIONS = [
    (lambda A: A @ np.ones(2), ValueError, "A @ x: x has shape (2,), expected (3,), (3, k) or"),
    (lambda A: A @ np.ones((2, 3)), ValueError, "for A of shape (2, 3)"),
    (lambda A: A @ np.ones((4, 2, 3)), ValueError, "x has shape (4, 2, 3)"),
    (lambda A: A @ np.array(3.0), ValueError, "x has shape ()"),
    (lambda A: np.ones(3) @ A, ValueError, "x @ A: x has shape (3,), expected (2,), (k, 2) or"),
    (lambda A: np.ones((2, 3)) @ A, ValueError, "x @ A: x has shape (2, 3)"),
    (lambda A: A @ np.array([1, 2, 3], object), TypeError, "x has dtype object, expected one of"),
    (lambda A: A @ [1, "2", 3], TypeError, "x is a list that holds '2', expected numbers"),
    (lambda A: A @ np.array(["a", "b", "c"]), TypeError, "x has dtype str"),
    (lambda A: A @ np.array(D, object), TypeError, "x has dtype object"),
    (lambda A: A @ np.ma.array(D), TypeError, "x is a masked array"),
    (lambda A: A @ "abc", TypeError, "unsupported operand"),
    (lambda A: A @ [[1, 2], [3]], ValueError, "x: setting an array element"),
    (lambda A: A.matmat(None), TypeError, "x is NoneType, expected an array"),
    (lambda A: A.rmatvec(None), TypeError, "x is NoneType, expected an array"),
    (lambda A: A.rmatvec([1.0]), ValueError, "A.H @ x: x has shape (1,), expected (2,), (2, k) or"),
    (lambda A: A.rmatvec(np.ones(3)), ValueError, "2, k) for A.H of shape (3, 2)"),
    (lambda A: None @ A, TypeError, "unsupported operand"),
    (lambda A: A @ A, ValueError, "A @ B: A has shape (2, 3) and B (2, 3)"),
    (lambda A: A + A.T, ValueError, "A + B: A has shape (2, 3) and B (3, 2)"),
    (lambda A: A - A.T, ValueError, "A - B: A has shape (2, 3)"),
    (lambda A: A + np.ones(SHAPE), TypeError, "A + B: B is ndarray, expected a sparse array"),
    (lambda A: np.ones(SHAPE) - A, TypeError, "expected a sparse array"),
    (lambda A: A + 1, TypeError, "A + B: B is int"),
    (lambda A: 1 + A, TypeError, "B + A: B is int, expected a sparse array; for a dense result wr"),
    (lambda A: 1 - A, TypeError, "B - A: B is int"),
    (lambda A: np.ones(SHAPE) - A, TypeError, "B - A: B is ndarray"),
    (lambda A: 1 - A, TypeError, "write B - A.todense(), and"),
    (lambda A: gossamer.multiply(A, A), TypeError, "by A @ x, and element by element by A.multip"),
    (lambda A: packed(A).to(np.float16), ValueError, "dtypes go to gossamer.compress(P"),
    (lambda A: A * A, TypeError, "A * B: B is C"),
    (lambda A: A * np.ones(SHAPE), TypeError, "A * B: B is ndarray, expected a scalar"),
    (lambda A: A / np.ones(3), TypeError, "A / B: B is ndarray"),
    (lambda A: A.multiply(A.T), ValueError, "A.multiply(B): A has shape (2, 3) and B (3, 2)"),
    (lambda A: A.multiply(np.ones(2)), ValueError, "B (2,), expected (2, 3), (3,) or (1, 3)"),
    (lambda A: A.multiply(np.ones((1, 2, 3))), ValueError, "and B (1, 2, 3), expected (2, 3)"),
    (lambda A: A.multiply([[1], [None]]), TypeError, "B is a list that holds None, expected"),
    (lambda A: A.multiply("2"), TypeError, "A.multiply(B): B is str, expected a sparse or"),
    (lambda A: A * "2", TypeError, "A * B: B is str"),
    (lambda A: A * np.longdouble(2), TypeError, "A * B: B has dtype float"),
    (lambda A: A * np.array("2"), TypeError, "A * B: B has dtype str"),
    (lambda A: A / np.longdouble(2), TypeError, "A / B: B has dtype float"),
    (lambda A: A.mean(axis=2), ValueError, "mean: axis = 2, expected 0, 1, or None"),
    (lambda A: A.mean(axis=1.0), ValueError, "mean: axis = 1.0, expected 0, 1, or None"),
    (lambda A: 1 / A, TypeError, "unsupported operand"),
    (lambda A: A**0, ValueError, "n = 0, expected a positive number"),
    (lambda A: A**A, TypeError, "expected a real number; the matrix product is A @ A"),
    (lambda A: A > 0, TypeError, "elementwise comparison"),
    (lambda A: A[1, 2, 3], IndexError, "too many indices: 3"),
    (lambda A: A[..., ...], IndexError, "too many indices"),
    (lambda A: A == A, TypeError, "comparison"),
    (lambda A: A != 0, TypeError, "comparison"),
    (lambda A: bool(A), ValueError, "truth value"),
    (lambda A: len(A), TypeError, "A.shape[0] or A.nnz"),
    (lambda A: hash(A), TypeError, "unhashable"),
    (lambda A: A.astype(int), TypeError, "astype: dtype = int64, expected one of float16"),
    (lambda A: A.astype("nonsense"), TypeError, "nonsense"),
    (lambda A: A.asformat("bsr"), ValueError, "format = 'bsr', expected 'csr', 'csc' or 'coo'"),
    (lambda A: A.to("tpu"), ValueError, "device = 'tpu', expected 'cpu', 'gpu' or"),
    (lambda A: A.to(np.float32), ValueError, "'jax'; dtypes go to A.astype"),
    (lambda A: gossamer.csr_matvec(A.tocsr(), np.ones((3, 1))), ValueError, "expected one axis"),
    (
        lambda A: gossamer.csr_matmul(A.tocsr(), np.ones(3)),
        ValueError,
        "csr_matmul: X has shape (3",
    ),
    (lambda A: gossamer.csc_matvec(A.tocsc(), np.eye(3)), ValueError, "3), expected one axis"),
    (lambda A: gossamer.coo_matmat(A.tocoo(), D), TypeError, "coo_matmat: B is "),
    (lambda A: gossamer.csr_batched_matmul(A.tocsr(), np.ones((3, 1))), ValueError, "3 or more"),
    (lambda A: gossamer.csr_matmat(A.tocsr(), np.eye(3)), TypeError, "B is ndarray"),
    (
        lambda A: gossamer.csr_batched_matvec(A.tocsr(), np.ones((4, 2))),
        ValueError,
        "x @ A.T: x has shape (4, 2), expected (3,), (k, 3) or (..., k, 3) for A.T of shape (3, 2)",
    ),
    (lambda A: gossamer.csr_matvec(np.eye(3), np.ones(3)), TypeError, "csr_matvec: A is ndarray"),
    (
        lambda A: gossamer.coo_matvec(A.tocsr(), np.ones(3)),
        TypeError,
        "A is CSRArray, expected COO",
    ),
    (lambda A: gossamer.sddmm(A, np.ones((2, 4)), np.ones((3, 5))), ValueError, "(3, 5)"),
    (lambda A: gossamer.sddmm(A, np.ones((3, 4)), np.ones((3, 4))), ValueError, "U has shape (3,"),
    (lambda A: gossamer.sddmm(A, np.ones((2, 4)), np.ones((9, 4))), ValueError, "V has shape (9,"),
    (lambda A: gossamer.sddmm(A, np.ones((2, 4)), np.ones(3)), ValueError, "of the other's rank"),
    (lambda A: A.trace(1.5), TypeError, "trace: offset = 1.5, expected an integer"),
    (
        lambda A: gossamer.use_device(gossamer.Device("cpu", 3)),
        ValueError,
        "device = Device(cpu, 3)",
    ),
    (
        lambda A: gossamer.use_device(gossamer.Device("gpu", "0")),
        ValueError,
        "device = Device(gpu, 0), expected",
    ),
    (lambda A: gossamer.use_device(gossamer.Device([])), ValueError, "device = Device([], 0)"),
    (lambda A: gossamer.set_num_threads(0), ValueError, "0"),
    (lambda A: gossamer.set_num_threads(-3), ValueError, "-3"),
    (lambda A: gossamer.set_num_threads(1.5), TypeError, "count = 1.5, expected an integer"),
    (lambda A: gossamer.set_num_threads(2**40), ValueError, "count = 1099511627776 is out of"),
]


@pytest.mark.parametrize(("call", "error", "message"), OPERATIONS)
@every_format
def test_operations(call, error, message, format):
    with pytest.raises(error, match=re.escape(message)):
        call(A(format))


def valid(indptr, indices, rows, cols):
    return (
        len(indptr) == rows + 1
        and indptr[0] == 0
        and indptr[-1] == len(indices)
        and (np.diff(indptr) >= 0).all()
        and ((indices >= 0) & (indices < cols)).all()
    )


@pytest.mark.parametrize("index_dtype", [i32, i64])
@pytest.mark.parametrize("make", [csr_array, csc_array])
def test_mutated_indices_are_found(make, index_dtype):
    """Change one offset or index at a time; what is accepted must be valid, what is not, not."""
    rng = np.random.default_rng(20)
    limits = np.iinfo(index_dtype)
    refused = 0
    for matrix in matrices():
        if matrix.row.size > 30_000:
            continue
        B = build(matrix, f64, "csr", index_dtype)
        rows, cols = B.shape
        shape = B.shape if make is csr_array else (cols, rows)
        for _ in range(12):
            arrays = [B.indptr.copy(), B.indices.copy()]
            target = arrays[rng.integers(2)]
            if target.size:
                i = rng.integers(target.size)
                near = target[i] + rng.integers(-2, 3)
                target[i] = rng.choice([near, -1, rows, cols, B.nnz, limits.min, limits.max])
            if valid(*arrays, rows, cols):
                C = make((B.data, arrays[1], arrays[0]), shape)
                assert np.isfinite((C @ np.zeros(C.shape[1]))[np.isfinite(C.row_sums())]).all()
                continue
            refused += 1
            with pytest.raises(ValueError, match=r"(indptr|indices)\[\d+\] = -?\d+"):
                make((B.data, arrays[1], arrays[0]), shape)
    assert refused > 100


@every_format
def test_special_values_are_computed(format):
    data = np.array([np.inf, np.nan, 1.0])
    B = csr_array((data, J, P), SHAPE).asformat(format)
    np.testing.assert_array_equal(B @ np.array([1.0, 1.0, 0.0]), [np.nan, 1])
    np.testing.assert_array_equal(A(format) @ np.array([np.inf, np.nan, -np.inf]), [np.nan, np.nan])
    np.testing.assert_array_equal(A(format) @ np.array([np.inf, 0.0, 1.0]), [np.inf, 0])


@every_format
@pytest.mark.parametrize("shape", [(0, 0), (0, 4), (4, 0), (3, 3)])
def test_zero_sizes(format, shape):
    B = coo_array((np.zeros(0), ([], [])), shape).asformat(format)
    m, n = shape
    assert (B @ np.ones(n)).tolist() == [0] * m
    assert (B @ np.ones((n, 0))).shape == (m, 0)
    assert (B @ np.ones((0, n, 2))).shape == (0, m, 2)
    assert (np.ones((2, m)) @ B).tolist() == [[0] * n] * 2
    assert (B @ B.T).shape == (m, m)
    assert (B + B).nnz == (B * 2).nnz == B.tocsc().nnz == 0
    assert B.todense().shape == B.T.todense().T.shape == shape
    assert B.sum() == B.trace() == 0
    assert B.col_norms().shape == (n,)
    assert B[:, :].shape == shape


def test_operand_of_another_framework_is_named():
    class Tensor:
        __module__ = "elsewhere"

    with pytest.raises(TypeError, match="unsupported operand"):
        named("full") and A() @ Tensor()


@pytest.mark.parametrize("rows", [2**60, 2**63 - 1])
def test_offsets_beyond_all_memory_are_named(rows):
    entry = np.ones(1), ([0], [0])
    for make in (
        lambda: csr_array((rows, 2)),
        lambda: csc_array((2, rows)),
        lambda: csr_array(entry, (rows, 2)),
        lambda: coo_array(entry, (rows, 2)) @ np.ones(2),
        lambda: csr_array((2, rows)).tocsc(),
        lambda: gossamer.eye(rows),
        lambda: gossamer.random_array((rows, 1), density=0),
    ):
        with pytest.raises(MemoryError, match=f"shape\\[0\\] = {rows}, in CSC"):
            make()
    with pytest.raises(MemoryError, match=r"random_array: no memory for .* at density = 0.5"):
        gossamer.random_array((rows, 1), density=0.5)
    assert coo_array(entry, (rows, rows)).shape == (rows, rows)
