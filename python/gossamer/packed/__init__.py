# SPDX-License-Identifier: Apache-2.0
"""Packed matrices: smaller than dense from 5% to 90% density."""

from .array import PackedArray, multiply
from .packing import compress

__all__ = ["PackedArray", "compress", "multiply"]
