# SPDX-License-Identifier: Apache-2.0
"""Tables and figures of ``gossamer bench csr --device cuda`` and ``gossamer bench spmm``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from gossamer.cli.bench.bars import geometric_mean
from gossamer.cli.console import table_of
from gossamer.cli.figures import save_figure

Case = Mapping[str, Any]
_LABELS = {
    "cusparse": "cuSPARSE's fastest",
    "cusparse-unprepared": "not preprocessed",
    "torch": "PyTorch",
    "dense": "dense",
}
_PEERS = tuple(_LABELS)
_COLORS = dict(zip(_PEERS, ("#3572b0", "#5aa469", "#e07b39", "#8a6fb0"), strict=True))


def print_csr_report(console: Console, results: Mapping[str, Any]) -> None:
    """Print geometric means, the cases and the notes of a run."""
    parts: list[RenderableType] = [_mean_table(results["cases"]), _case_table(results["cases"])]
    parts.extend(f"[dim]note:[/] {note}" for note in results["notes"])
    parts.extend(f"[red]wrong:[/] {note}" for note in results["wrong"])
    console.print(Group(*parts))


def _by_columns(cases: Sequence[Case]) -> dict[int, list[Case]]:
    groups: dict[int, list[Case]] = {}
    for case in cases:
        groups.setdefault(case["columns"], []).append(case)
    return groups


def _mean_table(cases: Sequence[Case]) -> Table:
    words = "columns", "matrices", "products"
    table = table_of(words, _LABELS.values(), "Speed-up: geometric mean (lowest)")
    for columns, group in _by_columns(cases).items():
        for products, field in (("in a chain", "speedup"), ("alone", "speedup_alone")):
            found = [
                [case[field][peer] for case in group if peer in case[field]] for peer in _PEERS
            ]
            means = (f"{geometric_mean(s):.2f} ({min(s):.2f})" if s else "" for s in found)
            table.add_row(str(columns), str(len(group)), products, *means)
    return table


def _case_table(cases: Sequence[Case]) -> Table:
    numbers = "nonzeros", "columns", "us", "alone", *_LABELS.values(), "read"
    table = table_of(("matrix",), numbers, "Cases: time a launch, and speed-ups", no_wrap=True)
    for case in cases:
        fraction = case["read_fraction"]
        speedups = [case["speedup"].get(peer) for peer in _PEERS]
        table.add_row(
            case["name"],
            str(case["nnz"]),
            str(case["columns"]),
            f"{case['us']:.2f}",
            f"{case['us_alone']:.2f}",
            *("" if speedup is None else f"{speedup:.2f}" for speedup in speedups),
            "" if fraction is None else f"{fraction:.0%}",
        )
    return table


def plot_csr_report(results: Mapping[str, Any], path: Path) -> None:
    """Draw the speed-up of every case over each peer, one panel for each number of columns."""
    from matplotlib import ticker
    from matplotlib.figure import Figure

    groups = _by_columns(results["cases"])
    longest = max(len(group) for group in groups.values())
    size = (4.6 * len(groups), 1.4 + 0.19 * longest)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (columns, group) in zip(panels, groups.items(), strict=True):
        for peer in _PEERS:
            points = [(c["speedup"][peer], i) for i, c in enumerate(group) if peer in c["speedup"]]
            if points:
                mean = geometric_mean([x for x, _ in points])
                label = f"over {_LABELS[peer]}: {mean:.2f}×"
                axes.plot(*zip(*points, strict=True), "o", ms=4, color=_COLORS[peer], label=label)
        axes.set_title("A @ x" if columns == 1 else f"{columns} columns", fontsize=10, loc="left")
        axes.set_yticks(range(len(group)), [case["name"] for case in group], fontsize=7)
        axes.set_ylim(len(group) - 0.5, -0.5)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g×"))
        axes.axvline(1, color="0.3", lw=1)
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=7)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.03))
    title = ["float32 CSR", results["machine"]["gpu"], results["date"][:10]]
    figure.suptitle(" · ".join(title), fontsize=10, color="0.35")
    save_figure(figure, path)
