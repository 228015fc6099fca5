# SPDX-License-Identifier: Apache-2.0
"""Matrices made of matrices, against NumPy's of the dense ones; gradients: test_frameworks.py."""

import itertools

import gossamer
import numpy as np
import pytest
from battery.battery import matrices
from cases import FORMATS, build, every_format, every_index_dtype, named
from gossamer.structure.indices import is_frozen

SMALL = [m for m in matrices() if m.rows * m.cols <= 1024]
every_small = pytest.mark.parametrize("matrix", SMALL, ids=lambda m: m.name)


@every_small
@every_format
def test_stacks(matrix, format):
    A = build(matrix, np.float64, format)
    below = gossamer.random_array((3, matrix.cols), density=0.5, dtype="float32", rng=0)
    beside = gossamer.random_array((matrix.rows, 2), density=0.5, rng=1, format="coo")
    dense = A.todense()
    for stack, other, along in (
        (gossamer.vstack, below, np.vstack),
        (gossamer.hstack, beside, np.hstack),
    ):
        stacked = stack([A, other, A])
        assert (stacked.format, stacked.dtype) == (format, np.float64)
        np.testing.assert_array_equal(stacked.todense(), along([dense, other.todense(), dense]))
        assert stacked.nnz == 2 * A.nnz + other.nnz


@every_small
@every_format
def test_kronecker_products(matrix, format):
    A = build(matrix, np.complex128, format)
    B = gossamer.random_array((3, 2), density=0.5, rng=0)
    with np.errstate(all="ignore"):
        for left, right in ((A, B), (B, A)):
            product = gossamer.kron(left, right, format=format)
            assert (product.format, product.nnz) == (format, A.nnz * B.nnz)
            if matrix.name == "nan_inf":  # what is not stored makes no NaN here
                continue
            expected = np.kron(left.todense(), right.todense())
            np.testing.assert_allclose(product.todense(), expected, rtol=1e-14)


@every_format
def test_kronecker_products_of_elements_stored_twice(format):
    twice = gossamer.coo_array(([1.0, 2.0], ([0, 0], [0, 0])), (1, 1))
    other = gossamer.coo_array(([1.0, 10.0, 4.0], ([0, 0, 1], [0, 1, 0])), (2, 2))
    for left, right in ((twice, other), (other, twice)):
        product = gossamer.kron(left.asformat(format), right.asformat(format), format=format)
        expected = np.kron(left.todense(), right.todense())
        assert product.tocsr(canonical=True).nnz == 3
        assert product[0, 1] == expected[0, 1]
        assert product.max() == 30.0
        np.testing.assert_array_equal(product.multiply(product).todense(), expected**2)


def test_nobody_can_write_to_a_product():
    """So what is derived from it may be kept."""
    A = gossamer.kron(gossamer.eye(3, format="coo"), gossamer.eye(2, 3))
    assert all(is_frozen(array) for array in (A.data, A.row, A.col))


@every_index_dtype
def test_what_is_in_order_is_known_to_be(index_dtype):
    A = build(named("random_0.1"), np.float32, index_dtype=index_dtype).tocsr(canonical=True)
    stacked = gossamer.vstack([A, A])
    assert stacked.has_canonical_format
    assert stacked.index_dtype == index_dtype
    for format in FORMATS:
        assert gossamer.hstack([A, A], format=format).format == format


def test_a_product_too_long_for_int32_has_wide_indices():
    A = gossamer.coo_array(([1.0], ([2**20], [2**20])), (2**20 + 1, 2**20 + 1))
    product = gossamer.kron(A, A)
    assert product.index_dtype == np.int64
    assert product.coords == (2**40 + 2**21, 2**40 + 2**21)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_a_product_with_a_matrix_without_elements(shape):
    A = gossamer.csr_array(shape)
    B = gossamer.coo_array(([1.0], ([2**39], [2**39])), (2**40, 2**40))
    for product in (gossamer.kron(A, B, "coo"), gossamer.kron(B, A, "coo")):
        assert product.shape == (shape[0] * 2**40, shape[1] * 2**40)
        assert product.nnz == 0


