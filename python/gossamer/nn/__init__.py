# SPDX-License-Identifier: Apache-2.0
"""Layers of PyTorch over sparse and packed weights."""

from ..optional import needed_by

with needed_by("gossamer.nn"):
    from .packed_linear import PackedLinear, pack_linears
    from .sparse_linear import SparseLinear

__all__ = ["PackedLinear", "SparseLinear", "pack_linears"]
