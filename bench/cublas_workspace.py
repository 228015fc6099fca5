# SPDX-License-Identifier: Apache-2.0
"""What the size of cuBLAS's workspaces costs a packed language model and the dense one, on a GPU.

``python bench/cublas_workspace.py --json out.json``: a process for each CUBLAS_WORKSPACE_CONFIG.
Each first generates with the whole model packed, alone in its process, which is where its peak
memory is from. Speeds are those of its first blocks, packed and dense, the processes taking turns
in an order that rotates.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = ("", ":16:8", ":256:8", ":4096:1", ":4096:2")
DENSITY, TIMED_BLOCKS, PROMPTS, BATCHES, STEPS = 0.5, 16, (128, 1024), (1, 8, 32), 32
READS, TURNS = 5, 7


def dense_model(shape: str, blocks: int | None = None) -> Any:
    """A model of random weights, whole or of its first blocks."""
    import torch
    from gossamer.cli.bench.llm_suite import random_model

    return random_model(shape, torch.float16, torch.device("cuda"), blocks)


def packed_model(shape: str) -> Any:
    """That model, half of each layer's weights at random places, packed."""
    import gossamer.hf
    from gossamer.cli.bench.llm_suite import keep_at_random

    model = dense_model(shape)
    keep_at_random(model, DENSITY)
    gossamer.hf.pack_model(model)
    return model


def reading(model: Any, length: int) -> Callable[[], None]:
    """The first token after a prompt of that length, READS times."""
    import torch
    from gossamer.hf import Decoder

    prompt = torch.arange(length, device="cuda")[None]

    def read() -> None:
        for _ in range(READS):
            Decoder(model, length + 1).read(prompt).argmax(-1)

    read()
    return read


def measured(shape: str, prompts_only: bool) -> tuple[int | None, dict[str, Callable[[], None]]]:
    """Peak memory of generating with the packed model, and what is to be timed."""
    import gc

    import gossamer.hf
    import torch
    from gossamer.cli.bench.llm_decoding import Decoding

    packed = packed_model(shape)
    gc.collect()
    peak = None
    if not prompts_only:
        peak = gossamer.hf.generate(packed, torch.arange(128), STEPS + 1, compiled=True).peak_bytes
    del packed.model.layers[TIMED_BLOCKS:]
    packed.config.num_hidden_layers = TIMED_BLOCKS
    gc.collect()
    torch.cuda.empty_cache()
    models = {"packed": packed, "dense": dense_model(shape, TIMED_BLOCKS)}
    calls: dict[str, Callable[[], None]] = {}
    for name, model in models.items():
        for length in PROMPTS:
            calls[f"{name}, {READS} prompts of {length}"] = reading(model, length)
    for batch in () if prompts_only else BATCHES:
        torch.compiler.reset()
        for name, model in models.items():
            decoding = Decoding(model, batch, STEPS, True, "default")
            calls[f"{name}, {STEPS} steps of a batch of {batch}"] = decoding
    return peak, calls


def measure_in_turns(shape: str, prompts_only: bool) -> None:
    """Prepare, then time all calls once for each line of the input; answers in JSON."""
    import torch

    peak, calls = measured(shape, prompts_only)
    print(json.dumps({"peak_bytes": peak}), flush=True)
    for _ in sys.stdin:
        seconds = {}
        for name, call in calls.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            call()
            torch.cuda.synchronize()
            seconds[name] = time.perf_counter() - start
        print(json.dumps(seconds), flush=True)


def start(shape: str, setting: str, prompts_only: bool) -> subprocess.Popen[str]:
    """A process of that setting, which prepares."""
    environment = dict(
        os.environ,
        PYTORCH_CUDA_ALLOC_CONF="expandable_segments:True",
        TORCHINDUCTOR_COMPILE_THREADS="2",
    )
    environment.pop("CUBLAS_WORKSPACE_CONFIG", None)
    if setting:
        environment["CUBLAS_WORKSPACE_CONFIG"] = setting
    command = [sys.executable, __file__, "--shape", shape, "--turns"]
    command += ["--prompts-only"] * prompts_only
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True)


def ask(process: subprocess.Popen[str], line: str = "") -> Any:
    """Send a line, if any, and return the answer."""
    if line:
        process.stdin.write(line)
        process.stdin.flush()
    return json.loads(process.stdout.readline())


def main() -> None:
    """Measure all settings, print a line for each, and write them where --json says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--shape", default="llama-2-7b", help="as of gossamer bench llm")
    parser.add_argument("--prompts-only", action="store_true", help="no generation, no steps")
    parser.add_argument("--turns", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns:
        return measure_in_turns(arguments.shape, arguments.prompts_only)
    processes = {
        setting: start(arguments.shape, setting, arguments.prompts_only) for setting in SETTINGS
    }
    results = {setting: ask(process) for setting, process in processes.items()}
    turns = []
    for turn in range(1 + TURNS):
        order = [SETTINGS[(turn + i) % len(SETTINGS)] for i in range(len(SETTINGS))]
        turns.append({setting: ask(processes[setting], "\n") for setting in order})
    del turns[0]
    for setting, process in processes.items():
        process.communicate()
        names = turns[0][setting]
        times = {name: statistics.median(turn[setting][name] for turn in turns) for name in names}
        results[setting]["seconds"] = {name: round(value, 6) for name, value in times.items()}
    for name in turns[0][""]:
        default = results[""]["seconds"][name]
        shares = [f"{result['seconds'][name] / default:.3f}" for result in results.values()]
        print(f"{name:36}{default * 1e3:9.2f} ms", *shares)
    print("peak", *(result["peak_bytes"] for result in results.values()))
    if arguments.json:
        import torch
        import transformers
        from gossamer.cli.machine import describe_machine, source_commit

        result = {
            "machine": describe_machine() | {"gpu": torch.cuda.get_device_name()},
            "commit": source_commit(),
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
            "shape": arguments.shape,
            "dtype": "float16",
            "density": DENSITY,
            "timed_blocks": TIMED_BLOCKS,
            "settings": {setting or "default": result for setting, result in results.items()},
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
