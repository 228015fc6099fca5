# SPDX-License-Identifier: Apache-2.0
"""The engine's operations in programs that XLA compiles, through ``jax.ffi``.

Built where jaxlib's headers were found; `CALLS` is empty elsewhere. Structures go into a program by
address: who lowers a call keeps them alive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .. import _engine
from ..dtypes import promote
from ..structure import Pattern, Selection, check_values
from . import kernels
from .adapter import Array
from .operands import within_rank

_HANDLERS = _engine.xla_handlers()
for _name, _handler in _HANDLERS.items():
    jax.ffi.register_ffi_target(f"gossamer_{_name}", _handler, platform="cpu")


def _call(name: str, shape: Any, dtype: Any, *arrays: Array, **attributes: Any) -> Array:
    given = {
        key: value if isinstance(value, bool) else np.int64(value)
        for key, value in (attributes | {"session": _engine.xla_session()}).items()
    }
    result = jax.ShapeDtypeStruct(tuple(shape), dtype)
    return jax.ffi.ffi_call(f"gossamer_{name}", result)(*arrays, **given)


def matmul(values: Array, x: Array, pattern: Pattern, transpose: bool, swapped: bool) -> Array:
    """Y = A X, or Aᵀ X; swapped, X and Y are the transposed ones."""
    shape = kernels.matmul_shape(x.shape, pattern, transpose, swapped)
    if transpose:
        pattern, index_map = pattern.transpose()
        values = segment_sum(values, Selection(pattern.nnz, index_map))
    swapped = swapped and x.ndim > 1
    x = kernels.folded(x, swapped)
    folded = kernels.matmul_shape(x.shape, pattern, False, swapped)
    check_values(values, pattern.nnz)
    pattern.find_runs()
    address = pattern.handle.address
    y = _call("matmul", folded, x.dtype, values, x, pattern=address, swapped=swapped)
    return y.reshape(shape)


def sddmm(u: Array, v: Array, pattern: Pattern) -> Array:
    """Values of U Vᵀ at the positions, summed over batches."""
    factors = within_rank(u), within_rank(v)
    return _call("sddmm", (pattern.nnz,), u.dtype, *factors, pattern=pattern.handle.address)


def spgemm(
    a_values: Array, b_values: Array, a: Pattern, b: Pattern, c: Pattern, transpose_b: bool
) -> Array:
    """Values of A B, or A Bᵀ, at c's positions."""
    check_values(a_values, a.nnz)
    check_values(b_values, b.nnz)
    return _call(
        "spgemm",
        (c.nnz,),
        a_values.dtype,
        a_values,
        b_values,
        a=a.handle.address,
        b=b.handle.address,
        product=c.handle.address,
        transpose_b=transpose_b,
    )


def segment_sum(values: Array, selection: Selection) -> Array:
    """Sums of selected values."""
    check_values(values, selection.cols)
    index_map, segments = selection.index_map, selection.segments
    indices = index_map if segments is None else segments
    assert indices is not None
    return _call(
        "segment_sum",
        (selection.rows,),
        values.dtype,
        values,
        index_map=0 if index_map is None else index_map.ctypes.data,
        segments=0 if segments is None else segments.ctypes.data,
        is_wide=indices.dtype == np.int64,
    )


def todense(values: Array, pattern: Pattern, transposed: bool) -> Array:
    """Return the dense matrix, or its transpose; duplicates are summed."""
    check_values(values, pattern.nnz)
    shape, address = kernels.dense_shape(pattern, transposed), pattern.handle.address
    return _call("todense", shape, values.dtype, values, pattern=address, transposed=transposed)


def packed_matmul(x: Array, matrix: Any, transpose: bool, swapped: bool) -> Array:
    """P X, or Pᵀ X; swapped, X and the result are transposed."""
    shape = kernels.matmul_shape(x.shape, matrix, transpose, swapped)
    x, swapped = within_rank(x), swapped and x.ndim > 1
    folded = kernels.matmul_shape(x.shape, matrix, transpose, swapped)
    flags = {"transpose": transpose, "swapped": swapped}
    address = matrix.handle.address
    dtype = jax.numpy.dtype(matrix.result_dtype(x.dtype.name))
    return _call("packed_matmul", folded, dtype, x, matrix=address, **flags).reshape(shape)


def tracked_packed_matmul(
    values: Array, x: Array, slots: Any, transpose: bool, swapped: bool
) -> Array:
    """P X, or Pᵀ X, for a matrix of these values in its slots; otherwise as `packed_matmul`."""
    shape = kernels.product_shape(x.shape, slots.shape, transpose, swapped)
    x, swapped = within_rank(x), swapped and x.ndim > 1
    folded = kernels.product_shape(x.shape, slots.shape, transpose, swapped)
    flags = {"transpose": transpose, "swapped": swapped}
    dtype = jax.numpy.dtype(promote(values.dtype.name, x.dtype.name))
    check_values(values, len(slots.zeros.values))
    address = slots.zeros.handle.address
    y = _call("tracked_packed_matmul", folded, dtype, values, x, matrix=address, **flags)
    return y.reshape(shape)


def verified(values: Array, x: Array, matrix: Any) -> Array:
    """Return x where the values are those of the matrix; the program fails where they are not."""
    check_values(values, len(matrix.values))
    return _call("verified", x.shape, x.dtype, values, x, matrix=matrix.handle.address)


_OPERATIONS: tuple[Callable[..., Array], ...] = (
    matmul,
    sddmm,
    spgemm,
    segment_sum,
    todense,
    packed_matmul,
    tracked_packed_matmul,
    verified,
)
#: Operations that a program can call, by the names that they have in `kernels`.
CALLS = {f.__name__: f for f in _OPERATIONS if f.__name__ in _HANDLERS}
