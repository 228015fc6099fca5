# SPDX-License-Identifier: Apache-2.0
"""The demonstration's table and figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from rich.table import Table

import gossamer
from gossamer.cli.console import table_of
from gossamer.cli.demo.problems import Measurement
from gossamer.cli.figures import save_figure
from gossamer.quantities import duration_text, size_text

_COLORS = {"SciPy": "#3572b0", "Gossamer": "#e07b39", "dense": "0.6"}


def measurement_table(measurements: Sequence[Measurement]) -> Table:
    """Times, memory and differences from SciPy."""
    threads = gossamer.get_num_threads()
    title = f"Gossamer {gossamer.__version__}, {threads} threads; SciPy's sparse products use one"
    numbers = "SciPy", "Gossamer", "speed-up", "dense", "memory", "as dense", "error"
    table = table_of(("problem", "operation"), numbers, title)
    table.add_column("")
    problem = None
    for line in measurements:
        table.add_row(
            line.problem if line.problem != problem else "",
            line.operation,
            duration_text(line.seconds["SciPy"]),
            duration_text(line.seconds["Gossamer"]),
            f"{line.seconds['SciPy'] / line.seconds['Gossamer']:.1f}×",
            duration_text(line.seconds["dense"]) if "dense" in line.seconds else "–",
            size_text(line.sparse_bytes),
            size_text(line.dense_bytes),
            f"{line.error:.0e}",
            line.note,
        )
        problem = line.problem
    return table


def plot_demo(measurements: Sequence[Measurement], picture: Any, caption: str, path: Path) -> None:
    """Draw a picture of the problem beside the times, into a PNG, SVG or PDF by the ending."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.6])
    limit = np.abs(picture).max()
    if picture.min() < 0:
        left.imshow(picture, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="bilinear")
    else:
        left.imshow(picture, cmap="Greys", vmin=0, vmax=limit, interpolation="nearest")
    left.set_xticks([])
    left.set_yticks([])
    left.set_title(caption, fontsize=10, loc="left")
    _plot_times(right, measurements)
    save_figure(figure, path)


def _plot_times(axes: Any, measurements: Sequence[Measurement]) -> None:
    height = 0.27
    labelled = set()
    for row, line in enumerate(measurements):
        for place, (name, seconds) in enumerate(line.seconds.items()):
            label = None if name in labelled else name
            labelled.add(name)
            y = row + (place - (len(line.seconds) - 1) / 2) * height
            axes.barh(y, seconds, height * 0.9, color=_COLORS[name], label=label)
            axes.annotate(
                f" {duration_text(seconds)}", (seconds, y), va="center", fontsize=7, color="0.3"
            )
    axes.set_yticks(
        range(len(measurements)),
        [f"{line.operation}\n{line.problem}" for line in measurements],
    )
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.set_xlabel("seconds", fontsize=8)
    axes.set_title("Time", fontsize=10, loc="left")
    axes.tick_params(labelsize=8)
    axes.grid(axis="x", color="0.92")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8)


def density_map(A: Any, cells: int = 200) -> Any:
    """Square roots of the stored entries of A, counted in at most ``cells`` cells an axis."""
    rows, cols = (max(1, min(cells, extent)) for extent in A.shape)
    triplets = A.tocoo()
    counts = np.zeros((rows, cols))
    row = triplets.row.astype(np.int64) * rows // A.shape[0]
    col = triplets.col.astype(np.int64) * cols // A.shape[1]
    np.add.at(counts, (row, col), 1)
    return np.sqrt(counts)
