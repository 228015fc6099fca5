# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in SparseArray
"""What the containers share that hold a pattern of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from ..arrays import Adapter, Array
from ..structure import CooPattern, Pattern
from .base import SparseArray

Self = TypeVar("Self", bound="PatternedArray")


class PatternedArray(SparseArray):
    """A container over a pattern, and values in its order.

    The values as another order of the positions has them, in which operations ask for them, are
    kept only where nobody can write to what they were gathered from.
    """

    __slots__ = ("_kept", "_pattern")

    _pattern: Pattern | CooPattern

    def __init__(self, pattern: Pattern | CooPattern, data: Array, arrays: Adapter) -> None:
        self._pattern = pattern
        self._data = data
        self._arrays = arrays
        self._kept: dict[str, Array] = {}

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

    def _ordered(self, order: str, values: Callable[[], Array]) -> Array:
        """Return the values in an order that the pattern keeps, by the order's name."""
        data = self._kept.get(order)
        if data is None:
            data = self._arrays.freeze(values())
            if self._arrays.is_frozen(self._data):
                self._kept[order] = data
        return data

    def _with_data(self: Self, data: Array, arrays: Adapter | None = None) -> Self:
        pattern = self._pattern if arrays is None else self._pattern.beside(data)
        return type(self)(pattern, data, arrays or self._arrays)
