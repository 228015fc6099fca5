# SPDX-License-Identifier: Apache-2.0
"""Decoding with a language model of random weights: dense, and packed at several densities."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import transformers

import gossamer
from gossamer.cli.machine import describe_machine, source_commit
from gossamer.hf.generation import Decoder
from gossamer.hf.layout import packed_layers
from gossamer.hf.memory import model_bytes, peak_bytes, reset_peak
from gossamer.hf.packing import pack_model
from gossamer.prune import plan_pruning

_LLAMA = {"attention_bias": False, "tie_word_embeddings": False, "max_position_embeddings": 4096}

SHAPES: dict[str, Callable[[], Any]] = {
    "llama-2-7b": lambda: transformers.LlamaConfig(
        vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=32, **_LLAMA,
    ),
    "llama-3-8b": lambda: transformers.LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, **_LLAMA,
    ),
    "qwen-2.5-14b": lambda: transformers.Qwen2Config(
        vocab_size=152064, hidden_size=5120, intermediate_size=13824, num_hidden_layers=48,
        num_attention_heads=40, num_key_value_heads=8, tie_word_embeddings=False,
    ),
    "tiny": lambda: transformers.LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, **_LLAMA,
    ),
}  # fmt: skip

#: Tokens that are read before the first step, and steps before the clock starts.
PROMPT, WARM_UP = 128, 6
#: Measurements, of which the median is reported.
ROUNDS = 5
# Largest difference of the logits, relative to the largest, between packed and dense weights: sums
# in another order through all layers, in the model's own precision.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 0.1}


@dataclass(frozen=True)
class Decoding:
    """What is generated, and how.

    Attributes
    ----------
    value_dtype
        Of the packed values; None is the model's.
    steps
        Tokens of a measurement.
    """

    shape: str
    batches: Sequence[int]
    dtype: torch.dtype
    value_dtype: str | None
    device: torch.device
    steps: int
    compiled: bool


def run_llm_benchmark(
    decoding: Decoding, densities: Sequence[float], say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure decoding, the dense model first, in one run.

    A density is the share of the weights of the blocks' linear layers that stay, at random places.
    """
    cases = []
    for density in (None, *densities):
        say("dense" if density is None else f"density {density:.0%}")
        cases += _measure_density(decoding, density, say)
    for case in cases:
        dense = [c for c in cases if c["density"] is None and c["batch"] == case["batch"]]
        case["speedup"] = min(c["step_seconds"] for c in dense) / case["step_seconds"]
    rounded = decoding.value_dtype in ("int8", "float8_e4m3")
    tolerance = math.inf if rounded else _TOLERANCE[decoding.dtype]
    return {
        "machine": describe_machine() | _device_facts(decoding.device),
        "commit": source_commit(),
        "versions": {
            "gossamer": gossamer.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "shape": decoding.shape,
        "dtype": str(decoding.dtype).removeprefix("torch."),
        "value_dtype": decoding.value_dtype,
        "compiled": decoding.compiled,
        "steps": decoding.steps,
        "cases": cases,
        "wrong": [
            f"density {case['density']}: error {case['error']:.1e}"
            for case in cases
            if not case["error"] <= tolerance
        ],
    }


def _measure_density(
    decoding: Decoding, density: float | None, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    device = decoding.device
    model = _random_model(decoding.shape, decoding.dtype, device)
    facts: dict[str, Any] = {"density": density, "compress_seconds": None, "error": 0.0}
    if density is not None:
        _keep_at_random(model, density)
        prompt = _prompt(model, 1)[:, :1]
        expected = _logits(model, prompt)
        _synchronize(device)
        start = time.perf_counter()
        pack_model(model, decoding.value_dtype)
        _synchronize(device)
        facts["compress_seconds"] = time.perf_counter() - start
        difference = (_logits(model, prompt) - expected).abs().max() / expected.abs().max()
        facts["error"] = difference.item()
    formats = sorted({layer.format for layer in packed_layers(model).values()})
    facts |= {"formats": formats, "model_bytes": model_bytes(model)}
    cases = []
    for batch in decoding.batches:
        say(f"density {density or 1:.0%}, batch {batch}")
        modes = ["default"]
        if density is None and decoding.compiled and device.type == "cuda":
            modes.append("reduce-overhead")  # the peer: PyTorch's own graphs
        cases += [
            facts
            | {"batch": batch}
            | _decode(model, batch, decoding.steps, decoding.compiled, mode)
            for mode in modes
        ]
    return cases


def _random_model(shape: str, dtype: torch.dtype, device: torch.device) -> Any:
    torch.manual_seed(0)
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(SHAPES[shape](), dtype=dtype).eval()


def _keep_at_random(model: Any, density: float) -> None:
    with torch.no_grad():
        for target in plan_pruning(model, 0):
            weight = target.layer.weight
            weight.mul_(torch.rand(weight.shape, device=weight.device) < density)


def _prompt(model: Any, batch: int) -> torch.Tensor:
    ids = torch.arange(PROMPT, device=model.device) % model.config.vocab_size
    return ids.expand(batch, PROMPT).contiguous()


def _logits(model: Any, prompt: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model(prompt, use_cache=False).logits.float()
    return logits


def _decode(model: Any, batch: int, steps: int, compiled: bool, mode: str) -> dict[str, Any]:
    """Seconds a step, and the most memory, with the model and its cache."""
    device = model.device
    torch.compiler.reset()
    gc.collect()  # what the model before left
    reset_peak(device)
    start = time.perf_counter()
    decoder = Decoder(model, PROMPT + WARM_UP + steps * ROUNDS, compiled, mode)
    logits = decoder.read(_prompt(model, batch))
    tokens = logits.argmax(-1, keepdim=True)
    for _ in range(WARM_UP):
        tokens = decoder.step(tokens).argmax(-1, keepdim=True)
    _synchronize(device)
    first_seconds = time.perf_counter() - start
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(steps):
            tokens = decoder.step(tokens).argmax(-1, keepdim=True)
        _synchronize(device)
        seconds.append((time.perf_counter() - start) / steps)
    step = sorted(seconds)[ROUNDS // 2]
    return {
        "mode": mode,
        "step_seconds": step,
        "tokens_per_second": batch / step,
        "warm_up_seconds": first_seconds,
        "peak_bytes": peak_bytes(device),
    }


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _device_facts(device: torch.device) -> dict[str, Any]:
    return {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
