# SPDX-License-Identifier: Apache-2.0
"""The benchmark's tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from gossamer.cli.console import table_of


def print_report(console: Console, results: Mapping[str, Any]) -> None:
    """Print speed-ups, bandwidth, the bars and the notes of a run."""
    parts: list[RenderableType] = [_speedup_table(results)]
    if any(case["bandwidth_fraction"] is not None for case in results["cases"]):
        parts.append(_bandwidth_table(results["cases"]))
    parts.append(bar_table(results["bars"]))
    parts.extend(f"[dim]note:[/] {note}" for note in results["notes"])
    console.print(Group(*parts))


def _speedup_table(results: Mapping[str, Any]) -> Table:
    peers = [name for name in results["versions"] if name not in ("gossamer", "numpy")]
    title = "Gossamer's speed-up: geometric mean (lowest)"
    table = table_of(("operation", "threads", "matrices"), peers, title)
    rows: dict[tuple[str, int, str], dict[str, str]] = {}
    for mean in results["geometric_means"]:
        size = "beyond cache" if mean["beyond_cache"] else "in cache"
        row = rows.setdefault((mean["operation"], mean["threads"], size), {})
        row[mean["peer"]] = f"{mean['geometric_mean']:.2f} ({mean['lowest']:.2f})"
    for (operation, threads, size), row in rows.items():
        table.add_row(operation, str(threads), size, *(row.get(peer, "") for peer in peers))
    return table


def _bandwidth_table(cases: Sequence[Mapping[str, Any]]) -> Table:
    numbers = "threads", "MB", "ms", "GB/s", "of read bandwidth", "× scipy", "× mkl"
    table = table_of(("matrix", "dtype"), numbers, "SpMV beyond the cache")
    for case in cases:
        if case["bandwidth_fraction"] is None:
            continue
        seconds = case["seconds"]["gossamer"]
        table.add_row(
            case["matrix"],
            case["dtype"],
            str(case["threads"]),
            f"{case['bytes'] / 1e6:.0f}",
            f"{seconds * 1e3:.1f}",
            f"{case['bytes'] / seconds / 1e9:.1f}",
            f"{case['bandwidth_fraction']:.0%}",
            *(
                f"{case['speedup'][p]:.2f}" if p in case["speedup"] else ""
                for p in ("scipy", "mkl")
            ),
        )
    return table


def bar_table(bars: Sequence[Mapping[str, Any]]) -> Table:
    """Requirements and what the run reached."""
    table = table_of(("bar",), ("required", "measured"), "Bars")
    table.add_column("")
    table.add_column("furthest behind")
    verdicts = {True: "[green]reached[/]", False: "[red]missed[/]", None: "[dim]not measured[/]"}
    for bar in bars:
        measured = "" if bar["measured"] is None else f"{bar['measured']:.3g}"
        verdict = verdicts[bar["passed"]]
        table.add_row(bar["bar"], f"{bar['required']:.3g}", measured, verdict, bar["worst"] or "")
    return table
