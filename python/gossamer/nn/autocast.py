# SPDX-License-Identifier: Apache-2.0
"""What a linear layer computes in under ``torch.autocast``."""

from __future__ import annotations

import torch


def autocast_dtype(x: torch.Tensor) -> torch.dtype | None:
    """Dtype that autocast asks for on x's device, or None where it is off."""
    device = x.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
