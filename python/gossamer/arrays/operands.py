# SPDX-License-Identifier: Apache-2.0
"""Shapes of the dense operands of products."""

from __future__ import annotations

import math
from typing import Any

#: Axes that the engine's views have at most.
MAX_RANK = 8


def within_rank(x: Any) -> Any:
    """Fold the leading axes of an array that has more than the engine's views."""
    if x.ndim <= MAX_RANK:
        return x
    return x.reshape(math.prod(x.shape[:-2]), *x.shape[-2:])


def check_fits(
    shape: tuple[int, ...], matrix: tuple[int, int], swapped: bool, name: str = "A"
) -> None:
    """Raise ValueError unless an x of that shape fits an m × n matrix, or, swapped, its transpose.

    ``name`` is how the message calls that matrix.
    """
    m, n = matrix
    if shape and shape[-1 if swapped or len(shape) == 1 else -2] == n:
        return
    if swapped:
        raise ValueError(
            f"x @ {name}: x has shape {tuple(shape)}, expected ({n},), (k, {n}) or (..., k, {n}) "
            f"for {name} of shape ({n}, {m})"
        )
    raise ValueError(
        f"{name} @ x: x has shape {tuple(shape)}, expected ({n},), ({n}, k) or (..., {n}, k) "
        f"for {name} of shape ({m}, {n})"
    )
