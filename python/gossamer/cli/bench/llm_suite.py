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
from gossamer.cli.bench.llm_decoding import (
    Decoding,
    attention,
    interleaved,
    linear_layers,
    synchronize,
)
from gossamer.cli.machine import describe_machine, source_commit
from gossamer.hf.layout import packed_layers
from gossamer.hf.memory import model_bytes, peak_bytes, reset_peak
from gossamer.hf.packing import pack_model
from gossamer.out_of_memory import memory_for
from gossamer.packed.dtypes import has_scales
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
    "smollm2-135m": lambda: transformers.LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
        num_attention_heads=9, num_key_value_heads=3, **(_LLAMA | {"tie_word_embeddings": True}),
    ),
    "tiny": lambda: transformers.LlamaConfig(
        vocab_size=128, hidden_size=64, intermediate_size=96, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, **_LLAMA,
    ),
}  # fmt: skip

# Largest difference of the logits, relative to the largest, between packed and dense weights: sums
# in another order through all layers, in the model's own precision.
_TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 0.1}


@dataclass(frozen=True)
class LlmCase:
    """What all measurements of a run share.

    Attributes
    ----------
    value_dtype
        Of the packed values, by default the model's.
    whole
        On a GPU measure the dense model compiled as a whole, too, with PyTorch's own graphs.
    pack_on_cpu
        Also measure, for the first density, how long packing takes in the memory of the CPU.
    """

    shape: str
    dtype: torch.dtype
    device: torch.device
    steps: int
    compiled: bool
    value_dtype: str | None = None
    whole: bool = False
    pack_on_cpu: bool = False


