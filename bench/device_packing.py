# SPDX-License-Identifier: Apache-2.0
"""GPU time of packing a language model's weights: 13 GB of float16 in the shapes of Llama-2-7B.

``python bench/device_packing.py --json bench/results/h200/packing.json``: kernels and copies of
`gossamer.compress` as PyTorch's profiler times them, for the seven matrices of a layer, median of 5
rounds, times 32 layers. Bars: under 0.05 s.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import gossamer
import torch
from gossamer.cli.bench.device.graphs import describe_gpu
from gossamer.cli.bench.device.packed_suite import random_mask
from gossamer.cli.machine import source_commit
from torch.profiler import ProfilerActivity, profile

LAYERS, ROUNDS = 32, 5
MATRICES = 4 * [(4096, 4096)] + 2 * [(11008, 4096)] + [(4096, 11008)]


def seconds(matrices: list[torch.Tensor], format: str) -> dict[str, Any]:
    """GPU time of packing all layers, in all and by kernel."""
    rounds: list[Counter[str]] = []
    for _ in range(1 + ROUNDS):
        with profile(activities=[ProfilerActivity.CUDA]) as profiled:
            for W in matrices:
                gossamer.compress(W, format)
            torch.cuda.synchronize()
        times: Counter[str] = Counter()
        for event in profiled.events():
            name = re.sub(
                r"^void |gossamer::cuda::|\(anonymous namespace\)::|[<(].*", "", event.name
            )
            times[name] += event.device_time_total * 1e-6 * LAYERS
        rounds.append(times)
    of_kernels = {name: statistics.median(t[name] for t in rounds[1:]) for name in rounds[-1]}
    total = statistics.median(t.total() for t in rounds[1:])
    return {"seconds": total, "of_kernels": {k: v for k, v in of_kernels.items() if v > 1e-4}}


def main() -> None:
    """Measure every format at 50% and 10%, print a line each, and write them where --json says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the figures go")
    arguments = parser.parse_args()
    cases = {}
    for density in (0.5, 0.1):
        matrices = [random_mask(shape, density).half() for shape in MATRICES]
        for format in ("bitmap", "gap4", "gap8"):
            case = cases[f"{format}/{density}"] = seconds(matrices, format)
            print(f"{format} at {density}: {case['seconds']:.4f} s")
    if arguments.json:
        nbytes = LAYERS * sum(2 * rows * cols for rows, cols in MATRICES)
        result = {"machine": describe_gpu(), "commit": source_commit(), "dense_bytes": nbytes}
        text = json.dumps(result | {"cases": cases}, indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
