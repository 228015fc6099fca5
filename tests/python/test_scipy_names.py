# SPDX-License-Identifier: Apache-2.0
"""What users of SciPy write: it works as there, or the message says what to write instead."""

import gossamer
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from cases import build, every_format, every_matrix

FLOAT64 = np.dtype(np.float64)


def symmetric(dtype=np.float64):
    S = scipy.sparse.random_array((30, 30), density=0.2, rng=np.random.default_rng(0))
    return gossamer.from_scipy((S + S.T + 5 * scipy.sparse.eye_array(30)).tocsr().astype(dtype))


@every_format
@every_matrix
def test_transpose_mean_and_extremes(matrix, format):
    A = build(matrix, FLOAT64).asformat(format)
    dense = A.todense()
    np.testing.assert_array_equal(A.transpose().todense(), dense.T)
    if 0 in A.shape:
        with pytest.raises(ValueError, match=r"has no elements"):
            A.max()
        return
    np.testing.assert_array_equal(A.max(), dense.max())
    np.testing.assert_array_equal(A.min(), dense.min())
    if np.isfinite(dense).all():
        for axis in (None, 0, 1, -1):
            np.testing.assert_allclose(A.mean(axis), dense.mean(axis), rtol=1e-13, atol=1e-15)


def test_zeros_that_are_not_stored_count():
    A = gossamer.coo_array(([-1.0, -2.0, 3.0], ([0, 0, 1], [0, 0, 1])), (2, 2))
    assert (A.min(), A.max()) == (-3, 3)
    assert gossamer.fromdense(np.full((2, 2), -1.0)).max() == -1
    assert gossamer.fromdense(np.diag([-1.0, -2.0])).max() == 0
    assert np.isnan(gossamer.fromdense(np.diag([np.nan, 1.0])).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_operators_of_unknown_dtype(dtype):
    """SciPy multiplies by zeros of int8 to learn the dtype."""
    A = symmetric(dtype)
    operator = scipy.sparse.linalg.LinearOperator(matvec=A.dot, shape=A.shape)
    assert operator.dtype == dtype
    largest = scipy.sparse.linalg.eigsh(A.to_scipy(), k=1)[0]
    for given in (operator, A, scipy.sparse.linalg.aslinearoperator(A)):
        np.testing.assert_allclose(scipy.sparse.linalg.eigsh(given, k=1)[0], largest, rtol=1e-5)
    largest = scipy.sparse.linalg.svds(A.to_scipy(), k=1)[1]
    np.testing.assert_allclose(scipy.sparse.linalg.svds(A, k=1)[1], largest, rtol=1e-5)


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.int32, np.int64, bool])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_integer_operands_become_what_numpy_makes_of_them(dtype, integer):
    A, x = symmetric().astype(dtype), (np.arange(60).reshape(30, 2) % 5).astype(integer)
    expected = A.todense() @ x
    for found, y in ((A @ x, expected), (A @ x[:, 0], expected[:, 0]), (x.T @ A.T, expected.T)):
        assert found.dtype == y.dtype
        np.testing.assert_allclose(found, y, rtol=1e-2 if dtype == np.float16 else 1e-5)
    listed = A @ x[:, 0].tolist()
    np.testing.assert_allclose(listed, expected[:, 0], rtol=1e-2)


def test_integer_operands_of_bfloat16():
    A = symmetric().astype("bfloat16")
    assert (A @ np.ones(30, np.int8)).dtype == ml_dtypes.bfloat16
    assert (A @ np.ones(30, np.int16)).dtype == np.float32


def test_diagonals_in_scipys_ways():
    d = np.arange(3.0)
    for given in (d, [d], [0, 1, 2], (0.0, 1, 2)):
        np.testing.assert_array_equal(gossamer.diags(given).todense(), np.diag(d))
    stencil = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(5, 5)).toarray()
    for given in ([1, -2, 1], [1.0, -2, [1, 1, 1, 1]]):
        found = gossamer.diags(given, [-1, 0, 1], (5, 5))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found.todense(), stencil)
    assert gossamer.diags([1j], [0], (2, 2)).dtype == np.complex128
    with pytest.raises(ValueError, match=r"2 diagonals at offsets \[0\]"):
        gossamer.diags([d, d])
    with pytest.raises(TypeError, match=r"diagonals\[0\] has dtype int64"):
        gossamer.diags([d.astype(np.int64)])


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda A: A.getrow(0), AttributeError, r"'CSRArray' object .* 'getrow'; use A\[i\]$"),
        (lambda A: A.T.sum_duplicates(), AttributeError, r"'CSCArray'.*tocsr\(canonical=True\)"),
        (lambda A: A.sqrt(), AttributeError, r"use A.with_data\(numpy.sqrt\(A.data\)\)"),
        (lambda A: A.tolil(), AttributeError, r"use A.to_scipy\(\).tolil"),
        (lambda A: A.indeces, AttributeError, r"has no attribute 'indeces'$"),
        (lambda A: gossamer.hstack([A, A]), AttributeError, r"use scipy.sparse.hstack of A.to_sci"),
        (lambda A: gossamer.eye_array(3), AttributeError, r"use gossamer.eye$"),
        (lambda A: gossamer.kernels, AttributeError, r"has no attribute 'kernels'$"),
        (lambda A: A.transpose((0, 1)), ValueError, r"axes = \(0, 1\), expected None or \(1, 0\)"),
        (lambda A: A.max(axis=0), ValueError, r"use A.to_scipy\(\).max\(axis\)"),
        (lambda A: A.diagonal(1.5), TypeError, r"diagonal: k = 1.5, expected an integer"),
        (lambda A: A.mean(2), ValueError, r"axis = 2, expected None, 0 or 1"),
    ],
)
def test_what_is_not_there(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt(gossamer.eye(3))


def test_what_replaces_scipys_names():
    """The advice is right: each of its expressions does what SciPy's method does."""
    A = symmetric()
    S = A.to_scipy()
    np.testing.assert_array_equal(A[:, 2:3].todense(), S.toarray()[:, 2:3])
    np.testing.assert_array_equal(A.with_data(np.sqrt(A.data)).todense(), S.sqrt().toarray())
    values = np.arange(30.0)
    changed = A - gossamer.diags(A.diagonal()) + gossamer.diags(values)
    S.setdiag(values)
    np.testing.assert_array_equal(changed.todense(), S.toarray())
