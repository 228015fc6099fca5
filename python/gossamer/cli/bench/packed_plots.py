# SPDX-License-Identifier: Apache-2.0
"""The figure of ``gossamer bench packed``: a heat map and curves of the speed-up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import ticker
from matplotlib.figure import Figure

from gossamer.cli.bench.bars import geometric_mean, having
from gossamer.cli.figures import save_figure

_COLORS = ("#e07b39", "#5aa469", "#3572b0", "#8f5fa8", "#7a7a7a")
Case = Mapping[str, Any]


def plot_packed(results: Mapping[str, Any], path: Path) -> None:
    """Draw the cases of the largest thread count into a PNG, SVG or PDF, by the name's ending.

    Every number is a geometric mean over the shapes, against the fastest dense float32 product.
    """
    threads = max((case["threads"] for case in results["cases"]), default=1)
    cases = having(results["cases"], threads=threads)
    vectors, exact = having(cases, batch=1), having(cases, dtype="float32")

    figure = Figure(figsize=(14, 4.4), layout="constrained")
    heat, by_dtype, by_batch = figure.subplots(1, 3, width_ratios=[1.15, 1, 1])
    _plot_heat(heat, vectors)
    _plot_curves(by_dtype, vectors, "dtype", str)
    by_dtype.set_title("One vector, by the type of the values", fontsize=10, loc="left")
    _plot_curves(
        by_batch, exact, "batch", lambda batch: "one vector" if batch == 1 else f"{batch} columns"
    )
    by_batch.set_title("float32, by the columns of X", fontsize=10, loc="left")
    title = ["speed-up over dense float32", f"{threads} threads", results["machine"]["cpu"]]
    figure.suptitle(" · ".join([*title, results["date"][:10]]), fontsize=10, color="0.35")
    save_figure(figure, path)


def _values(cases: Sequence[Case], key: str) -> list[Any]:
    return list(dict.fromkeys(case[key] for case in cases))


def _mean(cases: Sequence[Case], **wanted: Any) -> float:
    """Geometric mean over the shapes; NaN where nothing was measured."""
    return geometric_mean(case["dense_speedup"] for case in having(cases, **wanted))


def _plot_heat(axes: Any, cases: Sequence[Case]) -> None:
    dtypes, densities = _values(cases, "dtype"), sorted(_values(cases, "density"))
    axes.set_title("One vector", fontsize=10, loc="left")
    if not cases:
        return
    means = np.array([[_mean(cases, dtype=t, density=d) for d in densities] for t in dtypes])
    axes.imshow(np.log2(means), cmap="RdBu", vmin=-3, vmax=3, aspect="auto")
    for (row, column), mean in np.ndenumerate(means):
        color = "white" if abs(np.log2(mean)) > 2 else "0.15"
        text = "" if np.isnan(mean) else f"{mean:.2g}×" if mean < 9.95 else f"{mean:.0f}×"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=color)
    axes.set_xticks(range(len(densities)), [f"{density:.0%}" for density in densities])
    axes.set_yticks(range(len(dtypes)), dtypes)
    axes.set_xlabel("nonzero", fontsize=8)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)


def _plot_curves(axes: Any, cases: Sequence[Case], key: str, label: Callable[[Any], str]) -> None:
    densities = sorted(_values(cases, "density"))
    for color, value in zip(_COLORS, _values(cases, key), strict=False):
        means = [_mean(cases, density=density, **{key: value}) for density in densities]
        axes.plot(densities, means, "o-", ms=4, color=color, label=label(value))
    axes.axhline(1, color="0.3", lw=1)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g×"))
    axes.xaxis.set_major_formatter(ticker.PercentFormatter(1, decimals=0))
    axes.set_xlabel("nonzero", fontsize=8)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    if densities:
        axes.legend(frameon=False, fontsize=8)
