# SPDX-License-Identifier: Apache-2.0
"""The battery's matrices as containers of every format and dtype, entries in stored order."""

from typing import Any

import gossamer
import numpy as np
import pytest
from battery.battery import Matrix, matrices
from error_bound import BFLOAT16, Reference, sum_terms, wide

FORMATS = ("csr", "csc", "coo")
DTYPES = [
    np.dtype(name) for name in ("float16", "float32", "float64", "complex64", "complex128")
] + [BFLOAT16]
INDEX_DTYPES = [np.dtype(np.int32), np.dtype(np.int64)]

every_matrix = pytest.mark.parametrize("matrix", matrices(), ids=lambda m: m.name)
# What is compared element by element.
every_dense_matrix = pytest.mark.parametrize(
    "matrix", [m for m in matrices() if m.rows * m.cols <= 2**17], ids=lambda m: m.name
)
every_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)
every_format = pytest.mark.parametrize("format", FORMATS)
every_index_dtype = pytest.mark.parametrize("index_dtype", INDEX_DTYPES, ids=str)


def named(name: str) -> Matrix:
    return next(m for m in matrices() if m.name == name)


def cast(x: Any, dtype: np.dtype) -> Any:
    """Cast complex numbers; a real dtype takes the real part."""
    with np.errstate(all="ignore"):
        return (x if dtype.kind == "c" else x.real).astype(dtype)


def values(matrix: Matrix, dtype: np.dtype) -> Any:
    return cast(matrix.data, dtype)


def build(
    matrix: Matrix, dtype: Any, format: str = "csr", index_dtype: Any = np.int32
) -> gossamer.SparseArray:
    """The container with the entries of each row or column in the order of the battery."""
    data, shape = values(matrix, np.dtype(dtype)), (matrix.rows, matrix.cols)
    row, col = matrix.row.astype(index_dtype), matrix.col.astype(index_dtype)
    if format == "coo":
        return gossamer.coo_array((data, (row, col)), shape)
    major, minor, count = (row, col, matrix.rows) if format == "csr" else (col, row, matrix.cols)
    order = np.argsort(major, kind="stable")
    indptr = np.zeros(count + 1, index_dtype)
    np.cumsum(np.bincount(major, minlength=count), out=indptr[1:])
    make = gossamer.csr_array if format == "csr" else gossamer.csc_array
    return make((data[order], minor[order], indptr), shape)


def dense(matrix: Matrix, dtype: np.dtype) -> Reference:
    """Every element, in the wide dtype, with the number of entries that it sums."""
    cells = sum_terms(
        matrix.row * matrix.cols + matrix.col,
        values(matrix, dtype).astype(wide(dtype)),
        matrix.rows * matrix.cols,
    )
    shape = matrix.rows, matrix.cols
    return Reference(
        *(x.reshape(shape) for x in (cells.value, cells.scale, cells.finite, cells.terms))
    )


def product(matrix: Matrix, dtype: np.dtype, x: Any, transpose: bool = False) -> Reference:
    """A @ x, or A.T @ x, in the wide dtype; x of shape (n, ...) in the same dtype."""
    row, col, rows = matrix.row, matrix.col, matrix.rows
    if transpose:
        row, col, rows = col, row, matrix.cols
    data = values(matrix, dtype).astype(wide(dtype))
    data = data.reshape(-1, *[1] * (x.ndim - 1))
    with np.errstate(all="ignore"):
        return sum_terms(row, data * x.astype(wide(dtype))[col], rows)


def operand(shape: tuple[int, ...], dtype: np.dtype, seed: int = 0) -> Any:
    rng = np.random.default_rng(seed)
    return cast(rng.standard_normal(shape) + 1j * rng.standard_normal(shape), np.dtype(dtype))
