# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench spmm``: very sparse matrices times a few columns, on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gossamer.cli.bench.command import finish, progress, require_gpu


def spmm(
    json_file: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write the results; - is stdout.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the speed-ups (.png or .svg).")
    ] = None,
) -> None:
    """Measure sparse products against cuSPARSE and the dense product, on a GPU.

    The matrices are square, of 2048 to 8192 rows, and have a fraction of a thousandth of their
    elements; the launches of each library are in one CUDA graph. Exits with 1 if a result is wrong.
    """
    require_gpu(plot=plot is not None)
    from gossamer.cli.bench.device.csr_report import plot_csr_report, print_csr_report
    from gossamer.cli.bench.device.csr_suite import run_device_spmm_benchmark

    with progress() as say:
        results = run_device_spmm_benchmark(say)
    finish(results, json_file, plot, print_csr_report, plot_csr_report)
