# SPDX-License-Identifier: Apache-2.0
"""What pruning needs to know of a layer's inputs, summed over the calibration windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn


class Statistic(Protocol):
    """Sums over a layer's inputs."""

    def __init__(self, features: int, device: torch.device) -> None: ...

    def add(self, x: Tensor) -> None:
        """Take in inputs of shape (..., features)."""


class InputNorms:
    """Sum of squares of each input feature, float32, shape (features,)."""

    def __init__(self, features: int, device: torch.device) -> None:
        self.squares = torch.zeros(features, device=device)

    def add(self, x: Tensor) -> None:
        """Take in inputs of shape (..., features)."""
        self.squares += x.reshape(-1, x.shape[-1]).float().square().sum(0)


class Gram:
    """XᵀX over all inputs, float32, shape (features, features)."""

    def __init__(self, features: int, device: torch.device) -> None:
        self.matrix = torch.zeros(features, features, device=device)

    def add(self, x: Tensor) -> None:
        """Take in inputs of shape (..., features)."""
        rows = x.reshape(-1, x.shape[-1]).float()
        self.matrix.addmm_(rows.T, rows)


S = TypeVar("S", bound=Statistic)


def collect_statistics(
    layers: Mapping[str, nn.Linear], kind: type[S], run: Callable[[], Any]
) -> dict[str, S]:
    """Statistics of the layers' inputs while ``run`` runs.

    Layers that are given the same tensor, as queries, keys and values are, share one statistic.

    Raises
    ------
    ValueError
        If a layer was given no input.
    """
    statistics: dict[str, S] = {}
    leaders = set()
    last: tuple[Tensor | None, S | None] = None, None

    def observe(name: str, x: Tensor) -> None:
        nonlocal last
        if name not in statistics:
            shared = last[1] if x is last[0] else None
            statistics[name] = shared or kind(x.shape[-1], x.device)
            if shared is None:
                leaders.add(name)
        last = x, statistics[name]
        if name in leaders:
            statistics[name].add(x)

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
        return lambda _, arguments: observe(name, arguments[0])

    handles = [layer.register_forward_pre_hook(hook(name)) for name, layer in layers.items()]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    unseen = [name for name in layers if name not in statistics]
    if unseen:
        raise ValueError(
            f"{unseen[0]!r} was given no input by the calibration text; skip it, or draw more "
            f"samples"
        )
    return statistics
