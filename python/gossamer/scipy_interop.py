# SPDX-License-Identifier: Apache-2.0
"""To and from ``scipy.sparse``, which is imported only when something becomes SciPy's."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from .dtypes import GIVE_DTYPE, check_value_dtype, numpy_name
from .optional import installing

if TYPE_CHECKING:
    from .containers import SparseArray


def is_scipy_sparse(x: Any) -> bool:
    """Whether x is one of SciPy's sparse arrays or matrices."""
    sparse = sys.modules.get("scipy.sparse")
    return sparse is not None and bool(sparse.issparse(x))


def from_scipy(matrix: Any, *, dtype: Any = None, copy: bool = True) -> SparseArray:
    """Take over a SciPy sparse array or matrix.

    Parameters
    ----------
    matrix
        CSR, CSC and COO keep their format; every other becomes CSR. Values of a supported dtype are
        borrowed.
    dtype
        Cast the values to it, integer ones too; unless given, they keep theirs.
    copy
        False: the index arrays are borrowed as well, and the caller promises not to write to them.

    Raises
    ------
    TypeError
        If it is not SciPy's, or its dtype is not supported.
    ValueError
        If it is not of rank 2, or an index is wrong.
    """
    if not is_scipy_sparse(matrix):
        raise TypeError(
            f"from_scipy: matrix is {type(matrix).__name__}, expected a scipy.sparse array"
        )
    return take_over(matrix, "from_scipy: matrix", copy, dtype, GIVE_DTYPE)


def take_over(
    matrix: Any, argument: str, copy: bool = True, dtype: Any = None, how: str | None = None
) -> SparseArray:
    """Take over what is known to be SciPy's; errors as those of `from_scipy`, by that name.

    ``how`` is the advice to cast that they give.
    """
    from .construct import from_parts

    if dtype is None:
        check_value_dtype(numpy_name(matrix.dtype), argument, how=how)
    if matrix.ndim != 2:
        raise ValueError(f"{argument} has shape {matrix.shape}, expected two axes")
    if matrix.format not in ("csr", "csc", "coo"):
        matrix = matrix.tocsr()
    is_coo = matrix.format == "coo"
    indices = (matrix.row, matrix.col) if is_coo else (matrix.indices, matrix.indptr)
    return from_parts(matrix.format, matrix.data, indices, matrix.shape, dtype, copy)


def to_scipy(a: SparseArray, copy: bool) -> Any:
    """Return the SciPy sparse array of a's format; see `SparseArray.to_scipy`."""
    try:
        from scipy import sparse
    except ModuleNotFoundError as error:
        raise ImportError(f"to_scipy needs SciPy: {installing('scipy')}") from error
    name = a._arrays.dtype_name(a.dtype)
    if name in ("float16", "bfloat16"):
        raise TypeError(
            f"to_scipy: A has dtype {name}, which SciPy's sparse arrays do not support; cast it, "
            f"as A.astype('float32')"
        )
    first, second = a._index_arrays()
    data = a._arrays.tonumpy(a.data)
    if a.format == "coo":
        coo = sparse.coo_array((data, (first, second)), shape=a.shape, copy=copy)
        coo.has_canonical_format = a.has_canonical_format
        return coo
    build = sparse.csr_array if a.format == "csr" else sparse.csc_array
    matrix = build((data, first, second), shape=a.shape, copy=copy)
    if a.has_canonical_format:
        matrix.has_canonical_format = True
    return matrix
