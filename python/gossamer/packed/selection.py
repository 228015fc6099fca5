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
#: The value type in which "dense" stores: the one that BLAS multiplies as it is.
DENSE_VALUES = "float32"

#: Share of a format's bytes by which it may exceed the smallest one and still be taken.
TOLERANCE = 0.02

# Which format is the fastest at about equal bytes: gaps are walked by slots, a bitmap by positions,
# and 8-bit gaps need fewer fillers. Xeon with AVX-512, one thread, 3072 x 3072 float32 in cache, ms
# for bitmap / gap4 / gap8: 15%: 0.73 / 0.54 / 0.52, 25%: 0.67 / 0.69 / 0.72, 50%: 1.9 / 2.5 / 2.7.
_GAPS_BELOW = 0.25
_FASTEST_FIRST = {True: ("gap8", "gap4", "bitmap"), False: ("bitmap", "gap4", "gap8")}


def stored_bytes(format: str, dtype_name: str, shape: tuple[int, int], slots: int) -> int:
    """Bytes of a packed matrix of that many slots, all parts included."""
    rows, cols = shape
    item: int = numpy_dtype(dtype_name).itemsize
    scales = 4 * rows if has_scales(dtype_name) else 0
    values, positions = _engine.packed_layout(format, rows, cols, slots)
    return values * item + positions + (rows + 1) * offset_dtype(shape, slots).itemsize + scales


def offset_dtype(shape: tuple[int, int], slots: int) -> np.dtype[Any]:
    """Dtype of the row offsets: int32 where they fit."""
    return index_dtype(*shape, slots)


def choose_format(dtype_name: str, shape: tuple[int, int], slots: Mapping[str, int]) -> str:
    """Format of fewest bytes; among those within `TOLERANCE` of it the fastest.

    "dense" where it is not larger, for float32 values.

    Parameters
    ----------
    slots
        Slots that the matrix takes in each of `PACKED_FORMATS`.
    """
    rows, cols = shape
    sizes = {name: stored_bytes(name, dtype_name, shape, slots[name]) for name in PACKED_FORMATS}
    smallest = min(sizes.values())
    if dtype_name == DENSE_VALUES and rows * cols * 4 <= smallest:
        return "dense"
    by_speed = _FASTEST_FIRST[slots["bitmap"] < _GAPS_BELOW * rows * cols]
    return next(name for name in by_speed if sizes[name] <= smallest * (1 + TOLERANCE))
