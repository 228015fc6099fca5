# SPDX-License-Identifier: Apache-2.0
"""Layers of PyTorch over sparse and packed weights."""

from typing import TYPE_CHECKING

from ..optional import needed_by
from ..scipy_names import public

with needed_by("gossamer.nn"):
    from .packed_linear import PackedLinear
    from .packing import pack_linears
    from .sparse_linear import SparseLinear

__all__ = ["PackedLinear", "SparseLinear", "pack_linears"]

if not TYPE_CHECKING:  # type checkers know all names
    __getattr__, __dir__ = public(__name__, __all__)
