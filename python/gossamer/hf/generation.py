# SPDX-License-Identifier: Apache-2.0
"""Generate token by token, and measure it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

from ..out_of_memory import memory_for
from ..prune.calibration import check_positions
from .compiled_blocks import CompiledBlocks
from .layout import packed_layers
from .memory import captured, drop_workspaces, own_workspaces, peak_bytes, reset_peak

#: Steps before one is captured.
_EAGER_STEPS = 2


@dataclass(frozen=True)
class Generation:
    """What was generated, and at what speed.

    Attributes
    ----------
    tokens
        Ids of the new tokens.
    first_seconds
        From the prompt to the first new token.
    seconds
        For the tokens after the first, with what is compiled for them.
    step_seconds
        Median of these tokens; NaN if there is only one.
    peak_bytes
        Most memory taken meanwhile, the model included; None where the system does not tell.
    """

    tokens: list[int]
    first_seconds: float
    seconds: float
    step_seconds: float
    peak_bytes: int | None

    @property
    def tokens_per_second(self) -> float:
        """Rate of the median step."""
        return 1 / self.step_seconds


class Decoder:
    """A model and its cache of keys and values.

    Parameters
    ----------
    model
        Causal language model of transformers, packed or not.
    length
        Tokens that the cache can hold.
    compiled
        Compile the step of one token, over a cache of fixed size: one block, which all share. On a
        GPU each step is then the replay of one CUDA graph, whose result the next step overwrites.
    mode
        As of ``torch.compile``. Another than "default" compiles the model as a whole; with
        "reduce-overhead" the graphs are PyTorch's own, which do not allow what packed layers keep
        between products.

    Attributes
    ----------
    cache
        That of transformers: a StaticCache if compiled.
    """

    def __init__(
        self, model: Any, length: int, compiled: bool = False, mode: str = "default"
    ) -> None:
        self._model = model
        self._forward = self._logits
        self._in_blocks = compiled and mode == "default"
        self._graphed = self._in_blocks and model.device.type == "cuda"
        self.cache: Any = DynamicCache(config=model.config)
        if compiled:
            self.cache = StaticCache(config=model.config, max_cache_len=length)
            if not self._in_blocks:
                self._forward = torch.compile(self._logits, mode=mode, fullgraph=True)
        self._blocks: CompiledBlocks | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._tokens: Tensor | None = None
        self._eager_steps = 0

    def read(self, prompt: Tensor) -> Tensor:
        """Logits after a prompt of shape (batch, n), shape (batch, vocabulary)."""
        with torch.inference_mode():
            logits = self._logits(prompt)
            if self._graphed:
                drop_workspaces()  # the prompt's, before the layers are there twice
            if self._in_blocks:
                lay_out(self._model, len(prompt), self.cache)
                self._blocks = CompiledBlocks(self._model, self.cache)
        return logits

    def step(self, tokens: Tensor) -> Tensor:
        """Logits after one more token for each of the batch, shape (batch, 1)."""
        with torch.inference_mode():
            return self._replay(tokens) if self._graphed else self._step(tokens)

    def _logits(self, tokens: Tensor) -> Tensor:
        output = self._model(tokens, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits

    def _step(self, tokens: Tensor) -> Tensor:
        if self._blocks is None:
            return self._forward(tokens)
        with self._blocks.in_place():
            return self._logits(tokens)

    def _replay(self, tokens: Tensor) -> Tensor:
        """Run a step: the first ones to compile and to make what is made once, then as a graph."""
        if self._tokens is None:
            self._tokens = tokens.clone()
        self._tokens.copy_(tokens)
        if self._graph is None:  # another decoder may have laid out what its steps walk
            for layer in packed_layers(self._model).values():
                layer.lay_out(len(tokens), self._model.dtype)
        if self._eager_steps < _EAGER_STEPS:
            self._eager_steps += 1
            with own_workspaces():
                return self._step(self._tokens)
        if self._graph is None:
            with captured(self._tokens.device) as graph:
                self._result = self._step(self._tokens)
            self._graph = graph
        self._graph.replay()
        return self._result


def lay_out(model: Any, batch: int, cache: Any) -> None:
    """Let packed layers on a GPU lay out what steps of a batch walk, the largest layers first.

    Products that are compiled do not give up the packed arrays; these do. While the last layer has
    both, as much of the cache is on the CPU, so that this is not when most memory is taken.
    """
    layers = sorted(packed_layers(model).values(), key=lambda layer: -layer.nbytes)
    if model.device.type != "cuda" or not layers:
        return
    aside = _layers_of(cache, layers[-1].nbytes)
    for part in aside:
        part.offload()
    for layer in layers:
        layer.lay_out(batch, model.dtype)
    for part in aside:
        part.prefetch()


def _layers_of(cache: Any, nbytes: int) -> list[Any]:
    """Return the first layers of a cache that take so much together, or all."""
    layers = []
    for layer in cache.layers:
        if nbytes <= 0:
            break
        nbytes -= sum(t.nbytes for t in vars(layer).values() if isinstance(t, Tensor))
        layers.append(layer)
    return layers


def generate(
    model: Any,
    prompt: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    seed: int = 0,
    compiled: bool = False,
    on_token: Callable[[int], None] = lambda token: None,
) -> Generation:
    """Generate after one prompt until a token that ends the text.

    Parameters
    ----------
    prompt
        Token ids, int64, shape (n,).
    temperature
        0 takes the likeliest token; otherwise tokens are drawn by seed.
    compiled
        As of `Decoder`.
    on_token
        Called with each new token.

    Raises
    ------
    ValueError
        If the prompt is empty, a number is out of range, or prompt and new tokens are more than the
        model has positions for.
    """
    if not len(prompt):
        raise ValueError("generate: a prompt of 0 tokens, expected at least 1")
    if max_new_tokens < 1:
        raise ValueError(f"generate: max_new_tokens = {max_new_tokens}, expected at least 1")
    if temperature < 0:
        raise ValueError(f"generate: temperature = {temperature}, expected at least 0")
    length = len(prompt) + max_new_tokens
    check_positions(model, "prompt and new tokens are", length)
    device = model.device
    generator = torch.Generator(device).manual_seed(seed)
    ends = _end_tokens(model)
    reset_peak(device)
    start = time.perf_counter()
    tokens: list[int] = []
    times: list[float] = []
    less = "fewer tokens, a shorter prompt and packed layers take less"
    with memory_for(f"reading a prompt of {len(prompt)} tokens", less):
        decoder = Decoder(model, length, compiled)
        logits = decoder.read(prompt.to(device)[None])
    while True:
        token = _choose(logits[0], temperature, generator)
        tokens.append(token)
        times.append(time.perf_counter() - start)
        on_token(token)
        if len(tokens) == max_new_tokens or token in ends:
            break
        with memory_for(f"generating token {len(tokens) + 1} of {max_new_tokens}", less):
            logits = decoder.step(torch.tensor([[token]], device=device))
    steps = [after - before for before, after in pairwise(times)]
    step_seconds = median(steps) if steps else float("nan")
    return Generation(tokens, times[0], sum(steps), step_seconds, peak_bytes(device))


def _choose(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    if temperature == 0:
        return int(logits.argmax())
    shares = torch.softmax(logits.float() / temperature, dim=-1)
    return int(torch.multinomial(shares, 1, generator=generator))


def _end_tokens(model: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    return set() if ends is None else {ends} if isinstance(ends, int) else set(ends)
