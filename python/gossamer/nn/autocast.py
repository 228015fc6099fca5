# SPDX-License-Identifier: Apache-2.0
"""What a linear layer computes in under ``torch.autocast``."""

from __future__ import annotations

import torch

from ..arrays.torch.host import NAMES


def autocast_dtype(x: torch.Tensor, layer: str) -> torch.dtype | None:
    """Dtype that autocast asks for on x's device, or None where it is off.

    Raises TypeError naming the layer if x is no tensor of values.
    """
    if not isinstance(x, torch.Tensor):
        raise TypeError(f"{layer}: x is a {type(x).__qualname__}; use torch.as_tensor(x)")
    if x.dtype not in NAMES:
        raise TypeError(f"{layer}: x has dtype {x.dtype}; convert it, as with x.to(torch.float32)")
    device = x.device.type
    is_cast = device != "meta" and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if is_cast else None
