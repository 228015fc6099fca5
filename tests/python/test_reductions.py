# SPDX-License-Identifier: Apache-2.0
"""Sums, norms, diagonals and traces."""

import gossamer
import numpy as np
import pytest
from cases import (
    FORMATS,
    build,
    dense,
    every_dense_matrix,
    every_dtype,
    every_format,
    every_matrix,
    named,
    values,
)
from error_bound import BFLOAT16, Reference, assert_within, real, sum_terms, wide


@every_matrix
@every_dtype
def test_sums(matrix, dtype):
    data = values(matrix, dtype).astype(wide(dtype))
    with np.errstate(all="ignore"):
        rows, cols = (
            sum_terms(matrix.row, data, matrix.rows),
            sum_terms(matrix.col, data, matrix.cols),
        )
        total = sum_terms(np.zeros(data.size, int), data, 1)
    total = Reference(total.value[0], total.scale[0], total.finite[0], total.terms[0])
    for format in FORMATS:
        A = build(matrix, dtype, format)
        with np.errstate(all="ignore"):
            assert_within(A.row_sums(), rows, dtype)
            assert_within(A.sum(axis=1), rows, dtype)
            assert_within(A.sum(axis=-1), rows, dtype)
            assert_within(A.col_sums(), cols, dtype)
            assert_within(A.sum(axis=0), cols, dtype)
            assert_within(A.sum(), total, dtype)
            assert A.sum().dtype == A.row_sums().dtype == dtype


@every_dense_matrix
@every_dtype
def test_norms(matrix, dtype):
    with np.errstate(all="ignore"):
        squares = abs(dense(matrix, dtype).value) ** 2
    for format in FORMATS:
        A = build(matrix, dtype, format)
        with np.errstate(all="ignore"):
            both = (A.row_norms(), 1), (A.col_norms(), 0)
        for norms, axis in both:
            with np.errstate(all="ignore"):
                expected = np.sqrt(squares.sum(axis=axis))
            assert norms.dtype == (dtype if dtype == BFLOAT16 else real(dtype))
            assert norms.shape == expected.shape
            if matrix.name in ("nan_inf", "subnormal_and_huge"):
                continue
            precision = 2.0**-7 if dtype == BFLOAT16 else np.finfo(norms.dtype).eps
            # Duplicates are summed and rounded first.
            np.testing.assert_allclose(
                norms.astype(expected.dtype), expected, rtol=float(precision) * 600, atol=1e-30
            )


@every_dense_matrix
@every_format
def test_diagonals(matrix, format):
    dtype = np.dtype(np.complex128)
    A, expected = build(matrix, dtype, format), dense(matrix, dtype)
    for k in (0, 1, -1, 2, 5, -3, matrix.cols - 1, 1 - matrix.rows, matrix.cols + 3, -matrix.rows):
        reference = Reference(
            *(
                np.diagonal(x, k) if -matrix.rows < k < matrix.cols else np.zeros(0, x.dtype)
                for x in (expected.value, expected.scale, expected.finite, expected.terms)
            )
        )
        assert_within(A.diagonal(k), reference, dtype)


@every_format
@every_dtype
def test_trace(format, dtype):
    for name in ("duplicates", "banded", "tall"):
        matrix = named(name)
        diagonal = (matrix.row == matrix.col) * values(matrix, dtype).astype(wide(dtype))
        total = sum_terms(np.zeros(diagonal.size, int), diagonal, 1)
        reference = Reference(total.value[0], total.scale[0], total.finite[0], total.terms[0])
        A = build(matrix, dtype, format)
        # The elements of the diagonal are rounded to the dtype before they are added.
        extra = total.scale[0] if dtype.itemsize == 2 else 0
        assert_within(A.trace(), reference, dtype, extra=extra)


@every_dense_matrix
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_extremes(matrix, dtype):
    if 0 in (matrix.rows, matrix.cols):
        return
    for format in FORMATS:
        A = build(matrix, BFLOAT16 if dtype == "bfloat16" else np.dtype(dtype), format)
        with np.errstate(all="ignore"):
            D = A.todense().astype(np.float64)
            for name in ("max", "min"):
                for axis in (None, 0, 1):
                    got = getattr(A, name)(axis)
                    assert got.dtype == A.dtype
                    expected = getattr(D, name)(axis=axis)
                    np.testing.assert_array_equal(np.asarray(got, np.float64), expected)


@every_format
def test_sums_along_columns_of_rows_keep_no_transpose(format):
    A = build(named("banded"), np.float32, format)
    rows = A.T if format == "csc" else A
    for sums in (rows.col_sums(), rows.mean(axis=0), rows.tocsr(canonical=True).col_norms()):
        assert sums.shape == (rows.shape[1],)
    assert rows._stored()[0]._transpose is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_a_smallest_element_of_zero_is_positive(dtype):
    A = gossamer.eye(2, dtype=dtype)
    for axis in (0, 1):
        smallest = A.min(axis)
        assert smallest.dtype == A.dtype
        np.testing.assert_array_equal(smallest.astype(np.float64), [0, 0])
        assert not np.signbit(smallest).any()


def test_half_precision_sums_do_not_overflow_on_the_way():
    matrix = named("full_row")._replace(data=np.where(np.arange(130) % 2, -60000, 60000) + 0j)
    A = build(matrix, np.float16)
    assert A.sum() == 0
    assert A.row_sums()[17] == 0


@pytest.mark.parametrize("axis", [2, -3, "rows"])
def test_other_axes_are_refused(axis):
    with pytest.raises(ValueError, match="axis"):
        build(named("full"), np.float32).sum(axis=axis)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("name", ["max", "min"])
@every_format
def test_extremes_without_elements_are_those_of_numpy(shape, axis, name, format):
    A, D = gossamer.csr_array(shape).asformat(format), np.zeros(shape)
    try:
        expected = getattr(D, name)(axis=axis)
    except ValueError:
        with pytest.raises(ValueError, match="no elements"):
            getattr(A, name)(axis=axis)
    else:
        np.testing.assert_array_equal(getattr(A, name)(axis=axis), expected)


@pytest.mark.filterwarnings("error")
def test_extremes_take_nan_as_it_comes():
    A = gossamer.csr_array(np.array([[np.nan, 1], [0, -2.0]]))
    np.testing.assert_array_equal(A.max(axis=0), [np.nan, 1])
    np.testing.assert_array_equal(A.min(axis=1), [np.nan, -2])
