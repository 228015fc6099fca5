# SPDX-License-Identifier: Apache-2.0
"""Packed arrays from their parts, validated once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..arrays import Adapter, adapter_of, host_adapter
from ..dtypes import dtype_name
from .array import PackedArray
from .dtypes import has_scales, numpy_dtype, packed_dtype_name
from .selection import DENSE_VALUES, FORMATS

_DTYPES = {"positions": ("uint8",), "row_offsets": ("int32", "int64"), "scales": ("float32",)}


def part_names(format: str, dtype_name: str) -> tuple[str, ...]:
    """Names of the arrays that a matrix of that format and value type consists of."""
    if format == "dense":
        return ("values",)
    scales = ("scales",) if has_scales(dtype_name) else ()
    return ("values", "positions", "row_offsets", *scales)


def packed_array(
    format: str, dtype: Any, shape: tuple[int, int], parts: dict[str, Any], *, copy: bool = True
) -> PackedArray:
    """Build a PackedArray from arrays that came from outside, checking all of them.

    Parameters
    ----------
    format
        "bitmap", "gap4", "gap8" or "dense".
    dtype
        Value type, by name or as a NumPy dtype.
    parts
        Arrays of one framework: ``values``, of the dtype; ``positions``, uint8, and
        ``row_offsets``, int32 or int64, unless the format is dense; ``scales``, float32, for int8
        and float8_e4m3. Each contiguous; their lengths are those of docs/formats.md. ``values`` are
        borrowed.
    copy
        Copy those of the other arrays that somebody could still write to. False is the caller's
        promise that nobody does.

    Raises
    ------
    TypeError, ValueError
        Naming the array, or the element in it, that is wrong.
    """
    if format not in FORMATS:
        raise ValueError(f"format = {format!r}, expected one of {', '.join(FORMATS)}")
    value_type = packed_dtype_name(dtype, "dtype")
    if format == "dense" and value_type != DENSE_VALUES:
        raise TypeError(f"dtype = {value_type!r}, expected {DENSE_VALUES} for the format 'dense'")
    names = part_names(format, value_type)
    if set(parts) != set(names):
        raise ValueError(
            f"a {format} matrix of {value_type} consists of {', '.join(names)}, but given are "
            f"{', '.join(parts) or 'none'}"
        )
    dtypes = {**_DTYPES, "values": (numpy_dtype(value_type).name,)}
    for name in names:
        if dtype_name(parts[name].dtype) not in dtypes[name]:
            expected = " or ".join(dtypes[name])
            raise TypeError(f"{name} has dtype {parts[name].dtype}, expected {expected}")
    rows, cols = _check_shape(shape)
    if format == "dense" and tuple(parts["values"].shape) != (rows, cols):
        raise ValueError(
            f"values has shape {tuple(parts['values'].shape)}, expected {(rows, cols)}"
        )
    arrays = adapter_of(parts["values"]) or host_adapter()
    kept = {name: _kept(arrays, x, copy and name != "values") for name, x in parts.items()}
    storage = arrays.packed_storage(format, value_type, (rows, cols), kept)
    return PackedArray(storage, None if format == "dense" else storage.count_nonzeros())


def _check_shape(shape: Any) -> tuple[int, int]:
    rows, cols = (int(length) for length in shape)
    if min(rows, cols) < 0 or math.prod((rows, cols)) >= 2**63:
        raise ValueError(
            f"shape = {(rows, cols)}, expected two lengths with fewer than 2**63 elements"
        )
    return rows, cols


def _kept(arrays: Adapter, x: Any, copy: bool) -> Any:
    """Return a view, read-only where the framework can, or a copy of what could be written to."""
    if copy and not arrays.is_frozen(x):
        return arrays.freeze(arrays.copy(x))
    return arrays.freeze(x.view()) if isinstance(x, np.ndarray) else x
