# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench packed``: packed products side by side with dense ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from gossamer.cli.bench.command import (
    finish,
    parse_counts,
    parse_pattern,
    progress,
    require_gpu,
    results_to_resume,
    settle_threads,
)
from gossamer.cli.extras import require
from gossamer.cli.machine import processor_name
from gossamer.cli.options import DeviceName, FigureFile, JsonFile


def packed(
    json_file: JsonFile = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep the cases in FILE, measure those that are missing."),
    ] = False,
    plot: FigureFile = None,
    device: DeviceName = "cpu",
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "2",
    quick: Annotated[bool, typer.Option("--quick", help="Two small matrices, few cases.")] = False,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Only cases whose ROWSxCOLS/DENSITY/DTYPE/COLUMNS matches."
        ),
    ] = None,
) -> None:
    """Measure packed products over shapes, densities and value types, beside dense products.

    The peers are OpenBLAS, MKL and PyTorch, and CSR by MKL and by Gossamer, with the same number of
    threads and in the same rounds, all on matrices that are read from memory. Exits with 1 if a
    result of Gossamer is wrong.

    On a GPU (--device cuda) the peers are cuBLAS and cuSPARSE through PyTorch and a plain read of
    the same bytes, with the launches of each in one CUDA graph.
    """
    if device == "cuda":
        return _packed_on_gpu(json_file, resume, plot, quick, parse_pattern(only))
    require("bench", "scipy", "threadpoolctl")
    thread_counts = parse_counts("--threads", threads)
    pattern = parse_pattern(only)
    environment = settle_threads()
    settings = {"benchmark": "packed", "environment": environment}
    processor = {"cpu": processor_name()}
    earlier = results_to_resume(json_file, settings, processor) if resume else None
    from gossamer.cli.bench.packed_report import print_packed_report
    from gossamer.cli.bench.packed_suite import run_packed_benchmark
    from gossamer.cli.bench.peers import open_libraries
    from gossamer.cli.bench.peers.dense_libraries import open_dense_libraries

    dense, notes = open_dense_libraries()
    csr, csr_notes = open_libraries(["mkl"])
    with progress() as say:
        results = run_packed_benchmark(dense, csr, thread_counts, quick, pattern, say, earlier)
    results["notes"] = list(dict.fromkeys(notes + csr_notes + results["notes"]))
    results["environment"] = environment
    finish(results, json_file, print_packed_report, plot, _plot)


def _packed_on_gpu(
    json_file: str | None,
    resume: bool,
    plot: Path | None,
    quick: bool,
    pattern: re.Pattern[str],
) -> None:
    require_gpu()
    import torch

    from gossamer.cli.bench.device.packed_report import plot_device_packed, print_device_report
    from gossamer.cli.bench.device.packed_suite import run_device_packed_benchmark

    processor = {"gpu": torch.cuda.get_device_name(0)}
    settings = {"benchmark": "packed --device cuda"}
    earlier = results_to_resume(json_file, settings, processor) if resume else None
    with progress() as say:
        results = run_device_packed_benchmark(quick, pattern, say, earlier)
    finish(results, json_file, print_device_report, plot, plot_device_packed)


def _plot(results: dict[str, Any], path: Path) -> None:
    from gossamer.cli.bench.packed_plots import plot_packed

    plot_packed(results, path)
