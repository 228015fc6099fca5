# SPDX-License-Identifier: Apache-2.0
"""Parameters of a module, as its forward pass and its state take them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def quickly(module: nn.Module, name: str) -> Any:
    """Return an attribute, which is looked for among the parameters first: modules do it last."""
    parameters = module._parameters
    return parameters[name] if name in parameters else getattr(module, name)


def warn_of_dense_weight(layer: nn.Module, state: dict[str, Any], prefix: str, way: str) -> None:
    """Say how a layer takes a dense weight, where a state to be loaded holds that.

    A warning: PyTorch names the keys itself, and whether loading is strict it tells no layer.
    """
    if prefix + "weight" in state and prefix + "values" not in state:
        warnings.warn(
            f"{type(layer).__name__} takes no dense weight from a state; load that into the dense "
            f"model, and then {way}",
            stacklevel=2,
        )


def refusal(layer: nn.Module, prefix: str, why: object) -> str:
    """Describe for ``load_state_dict`` what a layer does not take, as PyTorch names its layers."""
    kind = f"{type(layer).__name__} of shape ({layer.out_features}, {layer.in_features})"
    return f"{prefix.removesuffix('.')}: {kind}: {why}".removeprefix(": ")


def check_tensors(parts: Mapping[str, Any]) -> None:
    """Raise TypeError naming a part of a state that is no tensor."""
    for name, part in parts.items():
        if not isinstance(part, torch.Tensor):
            raise TypeError(f"{name} is a {type(part).__name__}, expected a tensor")
