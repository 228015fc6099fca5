# SPDX-License-Identifier: Apache-2.0
"""Where the slots of a packed matrix are: what gradients by its values need to know."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..arrays import to_host
from ..structure import Indices, Pattern, Selection

if TYPE_CHECKING:
    from .storage import PackedStorage

_LARGEST_GAP = {"gap4": 15, "gap8": 255}
# Columns to which a row of a bitmap is padded.
_BITMAP_COLUMNS = 32


def slot_pattern(
    format: str, rows: int, cols: int, positions: Any, row_offsets: Indices
) -> Pattern:
    """Position of every slot, row by row, those of fillers included; arrays of NumPy."""
    slots = int(row_offsets[-1])
    if format == "bitmap":
        bits = np.unpackbits(positions, bitorder="little")
        columns = np.flatnonzero(bits) % max(1, _padded(cols))
    else:
        # Running over all rows, then from each row's beginning.
        reached = np.cumsum(_gaps(format, positions)[:slots] + np.int64(1))
        before = np.concatenate([[0], reached])[row_offsets[:-1]]
        columns = reached - np.repeat(before, np.diff(row_offsets)) - 1
    return Pattern(rows, cols, row_offsets, columns.astype(row_offsets.dtype), True, True)


def _padded(cols: int) -> int:
    return -(-cols // _BITMAP_COLUMNS) * _BITMAP_COLUMNS


def _gaps(format: str, positions: Any) -> Any:
    if format == "gap8":
        return positions
    return np.stack([positions & 15, positions >> 4], -1).reshape(-1)  # the low nibble is first


class Slots:
    """The slots of a packed matrix, from its stored arrays as NumPy's.

    What is derived is made when it is asked for, and kept: at most one index a slot each.

    Attributes
    ----------
    format, shape, positions, row_offsets
        As of the matrix.
    """

    def __init__(
        self, format: str, shape: tuple[int, int], values: Any, positions: Any, row_offsets: Any
    ) -> None:
        self.format = format
        self.shape = shape
        self.positions = positions
        self.row_offsets = row_offsets
        self._values = values

    def over(self, values: Any) -> PackedStorage:
        """Return the matrix of other values, a NumPy array without scales."""
        from .storage import PackedStorage

        name = values.dtype.name
        return PackedStorage(
            self.format, name, self.shape, values, self.positions, self.row_offsets
        )

    @cached_property
    def zeros(self) -> PackedStorage:
        """The matrix with zeros in its slots, whose place the engine is told others' values for."""
        return self.over(np.zeros(len(self._values), np.float32))

    @cached_property
    def _is_stored(self) -> Any:
        """Whether a slot is no filler: a zero behind the largest gap, as no stored element is."""
        count = int(self.row_offsets[-1])
        if self.format not in _LARGEST_GAP:
            return np.ones(count, bool)

        gaps = _gaps(self.format, self.positions)[:count]
        return (to_host(self._values)[:count] != 0) | (gaps != _LARGEST_GAP[self.format])

    def keep(self, pattern: Pattern, kept: Any) -> None:
        """Say which positions of a pattern are stored, of which some may have been rounded to zero.

        ``kept`` is true where the pattern's element is stored.
        """
        if np.count_nonzero(self._is_stored) == np.count_nonzero(kept):
            return
        slots, elements = (
            p.row_indices() * np.int64(max(1, p.cols)) + p.indices for p in (self.pattern, pattern)
        )
        self._is_stored = np.isin(slots, elements[kept])

    def spread(self, source: Indices, count: int) -> Selection:
        """Return the selection from ``count`` values to a stored array; fillers become zeros.

        ``source`` names the value of each stored element, in their order.
        """
        index_map = np.full(len(self._values), -1, np.int64)
        index_map[np.flatnonzero(self._is_stored)] = source
        return Selection(count, index_map)

    @cached_property
    def pattern(self) -> Pattern:
        """Position of every slot, fillers included."""
        return slot_pattern(self.format, *self.shape, self.positions, self.row_offsets)

    @cached_property
    def padded(self) -> Selection:
        """From one value for each slot to the stored array, which is zero behind the last one."""
        count = len(self._is_stored)
        index_map = np.full(len(self._values), -1, self.row_offsets.dtype)
        index_map[:count] = np.arange(count)
        return Selection(count, index_map)

    @cached_property
    def kept(self) -> Selection | None:
        """From any stored array to one with zeros in fillers and padding; None if it has neither.

        So the positions of a matrix whose values are trained stay the same.
        """
        length = len(self._values)
        if len(self._is_stored) == length and self._is_stored.all():
            return None
        return self.spread(np.flatnonzero(self._is_stored), length)

    @cached_property
    def nonzeros(self) -> tuple[Pattern, Selection]:
        """Positions without fillers, and the selection of their values from the stored array."""
        slots = self.pattern
        before = np.concatenate([[0], np.cumsum(self._is_stored)])
        index_map = np.flatnonzero(self._is_stored).astype(slots.index_dtype)
        indptr = before[slots.indptr].astype(slots.index_dtype)
        pattern = Pattern(slots.rows, slots.cols, indptr, slots.indices[index_map], True, True)
        return pattern, Selection(len(self._values), index_map)
