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
    """Products of a half-empty 64 × 64 matrix in float32, without and with gradients."""
    generator = torch.Generator().manual_seed(0)
    W = torch.randn(SIDE, SIDE, generator=generator)
    W[W.abs() < 0.67] = 0
    W = W.to(device)
    A, P = gossamer.fromdense(W), gossamer.compress(W, "bitmap")
    csc, coo, transposed = A.tocsc(), A.tocoo(), A.T
    interop = gossamer.from_torch(W.to_sparse_csr())
    trained = A.with_data(A.data.clone().requires_grad_())
    P8 = gossamer.compress(W, "bitmap", "int8")
    trained_packed = P.with_data(P.data.clone().requires_grad_())
    layer, packed = gossamer.nn.SparseLinear(A), gossamer.nn.PackedLinear(P)
    biased_layer = gossamer.nn.SparseLinear(A, W[0])
    biased = gossamer.nn.PackedLinear(P, W[0])
    parts = gossamer.macko.compress(W)
    x = torch.randn(SIDE, generator=generator).to(device)
    tracked, rows = x.clone().requires_grad_(), x.expand(8, SIDE).contiguous()
    tracked_rows = rows.clone().requires_grad_()
    columns = rows.T.contiguous()
    batch = columns.expand(4, SIDE, 8).contiguous()
    return {
        "A @ x": lambda: A @ x,
        "A @ x, gradient by x": lambda: A @ tracked,
        "A @ x, gradient by the values": lambda: trained @ x,
        "A @ X, 8 columns": lambda: A @ columns,
        "A @ X, 4 batches": lambda: A @ batch,
        "A.T @ x": lambda: A.T @ x,
        "A.T @ x, gradient by x": lambda: A.T @ tracked,
        "A.T @ x, transposed before": lambda: transposed @ x,
        "A.T @ X, 8 columns": lambda: A.T @ columns,
        "x @ A": lambda: x @ A,
        "x @ A, gradient by x": lambda: tracked @ A,
        "X @ A, 8 rows": lambda: rows @ A,
        "CSC @ x": lambda: csc @ x,
        "COO @ x": lambda: coo @ x,
        "COO @ x, gradient by x": lambda: coo @ tracked,
        "from_torch(S) @ x": lambda: interop @ x,
        "P @ x": lambda: P @ x,
        "P @ x, gradient by x": lambda: P @ tracked,
        "P @ x, gradient by the values": lambda: trained_packed @ x,
        "P @ X, 8 columns": lambda: P @ columns,
        "P.T @ x": lambda: P.T @ x,
        "x @ P": lambda: x @ P,
        "P @ x, int8": lambda: P8 @ x,
        "P @ x, int8, gradient by x": lambda: P8 @ tracked,
        "macko.multiply": lambda: gossamer.macko.multiply(parts, x),
        "SparseLinear": lambda: layer(x),
        "SparseLinear, gradient by both": lambda: layer(tracked),
        "SparseLinear, 8 rows": lambda: layer(rows),
        "SparseLinear, bias, 8 rows, gradient by all": lambda: biased_layer(tracked_rows),
        "PackedLinear": lambda: packed(x),
        "PackedLinear, gradient by x": lambda: packed(tracked),
        "PackedLinear, 8 rows": lambda: packed(rows),
        "PackedLinear, bias": lambda: biased(x),
        "PackedLinear, bias, 8 rows, gradient by x": lambda: biased(tracked_rows),
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
        print(f"{name:48}{microseconds:8.2f} µs")
    if arguments.json:
        machine = {"python": platform.python_version(), "torch": torch.__version__}
        machine |= {"cpu": platform.machine(), "device": arguments.device}
        if arguments.device.startswith("cuda"):
            machine["gpu"] = torch.cuda.get_device_name(arguments.device)
        result = {"machine": machine, "commit": source_commit(), "microseconds": figures}
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
