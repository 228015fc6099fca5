# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""What the containers share that hold a pattern of their own."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import CooPattern, Indices, Pattern
from .base import SparseArray

Self = TypeVar("Self", bound="PatternedArray")


class PatternedArray(SparseArray):
    """A container over a pattern, and values in its order.

    The values in another order, in which products ask for them, are kept only where nobody can
    write to what they were gathered from.
    """

    __slots__ = ("_moved_data", "_pattern")

    _pattern: Pattern | CooPattern

    def __init__(self, pattern: Pattern | CooPattern, data: Array, arrays: Adapter) -> None:
        self._pattern = pattern
        self._data = data
        self._arrays = arrays
        self._moved_data: Array | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return self._pattern.rows, self._pattern.cols

    @property
    def index_dtype(self) -> np.dtype[Any]:
        return self._pattern.index_dtype

    @property
    def has_sorted_indices(self) -> bool:
        return self._pattern.sorted

    @property
    def has_canonical_format(self) -> bool:
        return self._pattern.canonical

    @property
    def _structure(self) -> Pattern | CooPattern:
        return self._pattern

    def _moved(self, index_map: Indices) -> Array:
        """Return the values in the order of the one map that a container of this kind has."""
        if self._moved_data is not None:
            return self._moved_data
        data = self._arrays.freeze(self._arrays.gather(self._data, index_map))
        if self._arrays.is_frozen(self._data):
            self._moved_data = data
        return data

    def _with_data(self: Self, data: Array, arrays: Adapter | None = None) -> Self:
        pattern = self._pattern if arrays is None else self._pattern.beside(data)
        return type(self)(pattern, data, arrays or self._arrays)
