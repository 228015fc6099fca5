# SPDX-License-Identifier: Apache-2.0
"""Run a model block by block, so that each sees the outputs of the pruned blocks before it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NoReturn

from torch import Tensor, nn


class _FirstBlockReachedError(Exception):
    """Ends a forward pass once the first block's input is known."""


class BlockRunner:
    """The hidden states of all windows in front of one block after the other.

    Parameters
    ----------
    model
        In evaluation mode; each block takes hidden states first and returns them first.
    windows
        Token ids, shape (samples, length).
    """

    def __init__(self, model: nn.Module, blocks: Sequence[nn.Module], windows: Tensor) -> None:
        device = next(model.parameters()).device
        self._calls = _calls_of_blocks(model, blocks, windows[:1].to(device))
        self._hidden = [
            _first_hidden_states(model, blocks[0], window.to(device)) for window in windows.split(1)
        ]

    def run(self, index: int, block: nn.Module, keep: bool) -> None:
        """Run a block on all windows; ``keep`` makes its outputs the next block's inputs."""
        arguments, options = self._calls[index]
        for i, hidden in enumerate(self._hidden):
            output = block(hidden, *arguments, **options)
            if keep:
                self._hidden[i] = output[0] if isinstance(output, tuple) else output


def _calls_of_blocks(
    model: nn.Module, blocks: Sequence[nn.Module], tokens: Tensor
) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """What the model gives each block besides the hidden states: positions, masks.

    It is the same for all windows of a length.
    """
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def record(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        rest = {name: value for name, value in options.items() if name != "hidden_states"}
        calls.append((arguments[1:], rest))

    with ExitStack() as hooks:
        for block in blocks:
            handle = block.register_forward_pre_hook(record, with_kwargs=True)
            hooks.callback(handle.remove)
        model(tokens, use_cache=False)
    if len(calls) != len(blocks):
        raise ValueError(
            f"{type(model).__name__} ran {len(calls)} blocks for its {len(blocks)}; expected each "
            f"to run once, in order"
        )
    return calls


def _first_hidden_states(model: nn.Module, block: nn.Module, tokens: Tensor) -> Tensor:
    found: list[Tensor] = []

    def stop(_: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> NoReturn:
        found.append(arguments[0] if arguments else options["hidden_states"])
        raise _FirstBlockReachedError

    handle = block.register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model(tokens, use_cache=False)
    except _FirstBlockReachedError:
        pass
    finally:
        handle.remove()
    return found[0]
