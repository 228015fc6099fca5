# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench csr``: sparse products and conversions side by side with other libraries."""

from __future__ import annotations

import contextlib
import json
import os
import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from gossamer.cli.extras import require

_DEFAULT_PEERS = "scipy,mkl,torch,graphblas,mlx"

# Idle OpenMP threads of one library would otherwise spin through the sample of the next.
_OPENMP_SETTINGS = {"KMP_BLOCKTIME": "1", "GOMP_SPINCOUNT": "10000"}


def csr(
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the results; - is stdout.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the speed-ups (.png or .svg).")
    ] = None,
    threads: Annotated[str, typer.Option(help="Thread counts, separated by commas.")] = "1,2",
    quick: Annotated[
        bool, typer.Option("--quick", help="A few small matrices, short timings.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(metavar="REGEX", help="Only cases whose MATRIX/DTYPE/OPERATION matches."),
    ] = None,
    peers: Annotated[str, typer.Option(help="Libraries to compare with.")] = _DEFAULT_PEERS,
) -> None:
    """Measure sparse products and COO to CSR over a set of matrices, beside other libraries.

    Every case runs all libraries in turns with the same number of threads; medians are reported,
    and each result is checked once. Exits with 1 if a result of Gossamer is wrong.
    """
    require("bench", "scipy", *(["matplotlib"] if plot else []))
    from gossamer.cli.bench.peers import open_libraries
    from gossamer.cli.bench.report import print_report
    from gossamer.cli.bench.suite import run_benchmark

    thread_counts = _parse_threads(threads)
    pattern = _parse_pattern(only)
    for name, value in _OPENMP_SETTINGS.items():
        os.environ.setdefault(name, value)
    try:
        libraries, notes = open_libraries([name for name in peers.split(",") if name])
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None

    progress_console = Console(stderr=True)
    with contextlib.ExitStack() as stack:
        columns = (TextColumn("{task.description}"), TimeElapsedColumn())
        progress = Progress(
            *columns, console=progress_console, disable=not progress_console.is_terminal
        )
        stack.enter_context(progress)
        task = progress.add_task("")
        results = run_benchmark(
            libraries,
            thread_counts,
            quick,
            pattern,
            lambda text: progress.update(task, description=text),
        )
    results["notes"] = notes + results["notes"]
    results["environment"] = {name: os.environ[name] for name in _OPENMP_SETTINGS}

    console = Console(stderr=json_file == "-")
    if not console.is_terminal:
        console.width = 140
    print_report(console, results)
    if json_file == "-":
        typer.echo(json.dumps(results, indent=1))
    elif json_file is not None:
        Path(json_file).write_text(json.dumps(results, indent=1) + "\n")
    if plot is not None:
        from gossamer.cli.bench.plots import plot_speedups

        plot_speedups(results, plot)
    if results["wrong"]:
        raise typer.Exit(1)


def _parse_threads(text: str) -> list[int]:
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"--threads: {text!r} is not a list of counts such as 1,2")
    return counts


def _parse_pattern(text: str | None) -> re.Pattern[str]:
    try:
        return re.compile(text or "")
    except re.error as error:
        raise typer.BadParameter(f"--only: {text!r} is not a regular expression: {error}") from None
