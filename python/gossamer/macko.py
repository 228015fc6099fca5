# SPDX-License-Identifier: Apache-2.0
"""MACKO's interface: a matrix as the five parts of its 4-bit gap format.

MACKO-SpMV: Macko, Boza, arXiv 2511.13061. The parts are those of a "gap4" `gossamer.PackedArray`,
byte for byte; see docs/formats.md.
"""

from __future__ import annotations

import operator
import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from . import packed
from .arrays import Adapter, adapter_of, host_adapter
from .dtypes import dtype_name
from .packed import PackedArray
from .packed.construct import packed_array
from .scipy_names import public

__all__ = ["compress", "multiply", "parts", "to_packed"]

#: Values, deltas, row indices, rows, columns.
Compressed = tuple[Any, Any, Any, int, int]

_PARTS = ("values", "positions", "row_offsets")


def compress(M: Any) -> Compressed:
    """Compress a matrix into MACKO's parts.

    Parameters
    ----------
    M
        Matrix of float16, bfloat16 or float32; dense of any strides, or sparse.

    Returns
    -------
    values
        Nonzeros and fillers row by row, of M's dtype, padded with zeros to a multiple of 8.
    deltas
        Two gaps a byte, low nibble first, uint8: the zeros before each value.
    row_indices
        Offset of each row into values, and their end, shape (rows + 1,), int32.
    rows, cols
        Shape of M.

    Raises
    ------
    TypeError, ValueError
        As those of `gossamer.compress`.
    """
    return parts(packed.compress(M, "gap4"))


def multiply(compressed: Compressed, v: Any) -> Any:
    """Multiply a compressed matrix and a vector.

    Parameters
    ----------
    compressed
        The five parts, arrays of one framework. They are validated when these very arrays are first
        seen; row indices and deltas that somebody could still write to are copied then, and later
        changes to them are not seen.
    v
        Vector of shape (cols,), or (cols, k), of float16, bfloat16 or float32.

    Returns
    -------
    array
        Of v's framework, shape (rows,) or (rows, k); dtype as of ``PackedArray @ v``.

    Raises
    ------
    TypeError, ValueError
        For parts of a wrong dtype or length, gaps that leave their row, a v that does not fit.
    """
    return to_packed(compressed) @ v


def parts(array: PackedArray) -> Compressed:
    """Return the five parts of a "gap4" array, shared with it.

    Raises
    ------
    ValueError
        If it has another format or 8-bit values, or is a transposed view.
    """
    stored = array._storage.parts()
    if array.format != "gap4" or "scales" in stored or array._transposed:
        raise ValueError(f"parts: array is {array!r}, expected gap4 with values of 16 or 32 bits")
    return stored["values"], stored["positions"], stored["row_offsets"], *array.shape


def to_packed(compressed: Compressed) -> PackedArray:
    """Return the five parts as a PackedArray; errors as those of `multiply`."""
    try:
        values, deltas, row_indices, rows, cols = compressed
    except (TypeError, ValueError):
        raise ValueError(
            "compressed is not (values, deltas, row_indices, rows, cols), as compress returns it"
        ) from None
    arrays = adapter_of(values) or host_adapter()
    shape = operator.index(rows), operator.index(cols)
    if arrays.is_tracing():  # then there are no contents to look at
        return _over((values, deltas, row_indices), shape, arrays)
    return _to_packed((values, deltas, row_indices), shape, arrays)


def _to_packed(parts: tuple[Any, Any, Any], shape: tuple[int, int], arrays: Adapter) -> PackedArray:
    is_host = arrays is host_adapter()
    given = tuple(np.asarray(part) if is_host else part for part in parts)
    key = *map(id, given), *shape
    found = _validated.get(key)
    if found is None:
        array = packed_array("gap4", given[0].dtype, shape, dict(zip(_PARTS, given, strict=True)))
        _remember(key, given, array)
        return array
    copies, array_of_alias = found
    if array_of_alias is not None:
        if arrays.is_alias(array_of_alias.data, given[0]):
            return array_of_alias
        _keep(key, given[0], copies, shape, arrays)  # the memory before is not ours to keep
    stored = tuple(part if copy is None else copy for part, copy in zip(given, copies, strict=True))
    return _over(stored, shape, arrays)


def _over(stored: tuple[Any, ...], shape: tuple[int, int], arrays: Adapter) -> PackedArray:
    """Return the array of parts that need no look at their contents."""
    dtype, parts = dtype_name(stored[0].dtype), dict(zip(_PARTS, stored, strict=True))
    return PackedArray(arrays.packed_storage("gap4", dtype, shape, parts))


# Parts that were validated, by identity: the copy that was made of each, None where it is used
# itself; and where an alias of the values can be had, the array over that. Nothing here refers to
# an array object of the caller's, so that it dies when the caller drops it.
_validated: dict[tuple[int, ...], tuple[tuple[Any, Any, Any], PackedArray | None]] = {}


def _remember(key: tuple[int, ...], given: tuple[Any, ...], array: PackedArray) -> None:
    values, deltas, row_indices = given
    stored, arrays = array._storage.parts(), array._storage.arrays
    copies = (
        None,
        None if arrays.is_frozen(deltas) else stored["positions"],
        None if arrays.is_frozen(row_indices) else stored["row_offsets"],
    )
    _keep(key, values, copies, array.shape, arrays)
    for part in given:
        weakref.finalize(part, _validated.pop, key, None).atexit = False


def _keep(
    key: tuple[int, ...],
    values: Any,
    copies: tuple[Any, Any, Any],
    shape: tuple[int, int],
    arrays: Adapter,
) -> None:
    """Note the copies, and the array over an alias of the values if one can be had."""
    alias = arrays.alias(values)
    kept = None if alias is None else _over((alias, *copies[1:]), shape, arrays)
    _validated[key] = copies, kept


if not TYPE_CHECKING:  # type checkers know all names
    __getattr__, __dir__ = public(__name__, __all__)
