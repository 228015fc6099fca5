# SPDX-License-Identifier: Apache-2.0
"""To and from JAX's own sparse arrays, ``jax.experimental.sparse``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .containers import SparseArray


def from_jax(matrix: Any) -> SparseArray:
    """Take over a ``BCSR`` as CSR, a ``BCOO`` as COO.

    Parameters
    ----------
    matrix
        Of rank 2, without batch and dense axes. Its values are borrowed, those of a BCSR with
        their indices; they may be traced, the indices not. Padding, as JAX makes it where ``nse``
        is more than there is to store, is left out.

    Raises
    ------
    TypeError
        If it is neither, or its dtype is not supported.
    ValueError
        If it is not of rank 2, or an index is wrong.
    """
    from jax.experimental.sparse import BCOO, BCSR

    from .arrays.jax import adapter
    from .construct import coo_array, csr_array
    from .dtypes import check_value_dtype, dtype_name

    if not isinstance(matrix, BCOO | BCSR):
        raise TypeError(
            f"from_jax: matrix is {type(matrix).__name__}, expected a BCOO or BCSR of "
            f"jax.experimental.sparse"
        )
    if matrix.ndim != 2 or matrix.n_batch > 0 or matrix.n_dense > 0:
        raise ValueError(
            f"from_jax: matrix has shape {matrix.shape}, {matrix.n_batch} batch and "
            f"{matrix.n_dense} dense axes, expected two sparse axes"
        )
    advice = "give it other data, as data.astype('float32')"
    check_value_dtype(dtype_name(matrix.dtype), "from_jax: matrix", how=advice)
    indices = adapter.tonumpy(matrix.indices)
    if isinstance(matrix, BCSR):
        data, indptr = matrix.data, adapter.tonumpy(matrix.indptr)
        if 0 <= indptr[-1] < len(indices):
            data, indices = data[: indptr[-1]], indices[: indptr[-1]]
        return csr_array((data, indices, indptr), matrix.shape, copy=False)
    row, col = indices.T
    data, inside = matrix.data, (row < matrix.shape[0]) & (col < matrix.shape[1])
    if not inside.all():
        data, row, col = data[np.flatnonzero(inside)], row[inside], col[inside]
    return coo_array((data, (row, col)), matrix.shape, copy=False)


def to_jax(a: SparseArray) -> Any:
    """Return JAX's sparse array of a's format; see `SparseArray.to_jax`."""
    import jax
    from jax.experimental.sparse import BCOO, BCSR

    from .arrays.jax import adapter

    if not isinstance(a.data, jax.Array):
        raise TypeError(
            f"to_jax: A holds {type(a.data).__module__} arrays, expected JAX's; A.to('jax') has "
            f"them"
        )
    if a.format == "csc":
        raise TypeError("to_jax: A is CSC, which JAX has not; write A.tocsr().to_jax()")
    flags = {"indices_sorted": a.has_sorted_indices, "unique_indices": a.has_canonical_format}
    first, second = a._index_arrays()
    if a.format == "coo":
        indices = adapter.fromnumpy(np.stack([first, second], axis=1))
        return BCOO((a.data, indices), shape=a.shape, **flags)
    arrays = a.data, adapter.fromnumpy(first), adapter.fromnumpy(second)
    return BCSR(arrays, shape=a.shape, **flags)
