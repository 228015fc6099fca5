# SPDX-License-Identifier: Apache-2.0
"""Sums of selected values: what every structural operation does to the values."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .. import _engine
from .indices import Indices, host_indices
from .registry import register


def check_values(values: Any, count: int) -> None:
    """Raise ValueError unless there are as many values as the structure has.

    Transformations of pytrees can change a container's values and leave its structure.
    """
    if tuple(values.shape) != (count,):
        raise ValueError(f"values have shape {tuple(values.shape)}, expected ({count},)")


class Selection:
    """A matrix of zeros and ones: each result is the sum of some of the values.

    Result s is the sum of values[index_map[p]] over the p from segments[s] up to segments[s + 1].
    Without segments it is values[index_map[s]], zero where the map is -1; without a map,
    index_map[p] is p. The transpose, which gradients need, is another selection.

    Attributes
    ----------
    rows, cols
        Number of results and of values.
    prepared
        What a device keeps for sums by it, as of a `Pattern`.
    """

    __slots__ = (
        "__weakref__",
        "_transpose",
        "cols",
        "index_map",
        "number",
        "prepared",
        "rows",
        "segments",
    )

    def __init__(
        self, values: int, index_map: Indices | None = None, segments: Indices | None = None
    ) -> None:
        if segments is not None:
            self.rows = len(segments) - 1
        else:
            self.rows = values if index_map is None else len(index_map)
        self.cols = values
        self.index_map = index_map
        self.segments = segments
        self.number = register(self)
        self.prepared: dict[Any, Any] = {}
        self._transpose: Selection | None = None

    def transpose(self) -> Selection:
        """Selection by the transposed matrix, made on the first call and kept."""
        if self._transpose is None:
            self._transpose = self._made_transpose()
            self._transpose._transpose = self
        return self._transpose

    def _made_transpose(self) -> Selection:
        index_map, segments = (
            None if x is None else host_indices(x) for x in (self.index_map, self.segments)
        )
        if segments is None:
            assert index_map is not None
            stored = np.flatnonzero(index_map >= 0).astype(index_map.dtype)
            source, result = index_map[stored], stored
        else:
            numbers = np.arange(self.rows, dtype=segments.dtype)
            result = np.repeat(numbers, np.diff(segments))
            first, last = int(segments[0]), int(segments[-1])
            if index_map is None:
                if (first, last) == (0, self.cols):
                    return Selection(self.rows, result)
                source = np.arange(first, last, dtype=result.dtype)
            else:
                source = index_map[first:last]
        empty = partial(np.empty, dtype=source.dtype)
        segments, positions = empty(self.cols + 1), empty(len(source))
        _engine.coo_to_csr(
            self.cols, self.rows, source, result, True, segments, positions, empty(len(source))
        )
        return Selection(self.rows, positions, segments)
