# SPDX-License-Identifier: Apache-2.0
"""Calibration text: windows of tokens, drawn at random."""

from __future__ import annotations

from typing import Any

import torch


def calibration_windows(
    tokenizer: Any, text: str, samples: int = 128, length: int = 512, seed: int = 0
) -> torch.Tensor:
    """Draw windows of consecutive tokens from a text.

    Parameters
    ----------
    tokenizer
        A tokenizer of transformers.
    samples, length
        How many windows, and the tokens of each.
    seed
        The same seed draws the same windows.

    Returns
    -------
    Tensor of shape (samples, length), int64.

    Raises
    ------
    ValueError
        If the text is empty or has fewer tokens than a window.
    """
    if not text.strip():
        raise ValueError("the calibration text is empty")
    tokens = text_tokens(tokenizer, text)
    if len(tokens) < length:
        raise ValueError(
            f"the calibration text has {len(tokens)} tokens, fewer than a window of {length}; give "
            f"a longer text or shorter windows"
        )
    generator = torch.Generator().manual_seed(seed)
    starts = torch.randint(len(tokens) - length + 1, (samples,), generator=generator)
    return torch.stack([tokens[start : start + length] for start in starts.tolist()])


def text_tokens(tokenizer: Any, text: str) -> torch.Tensor:
    """Tokens of a text of any length, int64, without the model's special ones."""
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return torch.tensor(ids, dtype=torch.int64)


def check_positions(model: Any, what: str, tokens: int) -> None:
    """Raise ValueError, beginning with `what`, for more tokens than a model has positions."""
    positions = model_positions(model)
    if positions is not None and tokens > positions:
        raise ValueError(f"{what} {tokens}, more than the model's {positions} positions")


def model_positions(model: Any) -> int | None:
    """Tokens that a model takes at once; None if it does not say."""
    positions = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return positions if positions and positions > 0 else None  # XLNet says -1


def usual_window(model: Any) -> int:
    """Tokens of a window where none are asked for: 512, or as many as the model takes."""
    return min(512, model_positions(model) or 512)
