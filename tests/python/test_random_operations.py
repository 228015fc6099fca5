# SPDX-License-Identifier: Apache-2.0
"""Random matrices of every kind, shrunk by hypothesis where they differ from SciPy's results."""

import gossamer
import numpy as np
import pytest
from cases import DTYPES, FORMATS, INDEX_DTYPES
from hypothesis import given, settings
from hypothesis import strategies as st

sparse = pytest.importorskip("scipy.sparse")

settings.register_profile("gossamer", deadline=None, derandomize=True, max_examples=150)
settings.load_profile("gossamer")

# Small integers, so that every dtype computes exactly and results can be compared for equality.
VALUES = [d for d in DTYPES if d.name != "bfloat16"]


@st.composite
def containers(draw, shape=None):
    """A container and the SciPy array of the same entries, with duplicates, in any order."""
    rows, cols = shape or draw(st.tuples(st.integers(0, 9), st.integers(0, 9)))
    count = draw(st.integers(0, 25)) if rows and cols else 0
    entry = st.tuples(
        st.integers(0, max(rows - 1, 0)), st.integers(0, max(cols - 1, 0)), st.integers(-4, 4)
    )
    entries = np.array(draw(st.lists(entry, min_size=count, max_size=count)), int).reshape(-1, 3)
    row, col, data = entries.T
    dtype, index_dtype = draw(st.sampled_from(VALUES)), draw(st.sampled_from(INDEX_DTYPES))
    indices = row.astype(index_dtype), col.astype(index_dtype)
    A = gossamer.coo_array((data.astype(dtype), indices), (rows, cols))
    S = sparse.coo_array((data.astype(complex), (row, col)), shape=(rows, cols)).tocsr()
    return A.asformat(draw(st.sampled_from(FORMATS))), S


def small(shape, seed=0):
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(np.float32)


@given(containers(), st.integers(0, 3), st.integers(0, 2))
def test_products(pair, k, batch):
    A, S = pair
    m, n = A.shape
    D = S.toarray()
    np.testing.assert_array_equal(A @ small(n), D @ small(n))
    np.testing.assert_array_equal(A @ small((n, k)), D @ small((n, k)))
    np.testing.assert_array_equal(A @ small((batch, n, k)), D @ small((batch, n, k)))
    np.testing.assert_array_equal(small(m) @ A, small(m) @ D)
    np.testing.assert_array_equal(small((batch, k, m)) @ A, small((batch, k, m)) @ D)
    np.testing.assert_array_equal(A.H @ small(m), D.conj().T @ small(m))


@given(st.data(), st.integers(0, 7), st.integers(0, 7), st.integers(0, 7))
def test_sparse_products(data, m, k, n):
    A, S = data.draw(containers((m, k)))
    B, T = data.draw(containers((k, n)))
    product = A @ B
    assert product.format == A.format
    assert product.has_canonical_format
    np.testing.assert_array_equal(product.todense(), (S @ T).toarray())


@given(st.data(), st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_sums(data, shape):
    A, S = data.draw(containers(shape))
    B, T = data.draw(containers(shape))
    for total, expected in ((A + B, S + T), (A - B, S - T), (A + (-A) * 2, -S)):
        assert total.format == A.format
        assert total.has_canonical_format
        np.testing.assert_array_equal(total.todense(), expected.toarray())


@given(containers(), st.integers(-11, 11))
def test_reductions(pair, k):
    A, S = pair
    D = S.toarray()
    np.testing.assert_array_equal(A.sum(axis=0), D.sum(axis=0))
    np.testing.assert_array_equal(A.sum(axis=1), D.sum(axis=1))
    assert A.sum() == D.sum()
    assert A.trace(k) == (np.trace(D, k) if D.size else 0)
    inside = -A.shape[0] < k < A.shape[1]
    np.testing.assert_array_equal(A.diagonal(k), np.diagonal(D, k) if inside else [])


@given(containers(), st.slices(12), st.slices(12), st.data())
def test_reading(pair, rows, cols, data):
    A, S = pair
    D = S.toarray()
    np.testing.assert_array_equal(A[rows, cols].todense(), D[rows, cols])
    np.testing.assert_array_equal(A[rows].todense(), D[rows])
    if D.size:
        i = data.draw(st.integers(-A.shape[0], A.shape[0] - 1))
        j = data.draw(st.integers(-A.shape[1], A.shape[1] - 1))
        assert A[i, j] == D[i, j]
        np.testing.assert_array_equal(A[i].todense()[0], D[i])


def numbers(length):
    return st.lists(st.integers(-length, length - 1), max_size=12) if length else st.just([])


@given(containers(), st.data())
def test_rows_and_columns_by_number(pair, data):
    A, S = pair
    rows, cols = (data.draw(numbers(length)) for length in A.shape)
    if data.draw(st.booleans()):
        cols.sort()
    B = A[rows][:, cols]
    np.testing.assert_array_equal(B.todense(), S.toarray()[np.ix_(*map(np.int64, (rows, cols)))])
    # The constructor refuses what it is told of the order where that is wrong.
    told = {"sorted_indices": B.has_sorted_indices, "canonical": B.has_canonical_format}
    make = getattr(gossamer, f"{B.format}_array")
    make((B.data, *((B.coords,) if B.format == "coo" else (B.indices, B.indptr))), B.shape, **told)


@given(containers(), st.sampled_from(FORMATS), st.booleans())
def test_conversions(pair, format, canonical):
    A, S = pair
    B = getattr(A, f"to{format}")(canonical=canonical)
    np.testing.assert_array_equal(B.todense(), S.toarray())
    assert B.has_canonical_format or not canonical
    C = gossamer.from_scipy(B.to_scipy(copy=True)) if B.dtype != np.float16 else B
    np.testing.assert_array_equal(C.todense(), S.toarray())
