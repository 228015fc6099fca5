# SPDX-License-Identifier: Apache-2.0
"""Pruning by magnitude: by row, by layer, and over many layers at once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor


def zero_lowest_of_rows(weight: Tensor, scores: Tensor, sparsity: float) -> None:
    """Zero in each row the weights of the lowest scores, in place.

    Parameters
    ----------
    weight, scores
        Of shape (rows, columns).
    """
    count = round(sparsity * weight.shape[1])
    lowest = torch.topk(scores, count, dim=1, largest=False, sorted=False).indices
    weight.scatter_(1, lowest, 0)


def zero_smallest(weights: Sequence[Tensor], sparsity: float) -> None:
    """Zero the smallest moduli of all the weights together: exactly that share, in place.

    Of equal moduli the first ones become zero. The threshold is found by counting the upper, then
    the lower 16 bits of the moduli, since float32 numbers without sign are ordered as their bits
    are; so no more than one weight is copied at a time.
    """
    rank = round(sparsity * sum(weight.numel() for weight in weights))
    if rank == sum(weight.numel() for weight in weights):
        for weight in weights:
            weight.zero_()
        return
    upper, rank = _digit(rank, (_modulus_bits(weight) >> 16 for weight in weights))
    lower, ties = _digit(rank, (_lower_bits(_modulus_bits(weight), upper) for weight in weights))
    threshold = upper << 16 | lower
    for weight in weights:
        bits = _modulus_bits(weight)
        weight.masked_fill_(bits < threshold, 0)
        if ties:
            equal = (bits == threshold).flatten().nonzero().flatten()[:ties]
            weight.view(-1)[equal] = 0
            ties -= len(equal)


def _modulus_bits(weight: Tensor) -> Tensor:
    return weight.float().abs().view(torch.int32)


def _lower_bits(bits: Tensor, upper: int) -> Tensor:
    return bits[bits >> 16 == upper] & 0xFFFF


def _digit(rank: int, digits: Iterable[Tensor]) -> tuple[int, int]:
    """16-bit digit of the element of that rank from below, and its rank among equal digits."""
    counts = sum(torch.bincount(part.flatten(), minlength=1 << 16) for part in digits)
    through = counts.cumsum(0)
    digit = int(torch.searchsorted(through, rank, right=True))
    return digit, rank - int(through[digit] - counts[digit])
