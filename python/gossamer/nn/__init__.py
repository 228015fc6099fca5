# SPDX-License-Identifier: Apache-2.0
"""Layers of PyTorch over sparse and packed weights."""

from .packed_linear import PackedLinear, pack_linears

__all__ = ["PackedLinear", "pack_linears"]
