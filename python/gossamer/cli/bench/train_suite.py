# SPDX-License-Identifier: Apache-2.0
"""What ``gossamer bench train`` measures, and its table."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import torch
from rich.console import Console

import gossamer
from gossamer.cli.console import table_of
from gossamer.cli.machine import source_commit
from gossamer.nn import SparseLinear

FEATURES, BATCH, DENSITY = 4096, 64, 0.01
_WARM_UP, _STEPS = 5, 30


class _Step:
    """A training step of one layer."""

    def __init__(self, layer: torch.nn.Module, x: torch.Tensor) -> None:
        self.layer = layer
        self.x = x.clone().requires_grad_()
        self.optimizer = torch.optim.SGD(layer.parameters(), lr=1e-3)

    def __call__(self) -> None:
        self.optimizer.zero_grad()
        self.x.grad = None
        self.layer(self.x).square().sum().backward()
        self.optimizer.step()


def run_train_benchmark(device: str, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both layers, one step after the other in turns."""
    torch.manual_seed(0)
    mask = torch.rand(FEATURES, FEATURES) < DENSITY
    sparse = SparseLinear.from_mask(mask).to(device)
    dense = torch.nn.Linear(FEATURES, FEATURES, device=device)
    x = torch.randn(BATCH, FEATURES, device=device)
    wrong = _differences(sparse, mask.to(device), x)
    modes = {"eager": (_Step(sparse, x), _Step(dense, x))}
    if device == "cuda":
        modes["graph"] = tuple(map(_captured, modes["eager"]))  # type: ignore[assignment]
    cases = []
    for mode, steps in modes.items():
        say(mode)
        ours, theirs = _microseconds(steps, device)
        cases.append(
            {"mode": mode, "sparse_us": ours, "dense_us": theirs, "speedup": theirs / ours}
        )
    return {
        "benchmark": f"train --device {device}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gossamer": gossamer.__version__,
        "commit": source_commit(),
        "machine": _machine(device),
        "how": f"{FEATURES}x{FEATURES}, {DENSITY:.0%} of the weights, batch {BATCH}, float32: "
        f"forward, backward by input, weights and bias, SGD; medians of {_STEPS} steps in turns",
        "cases": cases,
        "wrong": wrong,
    }


def print_train_report(console: Console, results: Mapping[str, Any]) -> None:
    """Print the steps' times and what was wrong."""
    table = table_of(("mode",), ("sparse us", "dense us", "speed-up"), results["how"])
    for case in results["cases"]:
        times = (f"{case[key]:.1f}" for key in ("sparse_us", "dense_us"))
        table.add_row(case["mode"], *times, f"{case['speedup']:.2f}")
    console.print(table)
    for note in results["wrong"]:
        console.print(f"[red]wrong:[/] {note}")


def _differences(sparse: SparseLinear, mask: torch.Tensor, x: torch.Tensor) -> list[str]:
    """Compare the gradients with those of the dense layer of the same weights, in float64."""
    weight = sparse.weight.todense().detach().double().requires_grad_()
    assert sparse.bias is not None
    bias = sparse.bias.detach().double()
    exact = x.double().requires_grad_()
    torch.nn.functional.linear(exact, weight, bias).square().sum().backward()
    found = x.clone().requires_grad_()
    sparse(found).square().sum().backward()
    pairs = {"input": (found.grad, exact.grad), "values": (sparse.values.grad, weight.grad[mask])}
    sparse.zero_grad()
    return [
        f"the gradient by the {name} differs from the dense layer's by {worst:.3g}"
        for name, (ours, theirs) in pairs.items()
        if not (worst := float((ours - theirs).norm() / theirs.norm())) < 1e-5
    ]


def _captured(step: Callable[[], None]) -> Callable[[], None]:
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return lambda: graph.replay()


def _microseconds(steps: tuple[Callable[[], None], ...], device: str) -> list[float]:
    times: list[list[float]] = [[] for _ in steps]
    for turn in range(_WARM_UP + _STEPS):
        for step, samples in zip(steps, times, strict=True):
            _wait(device)
            start = time.perf_counter()
            step()
            _wait(device)
            if turn >= _WARM_UP:
                samples.append((time.perf_counter() - start) * 1e6)
    return [statistics.median(samples) for samples in times]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _machine(device: str) -> dict[str, Any]:
    if device == "cuda":
        from gossamer.cli.bench.device.graphs import describe_gpu

        return describe_gpu()
    threads = torch.get_num_threads()
    return {"processor": platform.processor() or platform.machine(), "threads": threads}
