# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench spmm``: very sparse matrices times a few columns, on a GPU."""

from __future__ import annotations

import typer

from gossamer.cli.bench.command import finish, progress, require_gpu
from gossamer.cli.options import DeviceName, FigureFile, JsonFile


def spmm(
    json_file: JsonFile = None,
    plot: FigureFile = None,
    device: DeviceName = "cuda",
) -> None:
    """Measure sparse products against cuSPARSE and the dense product, on a GPU.

    The matrices are square, of 2048 to 8192 rows, and have a fraction of a thousandth of their
    elements; the launches of each library are in one CUDA graph. Exits with 1 if a result is wrong.
    """
    if device == "cpu":
        raise typer.BadParameter(
            "--device: these products are measured on a GPU only; on the CPU gossamer bench csr "
            "measures products with 16 and 64 columns"
        )
    require_gpu()
    from gossamer.cli.bench.device.csr_report import plot_csr_report, print_csr_report
    from gossamer.cli.bench.device.csr_suite import run_device_spmm_benchmark

    with progress() as say:
        results = run_device_spmm_benchmark(say)
    finish(results, json_file, print_csr_report, plot, plot_csr_report)
