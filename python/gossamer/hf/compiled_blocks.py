# SPDX-License-Identifier: Apache-2.0
"""The blocks of a model as one compiled function, which all of them share."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import torch
from torch import nn
from torch._inductor import config


def _run(block: nn.Module, *arguments: Any, **options: Any) -> Any:
    return type(block).forward(block, *arguments, **options)


@cache
def _compiled() -> Any:
    # Trying configurations of kernels would take memory of the size of a GPU's L2, just when most
    # is taken: 63 MB on an H200.
    options = {"triton.autotune_pointwise": False}
    if hasattr(config, "deterministic"):  # reductions, too; since PyTorch 2.9
        options["deterministic"] = True
    return torch.compile(_run, options=options)


def decoder_blocks(model: Any) -> nn.ModuleList:
    """Return the decoder blocks of a causal language model, packed or not.

    Raises
    ------
    ValueError
        If it has no list of as many blocks as its configuration says.
    """
    count = model.config.num_hidden_layers
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ValueError(
        f"model is a {type(model).__name__} without a list of {count} blocks; expected a causal "
        f"language model such as Llama, Mistral, Qwen, Phi or OPT"
    )


class CompiledBlocks:
    """Runs the blocks of a causal language model compiled, over a static cache.

    The compiler sees a block once and not once a layer: each finds its own part of the cache as the
    first one.

    Parameters
    ----------
    model
        Causal language model of transformers.
    static_cache
        Its StaticCache, into which a prompt has been read.

    Raises
    ------
    ValueError
        As of `decoder_blocks`.
    """

    def __init__(self, model: Any, static_cache: Any) -> None:
        self._blocks = decoder_blocks(model)
        self._numbered = [m for m in self._blocks.modules() if hasattr(m, "layer_idx")]
        self._caches = [_alone(static_cache, layer) for layer in static_cache.layers]

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Let the model's forward run the compiled function in the body."""
        numbers = [module.layer_idx for module in self._numbered]
        for block, alone in zip(self._blocks, self._caches, strict=True):
            block.forward = partial(self._forward, block, alone)
        for module in self._numbered:
            module.layer_idx = 0
        try:
            yield
        finally:
            for block in self._blocks:
                del block.forward
            for module, number in zip(self._numbered, numbers, strict=True):
                module.layer_idx = number

    @staticmethod
    def _forward(block: nn.Module, alone: Any, *arguments: Any, **options: Any) -> Any:
        return _compiled()(block, *arguments, **{**options, "past_key_values": alone})


def _alone(static_cache: Any, layer: Any) -> Any:
    """Return a cache of one layer, that one."""
    for tensor in vars(layer).values():
        if isinstance(tensor, torch.Tensor):
            # Otherwise each layer's tensors would be a case of their own to the compiler.
            torch._dynamo.mark_static_address(tensor, guard=False)
    alone = copy.copy(static_cache)
    alone.layers = [layer]
    return alone
