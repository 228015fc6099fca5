# SPDX-License-Identifier: Apache-2.0
"""Which format a matrix is packed in: counted bytes, and how fast the kernels are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _engine
from ..structure import index_dtype
from .dtypes import has_scales, numpy_dtype

#: In the order in which the engine counts them.
PACKED_FORMATS = ("bitmap", "gap4", "gap8")
FORMATS = (*PACKED_FORMATS, "dense")

#: Share of a format's bytes by which it may exceed the smallest one and still be taken.
TOLERANCE = 0.02

# Formats by their speed at about equal bytes, fastest first. A bitmap is walked by positions, gaps
# by slots, and 8-bit gaps need fewer fillers.
_FASTEST_FIRST = ("bitmap", "gap8", "gap4")


def stored_bytes(format: str, dtype_name: str, shape: tuple[int, int], slots: int) -> int:
    """Bytes of a matrix of that many slots, all parts included."""
    rows, cols = shape
    item: int = numpy_dtype(dtype_name).itemsize
    scales = 4 * rows if has_scales(dtype_name) else 0
    if format == "dense":
        return rows * cols * item + scales
    values, positions = _engine.packed_layout(format, rows, cols, slots)
    return values * item + positions + (rows + 1) * offset_dtype(shape, slots).itemsize + scales


def offset_dtype(shape: tuple[int, int], slots: int) -> np.dtype[Any]:
    """Dtype of the row offsets: int32 where they fit."""
    return index_dtype(*shape, slots)


def choose_format(dtype_name: str, shape: tuple[int, int], slots: Mapping[str, int]) -> str:
    """Format of fewest bytes; among those within `TOLERANCE` of it the fastest; dense where larger.

    Parameters
    ----------
    slots
        Slots that the matrix takes in each of `PACKED_FORMATS`.
    """
    sizes = {name: stored_bytes(name, dtype_name, shape, slots[name]) for name in PACKED_FORMATS}
    smallest = min(sizes.values())
    if stored_bytes("dense", dtype_name, shape, 0) <= smallest:
        return "dense"
    return next(name for name in _FASTEST_FIRST if sizes[name] <= smallest * (1 + TOLERANCE))
