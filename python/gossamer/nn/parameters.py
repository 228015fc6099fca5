# SPDX-License-Identifier: Apache-2.0
"""Parameters of a module, as its forward pass takes them."""

from __future__ import annotations

from typing import Any

from torch import nn


def quickly(module: nn.Module, name: str) -> Any:
    """Return an attribute, which is looked for among the parameters first: modules do it last."""
    parameters = module._parameters
    return parameters[name] if name in parameters else getattr(module, name)
