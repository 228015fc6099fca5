# SPDX-License-Identifier: Apache-2.0
"""What is known of stored positions in every format."""

from __future__ import annotations

from typing import Any

from .registry import register


class Positions:
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

    def on_host(self) -> Any:
        """Return the same positions in the CPU's memory; itself where they are there."""
        return self

    def beside(self, values: Any) -> Any:
        """Return the same positions where structural operations on such values take them."""
        return self
