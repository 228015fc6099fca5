# SPDX-License-Identifier: Apache-2.0
"""SparseGPT: prune column by column, and let the later columns make up for what is lost.

Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
arXiv 2301.00774, algorithm 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

#: Columns whose mask is chosen at once.
BLOCK = 128
#: Share of the mean diagonal that is added to XᵀX, so that it can be inverted.
DAMPING = 0.01


def prune_and_compensate(weight: Tensor, gram: Tensor, sparsity: float) -> None:
    """Zero a share of each group of columns and update the rest, in place.

    Parameters
    ----------
    weight
        Shape (rows, columns).
    gram
        XᵀX of the layer's inputs, float32, shape (columns, columns).

    Raises
    ------
    ValueError
        If the inputs are not finite.
    """
    W = weight.float()
    factor = _inverse_factor(gram)
    diagonal = factor.diagonal()
    for first in range(0, W.shape[1], BLOCK):
        group = slice(first, min(first + BLOCK, W.shape[1]))
        columns = W[:, group]
        scores = (columns / diagonal[group]).square()
        pruned = _lowest(scores, round(sparsity * scores.numel()))
        errors = torch.zeros_like(columns)
        for i in range(columns.shape[1]):
            j = first + i
            error = torch.where(pruned[:, i], columns[:, i], 0) / diagonal[j]
            columns[:, i:].addr_(error, factor[j, j : group.stop], alpha=-1)
            errors[:, i] = error
        columns.masked_fill_(pruned, 0)
        W[:, group.stop :].addmm_(errors, factor[group, group.stop :], alpha=-1)
    weight.copy_(W)


def _lowest(scores: Tensor, count: int) -> Tensor:
    """Mask of the lowest scores."""
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[torch.topk(scores.flatten(), count, largest=False, sorted=False).indices] = True
    return mask.view_as(scores)


def _inverse_factor(gram: Tensor) -> Tensor:
    """Upper Cholesky factor of the inverse of the damped matrix.

    A feature that was always zero is given a diagonal of 1: its weights then cost nothing.
    """
    if not torch.isfinite(gram).all():
        raise ValueError("a layer's calibration inputs are not finite")
    diagonal = gram.diagonal()
    damping = DAMPING * diagonal.mean()
    damped = gram + torch.diag(torch.where(diagonal == 0, 1.0, damping))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(damped))
    return torch.linalg.cholesky(inverse, upper=True)
