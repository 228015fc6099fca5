# SPDX-License-Identifier: Apache-2.0
"""What is known of stored positions in every format."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .registry import register

# Positions a row from which adding up rows is faster than a product with the kept transpose. Two
# threads of a Xeon, float32, microseconds by rows and by the transpose: 20,000 rows with 2 each 147
# and 54, 100,000 with 1 546 and 274, 250,000 with 5 989 and 1316, 131,072 with 18 1496 and 2621.
_ADDED_PER_ROW = 4


class Positions(ABC):
    """Stored positions of a matrix of shape (rows, cols), immutable, their arrays left open.

    Attributes
    ----------
    rows, cols
        Shape.
    sorted
        True if the positions are known to be in the format's order.
    canonical
        True if it is known to be sorted, no position stored twice.
    number
        What `registry.structure_of` finds it by.
    """

    __slots__ = ("__weakref__", "canonical", "cols", "number", "rows", "sorted")

    def __init__(self, rows: int, cols: int, sorted: bool, canonical: bool) -> None:
        self.rows = rows
        self.cols = cols
        self.sorted = sorted or canonical
        self.canonical = canonical
        self.number = register(self)

    @property
    @abstractmethod
    def nnz(self) -> int:
        """Number of stored positions."""

    @property
    def adds_rows(self) -> bool:
        """Whether adding up rows is faster than a vector's product with the transposed pattern.

        It holds sums for every column, so these must not be many beside the values.
        """
        return self.nnz >= _ADDED_PER_ROW * self.rows and self.cols <= 2 * self.nnz

    def on_host(self) -> Any:
        """Return the same positions in the CPU's memory; itself where they are there."""
        return self

    def beside(self, values: Any) -> Any:
        """Return the same positions where structural operations on such values take them."""
        return self
