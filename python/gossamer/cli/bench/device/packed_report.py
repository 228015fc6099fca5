# SPDX-License-Identifier: Apache-2.0
"""Tables and figures of ``gossamer bench packed --device cuda``."""

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


def print_device_report(console: Console, results: Mapping[str, Any]) -> None:
    """Print geometric means, the cases and the notes of a run."""
    parts: list[RenderableType] = [_mean_table(results["cases"]), _case_table(results["cases"])]
    parts.extend(f"[dim]note:[/] {note}" for note in results["notes"])
    parts.extend(f"[red]wrong:[/] {note}" for note in results["wrong"])
    console.print(Group(*parts))


def _groups(cases: Sequence[Case]) -> dict[tuple[Any, ...], list[Case]]:
    groups: dict[tuple[Any, ...], list[Case]] = {}
    for case in cases:
        groups.setdefault((case["dtype"], case["batch"], case["density"]), []).append(case)
    return groups


def _mean_table(cases: Sequence[Case]) -> Table:
    title = "Geometric means over the shapes: speed-up over the faster dense product"
    numbers = "vectors", "density", "shapes", "in a chain", "alone", "lowest"
    table = table_of(("values",), numbers, title)
    for (dtype, batch, density), group in _groups(cases).items():
        chained = [case["dense_speedup"] for case in group]
        alone = [case["dense_speedup_alone"] for case in group]
        table.add_row(
            dtype,
            str(batch),
            f"{density:.0%}",
            str(len(group)),
            f"{geometric_mean(chained):.2f}",
            f"{geometric_mean(alone):.2f}",
            f"{min(chained):.2f}",
        )
    return table


def _case_table(cases: Sequence[Case]) -> Table:
    title = "Cases: time a launch, speed-up over the dense product, share of a read"
    numbers = "us", "alone", "dense us", "speed-up", "read", "memory", "CSR"
    table = table_of(("case",), numbers, title, no_wrap=True)
    for case in cases:
        csr = case["peer_us"].get("csr-cusparse")
        fraction = case["read_fraction"]
        table.add_row(
            case["name"],
            f"{case['us']:.2f}",
            f"{case['us_alone']:.2f}",
            f"{case['peer_us'][case['dense_peer']]:.2f}",
            f"{case['dense_speedup']:.2f}",
            "" if fraction is None else f"{fraction:.0%}",
            f"{case['memory_gain']:.2f}",
            "" if csr is None else f"{csr / case['us']:.2f}",
        )
    return table


def plot_device_packed(results: Mapping[str, Any], path: Path) -> None:
    """Draw speed-up over density by shape, share of the read limit, and batch curves if any."""
    from matplotlib import ticker
    from matplotlib.figure import Figure

    cases = results["cases"]
    vectors = [c for c in cases if c["batch"] == 1 and c["dtype"] == "float16"]
    batches = [c for c in cases if c["dtype"] == "float16" and c["density"] in (0.1, 0.5)]
    panels = 2 + any(c["batch"] > 1 for c in batches)
    figure = Figure(figsize=(14 / 3 * panels, 4.4), layout="constrained")
    speed, read, *batch = figure.subplots(1, panels)
    for shape in dict.fromkeys(tuple(c["shape"]) for c in vectors):
        of_shape = sorted(
            (c for c in vectors if tuple(c["shape"]) == shape), key=lambda c: c["density"]
        )
        x, label = [c["density"] for c in of_shape], f"{shape[0]}×{shape[1]}"
        speed.plot(x, [c["dense_speedup"] for c in of_shape], "o-", ms=4, label=label)
        measured = [c for c in of_shape if c["read_fraction"] is not None]
        read.plot(
            [c["density"] for c in measured],
            [c["read_fraction"] for c in measured],
            "o-",
            ms=4,
            label=label,
        )
    for axes in batch:
        _plot_batches(axes, batches)
    speed.set_title("float16, one vector: speed-up over cuBLAS", fontsize=10, loc="left")
    speed.set_xlabel("nonzero", fontsize=8)
    read.set_title("share of a plain read of the same bytes", fontsize=10, loc="left")
    read.set_xlabel("nonzero", fontsize=8)
    read.set_ylim(0, 1)
    for axes in (speed, *batch):
        axes.set_yscale("log", base=2)
        axes.axhline(1, color="0.3", lw=1)
        axes.yaxis.set_major_formatter(ticker.FormatStrFormatter("%g×"))
    for axes in (speed, read, *batch):
        axes.grid(color="0.92")
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    title = ["packed products in a CUDA graph", results["machine"]["gpu"], results["date"][:10]]
    figure.suptitle(" · ".join(title), fontsize=10, color="0.35")
    save_figure(figure, path)


def _plot_batches(axes: Any, cases: Sequence[Case]) -> None:
    from matplotlib import ticker

    for density in (0.5, 0.1):
        means = _groups([c for c in cases if c["density"] == density])
        counts = sorted(key[1] for key in means)
        groups = [means["float16", count, density] for count in counts]
        y = [geometric_mean(c["dense_speedup"] for c in group) for group in groups]
        axes.plot(counts, y, "o-", ms=4, label=f"{density:.0%} nonzero")
    axes.set_title("float16, by vectors: geometric mean over cuBLAS", fontsize=10, loc="left")
    axes.set_xlabel("vectors", fontsize=8)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%g"))
