# SPDX-License-Identifier: Apache-2.0
"""Generation with packed language models on a GPU: memory of a process, prompts, batches.

``python bench/llm_process.py --json out.json``. The first peak is that of a process that has done
nothing but pack a model and generate. Then, the dense model beside: the time to the first token,
from packed arrays and from what steps walk, and steps of batches by a model that has decoded single
sequences before, also without laying it out anew. What is timed takes turns.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gossamer.cli.models.common import require_transformers

require_transformers()
import gossamer.hf  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from gossamer.cli.bench.llm_decoding import Decoding, interleaved  # noqa: E402
from gossamer.cli.bench.llm_suite import keep_at_random, random_model  # noqa: E402
from gossamer.cli.machine import describe_machine, source_commit  # noqa: E402
from gossamer.hf.layout import packed_layers  # noqa: E402
from gossamer.hf.memory import model_bytes  # noqa: E402
from gossamer.nn import PackedLinear  # noqa: E402

PROMPTS, BATCHES, STEPS = (128, 1024), (8, 32), 32


def dense_model(shape: str) -> Any:
    """A model of random weights."""
    return random_model(shape, torch.float16, torch.device("cuda"))


def packed_model(shape: str, density: float) -> Any:
    """A packed one, that share of each layer's weights at random places."""
    model = dense_model(shape)
    keep_at_random(model, density)
    gossamer.hf.pack_model(model)
    gc.collect()
    return model


def generated(model: Any, held: int) -> dict[str, Any]:
    """Memory and speed of one generation, after as much that others hold."""
    done = gossamer.hf.generate(model, torch.arange(128), STEPS + 1, compiled=True)
    return {
        "model_bytes": model_bytes(model),
        "peak_bytes": (done.peak_bytes or 0) - held,
        "tokens_per_second": done.tokens_per_second,
    }


def reading(model: Any, length: int) -> Callable[[], None]:
    """The first token after a prompt of that length."""
    prompt = torch.arange(length, device="cuda")[None]

    def read() -> None:
        with torch.inference_mode():
            cache = transformers.DynamicCache(config=model.config)
            output = model(prompt, past_key_values=cache, use_cache=True, logits_to_keep=1)
            output.logits[0, -1].argmax().item()

    read()
    return read


def prompts(models: dict[str, Any]) -> dict[str, float]:
    """Seconds to the first token by model and length."""
    names = [f"{name}, prompt of {length}" for length in PROMPTS for name in models]
    calls = [reading(model, length) for length in PROMPTS for model in models.values()]
    return dict(zip(names, interleaved(calls, torch.device("cuda")), strict=True))


def layouts(model: Any) -> dict[str, float]:
    """Seconds in which a model that walks delta rows is laid out for another batch, and back."""
    seconds = {}
    for batch in (1, 8, 1, 8, 1):  # the last time each counts
        torch.cuda.synchronize()
        start = time.perf_counter()
        for layer in packed_layers(model).values():
            layer.lay_out(batch, model.dtype)
        torch.cuda.synchronize()
        seconds[f"for a batch of {batch}"] = time.perf_counter() - start
    return seconds


@contextmanager
def as_laid_out() -> Iterator[None]:
    """Let layers in the body stay as they are laid out."""
    with (
        patch.object(PackedLinear, "lay_out", lambda *_: None),
        patch("gossamer.cuda.packed.PATIENCE", 1 << 30),
    ):
        yield


def steps(packed: Any, dense: Any, batch: int) -> dict[str, float]:
    """Seconds of a step of a batch by a model that was laid out for single sequences."""
    torch.compiler.reset()
    with as_laid_out():
        stays = Decoding(packed, batch, STEPS, True, "default")
        (before,) = interleaved([stays], torch.device("cuda"))
    del stays
    calls = [Decoding(model, batch, STEPS, True, "default") for model in (packed, dense)]
    seconds = [before, *interleaved(calls, torch.device("cuda"))]
    names = "packed, not laid out anew", "packed", "dense"
    return {name: each / STEPS for name, each in zip(names, seconds, strict=True)}


def main() -> None:
    """Measure, and write what there is after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--shape", default="llama-2-7b", help="as of gossamer bench llm")
    parser.add_argument("--densities", default="0.5,0.1", help="the first one alone")
    arguments = parser.parse_args()
    shape, densities = arguments.shape, [float(d) for d in arguments.densities.split(",")]
    torch.empty(1, device="cuda")
    result: dict[str, Any] = {
        "machine": describe_machine() | {"gpu": torch.cuda.get_device_name()},
        "commit": source_commit(),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "shape": shape,
        "dtype": "float16",
        "generations": {},
    }

    def write() -> None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")

    for density in densities:
        held = torch.cuda.memory_allocated()
        result["generations"][f"{density:.0%}"] = generated(packed_model(shape, density), held)
        gc.collect()
        write()
    result["density"] = densities[0]
    packed, dense = packed_model(shape, densities[0]), dense_model(shape)
    result["prompt_seconds"] = prompts({"packed arrays": packed, "dense": dense})
    write()
    result["layout_seconds"] = layouts(packed)
    result["prompt_seconds"] |= prompts({"delta rows": packed})
    write()
    result["step_seconds"] = {}
    for batch in BATCHES:
        result["step_seconds"][f"batch of {batch}"] = steps(packed, dense, batch)
        write()
        for layer in packed_layers(packed).values():
            layer.lay_out(1, packed.dtype)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
