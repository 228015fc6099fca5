# SPDX-License-Identifier: Apache-2.0
"""Conversions among the formats and to and from dense, with duplicates kept or summed."""

import itertools

import gossamer
import numpy as np
import pytest
from cases import (
    DTYPES,
    FORMATS,
    build,
    dense,
    every_dense_matrix,
    every_dtype,
    every_format,
    every_index_dtype,
    every_matrix,
    named,
)
from error_bound import assert_within

PAIRS = list(itertools.product(FORMATS, FORMATS))


def assert_canonical(A):
    """The flags say canonical, and a constructor that checks agrees."""
    assert A.has_canonical_format
    assert A.has_sorted_indices
    if A.format == "coo":
        keys = A.row.astype(np.int64) * A.shape[1] + A.col
        assert (np.diff(keys) > 0).all()
    else:
        make = {"csr": gossamer.csr_array, "csc": gossamer.csc_array}[A.format]
        make((A.data, A.indices, A.indptr), A.shape, canonical=True)


@every_dense_matrix
@every_dtype
def test_todense(matrix, dtype):
    expected = dense(matrix, dtype)
    for format in FORMATS:
        D = build(matrix, dtype, format).todense()
        assert D.dtype == dtype
        assert D.flags.c_contiguous
        assert_within(D, expected, dtype)


@every_dense_matrix
@every_index_dtype
def test_every_pair_of_formats(matrix, index_dtype):
    expected = dense(matrix, np.dtype(np.float64))
    for source, target in PAIRS:
        A = build(matrix, np.float64, source, index_dtype)
        kept, summed = A.asformat(target), getattr(A, f"to{target}")(canonical=True)
        assert kept.format == summed.format == target
        assert kept.shape == summed.shape == A.shape
        assert kept.index_dtype == summed.index_dtype == index_dtype
        assert kept.nnz == A.nnz
        np.testing.assert_array_equal(np.sort_complex(kept.data), np.sort_complex(A.data))
        assert_within(kept.todense(), expected, np.dtype(np.float64))
        assert_canonical(summed)
        assert summed.nnz == np.count_nonzero(expected.terms)
        assert_within(summed.todense(), expected, np.dtype(np.float64))


@every_matrix
def test_compressing_keeps_the_order_of_duplicates(matrix):
    coo = build(matrix, np.float64, "coo")
    for compressed, keys in (
        (coo.tocsr(), (coo.col, coo.row)),
        (coo.tocsc().T, (coo.row, coo.col)),
    ):
        order = np.lexsort(keys)  # stable, the last key first
        entries = compressed.tocoo()
        np.testing.assert_array_equal(entries.row, keys[1][order])
        np.testing.assert_array_equal(entries.col, keys[0][order])
        np.testing.assert_array_equal(entries.data, coo.data[order])


@every_dtype
@every_format
def test_duplicates_are_summed_in_the_accumulator(dtype, format):
    matrix = named("duplicates")
    expected = dense(matrix, dtype)
    A = getattr(build(matrix, dtype, format), f"to{format}")(canonical=True)
    assert A.dtype == dtype
    row, col = A.tocoo().coords
    value = A.tocoo().data
    full = np.zeros(A.shape, dtype)
    full[row, col] = value
    assert_within(full, expected, dtype)


@every_format
def test_nothing_is_copied_where_nothing_changes(format):
    A = build(named("banded"), np.float64, format)
    assert A.asformat(format) is A
    assert getattr(A, f"to{format}")(canonical=True) is A
    assert A.astype("float64") is A
    copied = A.astype("float64", copy=True)
    assert copied.dtype == A.dtype
    assert not np.shares_memory(copied.data, A.data)
    assert A.conj() is A
    assert +A is A
    assert A.T.data is A.data
    assert A.T.T.T.shape == A.shape[::-1]
    if format != "coo":
        assert A.T.indices is A.indices
        assert A.T.indptr is A.indptr


def test_csr_and_coo_share_what_they_can():
    A = build(named("banded"), np.float64)
    coo = A.tocoo()
    assert coo.data is A.data
    assert coo.col is A.indices
    assert coo.tocsr().data is A.data
    assert coo.tocsr().indices is A.indices


@every_dense_matrix
@every_format
def test_fromdense(matrix, format):
    D = build(matrix, np.complex128).todense()
    A = gossamer.fromdense(D, format=format)
    assert A.format == format
    assert_canonical(A)
    np.testing.assert_array_equal(A.todense(), D)
    assert A.nnz == np.count_nonzero(D)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fromdense_keeps_what_exceeds_the_threshold(dtype):
    D = np.array([[0.5, -2, 1], [np.nan, 1.5, 0.0]]).astype(dtype)
    A = gossamer.fromdense(D, threshold=1)
    assert A.tocoo().row.tolist() == [0, 1, 1]
    assert A.tocoo().col.tolist() == [1, 0, 1]
    assert A[0, 1] == -2
    assert np.isnan(A[1, 0])
    D[1, 0] = 3
    for view in (D[::-1, ::2], D.T, np.asfortranarray(D)):
        np.testing.assert_array_equal(gossamer.fromdense(view).todense(), view)


@every_dtype
@every_format
def test_astype(dtype, format):
    A = build(named("random_0.1"), np.float64, format)
    B = A.astype(dtype)
    assert B.dtype == dtype
    np.testing.assert_array_equal(B.data, A.data.astype(dtype))
    assert B.index_dtype == A.index_dtype


@pytest.mark.parametrize("format", FORMATS)
def test_canonical_positions_are_found_once_and_written_values_seen(format, monkeypatch):
    data = np.array([1.0, 2.0, 3.0, 4.0])
    A = gossamer.coo_array((data, ([0, 0, 1, 1], [1, 1, 2, 0])), (2, 3)).tocsr().asformat(format)
    A = A.with_data(data)
    first = A._canonical()
    if format != "coo":  # conversions of COO keep nothing
        monkeypatch.setattr(gossamer._engine, "count_distinct", None)
        assert A._canonical()._structure is first._structure
    data[:] *= 2
    np.testing.assert_array_equal(first.todense() * 2, A._canonical().todense())
    assert A.max() == 2 * first.max()


def test_sums_of_values_that_nobody_can_write_to_are_kept():
    A = gossamer.coo_array((np.ones(4), ([0, 0, 1, 1], [1, 1, 2, 0])), (2, 3)).tocsr()
    assert A.tocsr(canonical=True).data is A.tocsr(canonical=True).data
    assert A.tocsc().tocsc(canonical=True).nnz == 3
    assert A.copy().tocsr(canonical=True).data is not A.tocsr(canonical=True).data
