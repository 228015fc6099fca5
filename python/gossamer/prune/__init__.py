# SPDX-License-Identifier: Apache-2.0
"""Pruning of causal language models made of ``torch.nn.Linear`` layers. Needs PyTorch."""

from ..optional import needed_by

with needed_by("gossamer.prune"):
    from .calibration import calibration_windows
    from .layers import PruningPlan, linear_layers, plan_pruning
    from .model import METHODS, LayerReport, prune_model

__all__ = [
    "METHODS",
    "LayerReport",
    "PruningPlan",
    "calibration_windows",
    "linear_layers",
    "plan_pruning",
    "prune_model",
]
