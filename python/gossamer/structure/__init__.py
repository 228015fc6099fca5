# SPDX-License-Identifier: Apache-2.0
"""Stored positions, apart from values: patterns, and the index maps by which values follow."""

from .coo import CooPattern
from .indices import (
    Indices,
    empty_offsets,
    freeze,
    index_arrays,
    index_dtype,
    integer,
    integers,
    is_frozen,
)
from .pattern import Pattern, below, beside, common_index_dtype, kron, on_diagonals
from .selection import Selection, check_values

__all__ = [
    "CooPattern",
    "Indices",
    "Pattern",
    "Selection",
    "below",
    "beside",
    "check_values",
    "common_index_dtype",
    "empty_offsets",
    "freeze",
    "index_arrays",
    "index_dtype",
    "integer",
    "integers",
    "is_frozen",
    "kron",
    "on_diagonals",
]
