# SPDX-License-Identifier: Apache-2.0
"""The benchmark's figure: speed-ups by operation, and how much of the bandwidth SpMV attains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from gossamer.cli.bench.bars import BANDWIDTH_FRACTION, geometric_mean, having
from gossamer.cli.figures import save_figure

_COLORS = {"scipy": "#3572b0", "mkl": "#e07b39"}
_LABELS = {"scipy": "SciPy", "mkl": "MKL"}
_DTYPE_COLORS = {"float32": "#5aa469", "float64": "#2f5d50"}
_BELOW = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.06)}
_OPERATION_LABELS = {
    "spmv": "SpMV",
    "spmm": "SpMM, {} columns",
    "transposed": "transposed, {} columns",
    "batched_vectors": "batch of vectors",
    "batched_matrices": "batch of matrices",
    "spgemm": "sparse × sparse",
    "galerkin": "R (A P)",
    "coo_to_csr": "COO to CSR",
}


def plot_speedups(results: Mapping[str, Any], path: Path) -> None:
    """Draw the cases of the largest thread count into a PNG, SVG or PDF, by the name's ending."""
    threads = max((case["threads"] for case in results["cases"]), default=1)
    cases = having(results["cases"], threads=threads)
    streamed = [case for case in cases if case["bandwidth_fraction"] is not None]

    figure = Figure(figsize=(11, 5.2) if streamed else (7, 5.2), layout="constrained")
    axes = figure.subplots(1, 2 if streamed else 1, squeeze=False)[0]
    _plot_operations(axes[0], cases)
    if streamed:
        _plot_bandwidth(axes[1], streamed)
    machine = results["machine"]
    title = [f"Gossamer, {threads} threads", machine["cpu"], results["date"][:10]]
    figure.suptitle(" · ".join(title), fontsize=10, color="0.35")
    save_figure(figure, path)


def _plot_operations(axes: Any, cases: Sequence[Mapping[str, Any]]) -> None:
    """One row for each operation: a faint dot for each case, a diamond for the geometric mean."""
    operations = list(dict.fromkeys(case["operation"] for case in cases))
    for row, operation in enumerate(operations):
        for peer, shift in (("scipy", -0.17), ("mkl", 0.17)):
            speedups = [
                case["speedup"][peer]
                for case in having(cases, operation=operation)
                if peer in case["speedup"]
            ]
            if not speedups:
                continue
            color, mean = _COLORS[peer], geometric_mean(speedups)
            label = f"over {_LABELS[peer]}" if row == 0 else None
            axes.plot(
                speedups,
                np.full(len(speedups), row + shift),
                "o",
                ms=4,
                mew=0,
                color=color,
                alpha=0.3,
            )
            axes.plot(mean, row + shift, "D", ms=6.5, color=color, mec="white", label=label)
            axes.text(
                1.01, row + shift, f"{mean:.1f}×", color=color, fontsize=8, va="center",
                transform=axes.get_yaxis_transform(),
            )  # fmt: skip
    axes.axvline(1, color="0.3", lw=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g×"))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_yticks(range(len(operations)), [_operation_label(name) for name in operations])
    axes.invert_yaxis()
    axes.set_title("Speed-up; diamonds: geometric means, dots: matrices", fontsize=10, loc="left")
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if operations:
        axes.legend(frameon=False, fontsize=8, **_BELOW, ncols=2)


def _plot_bandwidth(axes: Any, cases: Sequence[Mapping[str, Any]]) -> None:
    """Bars for the share of the read bandwidth in SpMV, a tick for the share that MKL attains."""
    matrices = list(dict.fromkeys(case["matrix"] for case in cases))
    for dtype, shift in (("float32", -0.2), ("float64", 0.2)):
        chosen = having(cases, dtype=dtype)
        rows = np.array([matrices.index(case["matrix"]) for case in chosen]) + shift
        shares = [case["bandwidth_fraction"] for case in chosen]
        axes.barh(rows, shares, height=0.36, color=_DTYPE_COLORS[dtype], label=dtype)
        peer = [
            (row, case) for row, case in zip(rows, chosen, strict=True) if "mkl" in case["speedup"]
        ]
        axes.plot(
            [case["bandwidth_fraction"] / case["speedup"]["mkl"] for _, case in peer],
            [row for row, _ in peer],
            "|", ms=9, mew=2, color=_COLORS["mkl"], label="MKL" if dtype == "float64" else None,
        )  # fmt: skip
    axes.axvline(BANDWIDTH_FRACTION, color="0.3", lw=1, ls="--")
    axes.set_xlim(0, 1.02)
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
    axes.set_yticks(range(len(matrices)), matrices)
    axes.invert_yaxis()
    axes.set_title("SpMV beyond the cache: share of the read bandwidth", fontsize=10, loc="left")
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, **_BELOW, ncols=3)


def _operation_label(name: str) -> str:
    kind, _, columns = name.partition("-")
    label = _OPERATION_LABELS[kind].format(columns)
    return label.removesuffix("s") if columns == "1" else label
