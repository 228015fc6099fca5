# SPDX-License-Identifier: Apache-2.0
"""What a linear layer computes in under ``torch.autocast``."""

from __future__ import annotations

import torch

from ..arrays.torch.host import NAMES

#: What autocast leaves alone: 16 bits would cut it.
_KEPT = {torch.float64, torch.complex64, torch.complex128}


def autocast_dtype(
    x: torch.Tensor, layer: str, values: torch.Tensor | None = None
) -> torch.dtype | None:
    """Dtype that autocast asks for on x's device, or None where it is off.

    None too where x, or the values of the layer, are complex or float64: PyTorch casts no such.
    Raises TypeError naming the layer if x is no tensor of values.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{layer}: x is a {type(x).__qualname__}; use torch.as_tensor(x)")
    if x.dtype not in NAMES:
        raise TypeError(f"{layer}: x has dtype {x.dtype}; convert it, as with x.to(torch.float32)")
    device = "cpu" if x.is_cpu else "cuda" if x.is_cuda else x.device.type
    is_cast = device != "meta" and torch.is_autocast_enabled(device)
    if not is_cast or x.dtype in _KEPT or (values is not None and values.dtype in _KEPT):
        return None
    return torch.get_autocast_dtype(device)
