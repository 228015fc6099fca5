# SPDX-License-Identifier: Apache-2.0
"""Times of decoding steps and of their parts, with models side by side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from gossamer.hf.compiled_blocks import decoder_blocks
from gossamer.hf.generation import Decoder
from gossamer.hf.memory import captured
from gossamer.nn import PackedLinear

#: Tokens that are read before the first step, and steps before the clock starts.
PROMPT, WARM_UP = 128, 6
#: Rounds, of whose times the median is reported.
ROUNDS = 5


class Decoding:
    """A model that has read a prompt and takes steps from there, the same ones at every call.

    Attributes
    ----------
    first
        Logits of the first step, float32.
    """

    def __init__(self, model: Any, batch: int, steps: int, compiled: bool, mode: str) -> None:
        self.model, self._steps = model, steps
        self.decoder = Decoder(model, PROMPT + max(steps, WARM_UP), compiled, mode)
        self._token = self.decoder.read(prompt(model, batch)).argmax(-1, keepdim=True)
        self.first = self.decoder.step(self._token).float().clone()
        self._rewinds = compiled
        for _ in range(WARM_UP - 1):
            self.decoder.step(self._token)

    def __call__(self) -> None:
        """Take the steps; without a cache of fixed size they go on from where the last ended."""
        if self._rewinds:
            with torch.inference_mode():
                for layer in self.decoder.cache.layers:
                    layer.cumulative_length.fill_(PROMPT)
        tokens = self._token
        for _ in range(self._steps):
            tokens = self.decoder.step(tokens).argmax(-1, keepdim=True)


def prompt(model: Any, batch: int) -> torch.Tensor:
    """Token ids of shape (batch, PROMPT)."""
    ids = torch.arange(PROMPT, device=model.device) % model.config.vocab_size
    return ids.expand(batch, PROMPT).contiguous()


def interleaved(calls: Sequence[Callable[[], None]], device: torch.device) -> list[float]:
    """Median seconds of each call; every round makes all of them."""
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(ROUNDS):
        for call, times in zip(calls, seconds, strict=True):
            synchronize(device)
            start = time.perf_counter()
            call()
            synchronize(device)
            times.append(time.perf_counter() - start)
    return [statistics.median(times) for times in seconds]


def linear_layers(model: Any, batch: int) -> Callable[[], None]:
    """All linear layers of the blocks one after the other, as a step of that batch runs them."""
    layers = [
        module
        for module in decoder_blocks(model).modules()
        if isinstance(module, torch.nn.Linear | PackedLinear)
    ]
    options = {"dtype": model.dtype, "device": model.device}
    x = {n: torch.randn(batch, 1, n, **options) for n in {layer.in_features for layer in layers}}

    def run() -> None:
        for layer in layers:
            layer(x[layer.in_features])

    return graphed(run, model.device)


def attention(model: Any, cache: Any, batch: int) -> Callable[[], None]:
    """Attention of all layers to the cache, as a step runs it when nothing is compiled."""
    attend = ALL_ATTENTION_FUNCTIONS[model.config._attn_implementation]
    modules = [m for m in decoder_blocks(model).modules() if hasattr(m, "layer_idx")]
    length, heads = cache.layers[0].keys.shape[2], model.config.num_attention_heads
    width = cache.layers[0].keys.shape[3]
    options = {"dtype": model.dtype, "device": model.device}
    query = torch.randn(batch, heads, 1, width, **options)
    mask = torch.ones(batch, 1, 1, length, dtype=torch.bool, device=model.device)

    def run() -> None:
        for module, layer in zip(modules, cache.layers, strict=True):
            attend(module, query, layer.keys, layer.values, mask, scaling=width**-0.5)

    return graphed(run, model.device)


def graphed(run: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Return the same work, on a GPU as one CUDA graph.

    What the work refers to is kept with it: freed, it would go back to the GPU at the next capture.
    """
    with torch.inference_mode():
        run()
        if device.type != "cuda":
            return torch.inference_mode()(run)  # type: ignore[no-any-return]
        synchronize(device)
        with captured(device) as graph:
            run()
    return partial(_replay, graph, run)


def _replay(graph: torch.cuda.CUDAGraph, _reads: Callable[[], None]) -> None:
    graph.replay()


def synchronize(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
