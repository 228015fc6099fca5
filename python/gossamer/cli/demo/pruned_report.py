# SPDX-License-Identifier: Apache-2.0
"""Table and figure of the demonstration's second half."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import gossamer
from gossamer.cli.console import table_of
from gossamer.cli.demo.pruned import PrunedLayers
from gossamer.cli.figures import save_figure
from gossamer.quantities import duration_text, size_text

_COLORS = {"float32": "#e07b39", "float16": "#5aa469", "int8": "#3572b0"}


def pruned_table(lines: Sequence[PrunedLayers], source: str) -> Table:
    """Memory, time and error: each kind of layer in float32, and sums for every value type."""
    title = (
        f"{source}, pruned by magnitude: packed against dense float32 "
        f"(NumPy's BLAS), {gossamer.get_num_threads()} threads"
    )
    numbers = "dense", "packed", "smaller", "dense", "packed", "faster", "error"
    table = table_of(("density", "values", "layers", "format"), numbers, title)
    for line in lines:
        summed = line.shape is None
        if not (summed or line.dtype == "float32"):
            continue
        layers = f"all {line.count}" if summed else _layers_text(line)
        table.add_row(
            f"{line.density:.0%}",
            line.dtype,
            layers,
            ", ".join(line.formats),
            size_text(line.dense_bytes),
            size_text(line.packed_bytes),
            f"{line.dense_bytes / line.packed_bytes:.2f}×",
            duration_text(line.dense_seconds),
            duration_text(line.packed_seconds),
            f"{line.dense_seconds / line.packed_seconds:.2f}×",
            f"{line.error:.0e}",
            style="bold" if summed else None,
            end_section=summed,
        )
    return table


def plot_pruned(lines: Sequence[PrunedLayers], source: str, path: Path) -> None:
    """Draw how much smaller and faster each kind of layer gets, into a PNG, SVG or PDF."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    densities = list(dict.fromkeys(line.density for line in lines))
    panels = figure.subplots(1, len(densities), squeeze=False)[0]
    for axes, density in zip(panels, densities, strict=True):
        _plot_density(axes, [line for line in lines if line.density == density])
        axes.set_title(f"{density:.0%} nonzero", fontsize=10, loc="left")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=8)
    figure.suptitle(
        f"Bars: times faster than the dense float32 product; marks: times smaller. {source}",
        fontsize=10,
        color="0.35",
    )
    save_figure(figure, path)


def _plot_density(axes: Any, lines: Sequence[PrunedLayers]) -> None:
    kinds = list(dict.fromkeys(line.kind for line in lines))
    dtypes = list(dict.fromkeys(line.dtype for line in lines))
    height = 0.8 / len(dtypes)
    for place, dtype in enumerate(dtypes):
        chosen = [line for line in lines if line.dtype == dtype]
        rows = np.arange(len(kinds)) + (place - (len(dtypes) - 1) / 2) * height
        faster = [line.dense_seconds / line.packed_seconds for line in chosen]
        smaller = [line.dense_bytes / line.packed_bytes for line in chosen]
        axes.barh(rows, faster, height * 0.9, color=_COLORS[dtype], label=dtype)
        axes.plot(smaller, rows, "|", ms=8, mew=2, color="0.25")
    axes.axvline(1, color="0.3", lw=1)
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _layers_text(line: PrunedLayers) -> str:
    rows, cols = line.shape or (0, 0)
    return f"{line.count} {line.kind}, {rows} × {cols}"
