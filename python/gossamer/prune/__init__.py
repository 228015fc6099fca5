# SPDX-License-Identifier: Apache-2.0
"""Pruning of causal language models made of ``torch.nn.Linear`` layers. Needs PyTorch."""

from typing import TYPE_CHECKING

from ..optional import needed_by
from ..scipy_names import public

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

if not TYPE_CHECKING:  # type checkers know all names
    __getattr__, __dir__ = public(__name__, __all__)