def test_a_stack_too_long_for_int32_has_wide_indices():
    A = gossamer.coo_array((np.ones(1), (np.int32([2**31 - 2]), np.int32([0]))), (2**31 - 1, 1))
    assert A.index_dtype == np.int32
    for stacked in (gossamer.vstack([A, A]), gossamer.hstack([A.T, A.T]).T):
        assert stacked.index_dtype == np.int64
        np.testing.assert_array_equal(stacked.row, [2**31 - 2, 2**32 - 3])
    longest = gossamer.vstack([_huge(), _huge(2**62 - 1)])
    assert longest.shape == (2**63 - 1, 1)


def test_stacks_of_different_index_dtypes():
    A = gossamer.random_array((3, 4), density=0.5, rng=0)
    arrays = A.data, A.indices.astype(np.int64), A.indptr.astype(np.int64)
    wide = gossamer.csr_array(arrays, A.shape)
    beyond = gossamer.csr_array((np.ones(3), np.full(3, 2**31 - 1), np.arange(4)), (3, 2**40))
    pairs = [*itertools.permutations((A, wide)), (A, A)]
    for format, (left, right) in itertools.product(FORMATS, pairs):
        for stack, along in ((gossamer.vstack, np.vstack), (gossamer.hstack, np.hstack)):
            stacked = stack([left.asformat(format), right.asformat(format)])
            assert stacked.index_dtype == (np.int32 if left is right else np.int64)
            np.testing.assert_array_equal(stacked.todense(), along([A.todense(), A.todense()]))
        product = gossamer.kron(left.asformat(format), right)
        assert product.index_dtype == (np.int32 if left is right else np.int64)
    stacked = gossamer.hstack([A, beyond])
    assert stacked.index_dtype == np.int64
    np.testing.assert_array_equal(stacked[:, :4].todense(), A.todense())
    assert stacked[2, 4 + 2**31 - 1] == 1


@pytest.mark.parametrize("format", ["csr", "coo"])
def test_a_stack_is_as_narrow_as_its_shape(format):
    A = gossamer.coo_array((np.ones(1), ([0], [2**30])), (1, 2**30 + 1)).asformat(format)
    assert gossamer.vstack([A, A, A]).index_dtype == np.int32
    assert gossamer.hstack([A.T, A.T, A.T]).index_dtype == np.int32


def test_a_stack_side_by_side_of_more_columns_than_int32_holds():
    A = gossamer.csr_array((np.ones(1), np.int32([2**31 - 2]), np.int32([0, 1])), (1, 2**31 - 1))
    assert A.index_dtype == np.int32
    stacked = gossamer.hstack([A, A])
    assert stacked.index_dtype == np.int64
    np.testing.assert_array_equal(stacked.indices, [2**31 - 2, 2**32 - 3])


def _huge(rows=2**62):
    return gossamer.coo_array(([], ([], [])), (rows, 1))


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda A: gossamer.vstack([]), ValueError, r"vstack: blocks = \[\], expected a list of"),
        (lambda A: gossamer.vstack(None), ValueError, r"vstack: blocks = None, expected a list of"),
        (lambda A: gossamer.hstack(A), ValueError, r"hstack: blocks = CSRArray.*expected a list"),
        (lambda A: gossamer.vstack([A, np.eye(2)]), TypeError, r"blocks\[1\] is ndarray, expected"),
        (
            lambda A: gossamer.vstack([A, A[:, :1]]),
            ValueError,
            r"vstack: blocks\[1\] has 1 columns and blocks\[0\] 2; ",
        ),
        (
            lambda A: gossamer.hstack([A, A, A[:1]]),
            ValueError,
            r"hstack: blocks\[2\] has 1 rows and blocks\[0\] 2; ",
        ),
        (lambda A: gossamer.kron(A, [1]), TypeError, r"kron: B is list, expected a sparse array"),
        (
            lambda A: gossamer.vstack([_huge()] * 2),
            ValueError,
            r"vstack: .* \(9223372036854775808, 1\)",
        ),
        (lambda A: gossamer.hstack([_huge().T] * 5), ValueError, r"hstack: .* below 2\*\*63"),
        (lambda A: gossamer.kron(_huge(), A), ValueError, r"kron: the result has shape"),
        (lambda A: gossamer.kron(A, A, "bsr"), ValueError, r"kron: format = 'bsr'"),
    ],
)
def test_wrong_blocks(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt(gossamer.eye(2))