def run_llm_benchmark(
    case: LlmCase,
    densities: Sequence[float],
    batches: Sequence[int],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure decoding, each packed model in turn with the dense one.

    A density is the share of the weights of the blocks' linear layers that stay, at random places.
    """
    cases, less = [], "another shape and smaller batches take less"
    for batch in batches:
        what = f"dense, batch {batch}"
        say(what)
        torch.compiler.reset()
        with memory_for(f"measuring {what}", less):
            results, dense = _measure_dense(case, batch)
        cases += results
        for density in densities:
            what = f"density {density:.0%}, batch {batch}"
            say(what)
            on_cpu = case.pack_on_cpu and (density, batch) == (densities[0], batches[0])
            with memory_for(f"measuring {what}", less):
                cases.append(_measure_packed(case, density, batch, dense, on_cpu))
        del dense
        gc.collect()
    rounded = case.value_dtype is not None and has_scales(case.value_dtype)
    tolerance = math.inf if rounded else _TOLERANCE[case.dtype]
    return {
        "machine": describe_machine() | _device_facts(case.device),
        "commit": source_commit(),
        "versions": {
            "gossamer": gossamer.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
        "shape": case.shape,
        "dtype": str(case.dtype).removeprefix("torch."),
        "value_dtype": case.value_dtype,
        "compiled": case.compiled,
        "steps": case.steps,
        "cases": cases,
        "wrong": [
            f"density {result['density']}, batch {result['batch']}: error {result['error']:.1e}"
            for result in cases
            if not result["error"] <= tolerance
        ],
    }


def _measure_dense(case: LlmCase, batch: int) -> tuple[list[dict[str, Any]], Decoding]:
    held = _held(case.device)
    reset_peak(case.device)
    model = random_model(case.shape, case.dtype, case.device)
    decoding = Decoding(model, batch, case.steps, case.compiled, "default")
    (seconds,) = interleaved([decoding], case.device)
    result = _facts(case, decoding, batch, None, seconds, held)
    results = [result | {"mode": "default", "speedup": 1.0, "split": _split(case, decoding, batch)}]
    if case.whole and case.compiled and case.device.type == "cuda":
        mode = "reduce-overhead"
        whole = Decoding(model, batch, case.steps, case.compiled, mode)
        seconds, blocks = interleaved([whole, decoding], case.device)
        compared = {"mode": mode, "speedup": blocks / seconds, "peak_bytes": None}
        results.append(_facts(case, whole, batch, None, seconds, held) | compared)
    return results, decoding


def _measure_packed(
    case: LlmCase, density: float, batch: int, dense: Decoding, pack_on_cpu: bool
) -> dict[str, Any]:
    held = _held(case.device)
    model = random_model(case.shape, case.dtype, case.device)
    keep_at_random(model, density)
    expected = Decoding(model, batch, 1, False, "default").first
    on_cpu = _pack_on_cpu(case, model) if pack_on_cpu else None
    synchronize(case.device)
    start = time.perf_counter()
    pack_model(model, case.value_dtype)
    synchronize(case.device)
    packing = {
        "compress_seconds": time.perf_counter() - start, "compress_seconds_on_cpu": on_cpu
    }  # fmt: skip
    gc.collect()
    reset_peak(case.device)
    decoding = Decoding(model, batch, case.steps, case.compiled, "default")
    seconds, reference = interleaved([decoding, dense], case.device)
    # Before the dense layers alone, which take memory of their own.
    facts = _facts(case, decoding, batch, density, seconds, held)
    linear = [linear_layers(each.model, batch) for each in (decoding, dense)]
    packed_linear, dense_linear = interleaved(linear, case.device)
    error = (decoding.first - expected).abs().max() / expected.abs().max()
    return (
        facts
        | packing
        | {
            "mode": "default",
            "speedup": reference / seconds,
            "linear_speedup": dense_linear / packed_linear,
            "error": error.item(),
            "formats": sorted({layer.format for layer in packed_layers(model).values()}),
            "split": _split(case, decoding, batch),
        }
    )


def _facts(
    case: LlmCase,
    decoding: Decoding,
    batch: int,
    density: float | None,
    seconds: float,
    held: int,
) -> dict[str, Any]:
    peak = peak_bytes(case.device)
    return {
        "density": density,
        "batch": batch,
        "step_seconds": seconds / case.steps,
        "tokens_per_second": batch * case.steps / seconds,
        "model_bytes": model_bytes(decoding.model),
        # On the CPU it is that of the process, with both models.
        "peak_bytes": peak - held if peak and case.device.type == "cuda" else None,
        "compress_seconds": None,
        "formats": [],
        "error": 0.0,
    }


def _split(case: LlmCase, decoding: Decoding, batch: int) -> dict[str, float]:
    """Seconds a step of the blocks' linear layers, and of attention; measured alone."""
    model, cache = decoding.model, decoding.decoder.cache
    calls = [linear_layers(model, batch), attention(model, cache, batch)]
    linear, attending = interleaved(calls, case.device)
    return {"linear": linear, "attention": attending}


def random_model(
    shape: str, dtype: torch.dtype, device: torch.device, blocks: int | None = None
) -> Any:
    """Return a dense model of random weights, whole or of its first blocks."""
    torch.manual_seed(0)
    config = SHAPES[shape]()
    config.num_hidden_layers = blocks or config.num_hidden_layers
    with torch.device(device):
        return transformers.AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def keep_at_random(model: Any, density: float) -> None:
    """Keep that share of each layer's weights, at random places."""
    with torch.no_grad():
        for target in plan_pruning(model, 0):
            weight = target.layer.weight
            weight.mul_(torch.rand(weight.shape, device=weight.device) < density)


def _pack_on_cpu(case: LlmCase, model: Any) -> float:
    weights = [target.layer.weight.detach().cpu() for target in plan_pruning(model, 0)]
    start = time.perf_counter()
    for weight in weights:
        gossamer.compress(weight, dtype=case.value_dtype)
    return time.perf_counter() - start


def _held(device: torch.device) -> int:
    """Bytes that other models hold on a GPU."""
    gc.collect()
    return int(torch.cuda.memory_allocated(device)) if device.type == "cuda" else 0


def _device_facts(device: torch.device) -> dict[str, Any]:
    return {"gpu": torch.cuda.get_device_name(device)} if device.type == "cuda" else {}
