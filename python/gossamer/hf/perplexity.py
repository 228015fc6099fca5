# SPDX-License-Identifier: Apache-2.0
"""How well a model predicts a text."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from ..out_of_memory import memory_for
from ..prune.calibration import check_positions


def perplexity(
    model: Any,
    tokens: Tensor,
    length: int = 512,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """Perplexity: the exponential of the mean loss a token.

    Parameters
    ----------
    tokens
        Token ids, int64, shape (n,). They are taken in windows that do not overlap, and the first
        token of each is not predicted.
    length
        Tokens of a window.
    progress
        Called with the number of windows done and of all.

    Raises
    ------
    ValueError
        If there are fewer than two tokens, length is less than 2, or a window has more tokens than
        the model has positions.
    """
    if len(tokens) < 2 or length < 2:
        raise ValueError(
            f"a text of {len(tokens)} tokens in windows of {length}: expected two or more of both"
        )
    windows = [window for window in tokens.split(length) if len(window) > 1]
    check_positions(model, "windows have the length", len(windows[0]))
    device = next(model.parameters()).device
    loss, predicted = 0.0, 0
    with torch.inference_mode():
        for done, window in enumerate(windows):
            with memory_for(f"predicting {len(window)} tokens", "shorter windows take less"):
                ids = window.to(device).unsqueeze(0)
                logits = model(ids, use_cache=False).logits[0, :-1]
                loss += cross_entropy(logits.float(), ids[0, 1:], reduction="sum").item()
            predicted += len(window) - 1
            progress(done + 1, len(windows))
    return math.exp(loss / predicted)
