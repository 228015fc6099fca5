# SPDX-License-Identifier: Apache-2.0
"""What a call from PyTorch costs the host on operands so small that nothing else takes time.

``python bench/torch_calls.py --device cuda --json out.json``: the least of 7 repeats, µs. On a GPU
a call only launches: the GPU has done with it before the host makes the next.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import timeit
from collections.abc import Callable
from pathlib import Path

import gossamer
import torch
from gossamer.cli.machine import source_commit

CALLS, REPEATS, SIDE = 2000, 7, 64


def cases(device: str) -> dict[str, Callable[[], torch.Tensor]]:
    """Products of a half-empty 64 × 64 matrix in float32, without and with a gradient by x."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(SIDE, SIDE, generator=generator)
    W[W.abs() < 0.67] = 0
    W = W.to(device)
    A, P = gossamer.fromdense(W), gossamer.compress(W, "bitmap")
    layer = gossamer.nn.SparseLinear(A)
    packed = gossamer.nn.PackedLinear(P)
    x = torch.randn(SIDE, generator=generator).to(device)
    tracked, rows = x.clone().requires_grad_(), x.expand(8, SIDE).contiguous()
    return {
        "A @ x": lambda: A @ x,
        "A @ x, gradient by x": lambda: A @ tracked,
        "P @ x": lambda: P @ x,
        "P @ x, gradient by x": lambda: P @ tracked,
        "SparseLinear": lambda: layer(x),
        "SparseLinear, 8 rows": lambda: layer(rows),
        "PackedLinear": lambda: packed(x),
        "PackedLinear, 8 rows": lambda: packed(rows),
        "W @ x, dense": lambda: W @ x,
    }


def measure(calls: dict[str, Callable[[], torch.Tensor]]) -> dict[str, float]:
    """Microseconds of each call, the least over the repeats; every repeat makes all of them."""
    repeats = [
        [timeit.timeit(call, number=CALLS) / CALLS * 1e6 for call in calls.values()]
        for _ in range(1 + REPEATS)
    ]
    return dict(zip(calls, map(min, *repeats[1:]), strict=True))


def main() -> None:
    """Measure all, print a line each, and write them where --json says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, help="where the figures go")
    parser.add_argument("--device", default="cpu", help="where the operands are: cpu or cuda")
    arguments = parser.parse_args()
    figures = {name: round(least, 2) for name, least in measure(cases(arguments.device)).items()}
    for name, microseconds in figures.items():
        print(f"{name:24}{microseconds:8.2f} µs")
    if arguments.json:
        machine = {"python": platform.python_version(), "torch": torch.__version__}
        machine |= {"cpu": platform.machine(), "device": arguments.device}
        result = {"machine": machine, "commit": source_commit(), "microseconds": figures}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
