# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench csr``: sparse products and conversions side by side with other libraries."""

from __future__ import annotations

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
from gossamer.cli.console import say_if_busy
from gossamer.cli.extras import require
from gossamer.cli.machine import processor_name
from gossamer.cli.options import DeviceName, FigureFile, JsonFile

_DEFAULT_PEERS = "scipy,mkl,mkl_ordered,torch,graphblas,mlx"


def csr(
    json_file: JsonFile = None,
    plot: FigureFile = None,
    device: DeviceName = "cpu",
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1,2",
    quick: Annotated[
        bool, typer.Option("--quick", help="A few small matrices, short timings.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Only cases whose MATRIX/DTYPE/OPERATION matches."),
    ] = None,
    peers: Annotated[str, typer.Option(help="Libraries to compare with.")] = _DEFAULT_PEERS,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Keep the cases in --json, measure those that are missing."),
    ] = False,
) -> None:
    """Measure sparse products and COO to CSR over a set of matrices, beside other libraries.

    Every case runs all libraries in turns with the same number of threads; medians are reported,
    and each result is checked once. Exits with 1 if a result of Gossamer is wrong.

    On a GPU (--device cuda) products with 1, 16 and 64 columns in float32 are measured against
    cuSPARSE, by itself and through PyTorch, the launches of each in one CUDA graph.
    """
    if device == "cuda":
        return _csr_on_gpu(json_file, plot, quick, only)
    require("bench", "scipy")
    from gossamer.cli.bench.peers import open_libraries
    from gossamer.cli.bench.report import print_report
    from gossamer.cli.bench.suite import run_benchmark

    thread_counts = parse_counts("--threads", threads)
    pattern = parse_pattern(only)
    environment = settle_threads()
    say_if_busy()
    try:
        libraries, notes = open_libraries([name for name in peers.split(",") if name])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    settings = {
        "benchmark": "csr",
        "quick": quick,
        "threads": thread_counts,
        "environment": environment,
    }
    processor = {"cpu": processor_name()}
    earlier = results_to_resume(json_file, settings, processor) if resume else None
    with progress() as say:
        results = run_benchmark(libraries, thread_counts, quick, pattern, say, earlier)
    results["notes"] = list(dict.fromkeys(notes + results["notes"]))
    results["environment"] = environment
    finish(results, json_file, print_report, plot, _plot)


def _csr_on_gpu(json_file: str | None, plot: Path | None, quick: bool, only: str | None) -> None:
    pattern = parse_pattern(only)
    require_gpu()
    from gossamer.cli.bench.device.csr_report import plot_csr_report, print_csr_report
    from gossamer.cli.bench.device.csr_suite import run_device_csr_benchmark

    with progress() as say:
        results = run_device_csr_benchmark(quick, pattern, say)
    finish(results, json_file, print_csr_report, plot, plot_csr_report)


def _plot(results: dict[str, Any], path: Path) -> None:
    from gossamer.cli.bench.plots import plot_speedups

    plot_speedups(results, path)
