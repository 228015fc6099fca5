# SPDX-License-Identifier: Apache-2.0
"""The tables of ``gossamer bench packed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table

from gossamer.cli.bench.report import bar_table
from gossamer.cli.console import table_of
from gossamer.quantities import duration_text, size_text


def print_packed_report(console: Console, results: Mapping[str, Any]) -> None:
    """Print the cases, the bars and the notes of a run."""
    parts: list[RenderableType] = [_case_table(results["cases"]), bar_table(results["bars"])]
    parts.extend(f"[dim]note:[/] {note}" for note in results["notes"])
    parts.extend(f"[red]wrong:[/] {note}" for note in results["wrong"])
    console.print(Group(*parts))


# Headings of the peers that are shown besides the fastest dense float32 product.
_PEERS = {
    "torch-float16": "torch f16",
    "torch-bfloat16": "torch bf16",
    "torch-int8": "torch int8",
    "csr-mkl": "CSR MKL",
    "csr-gossamer": "CSR ours",
}


def _case_table(cases: Sequence[Mapping[str, Any]]) -> Table:
    title = (
        "k columns: share of the read bandwidth, speed-up over the fastest dense float32 product "
        "and over others"
    )
    numbers = "k", "threads", "memory", "time", "read", "dense"
    table = table_of(("matrix", "values", "format"), numbers, title, no_wrap=True)
    table.add_column("by", no_wrap=True)
    for heading in _PEERS.values():
        table.add_column(heading, justify="right")
    for case in cases:
        share = case["bandwidth_fraction"]
        speedup = case["speedup"]
        table.add_row(
            case["matrix"],
            case["dtype"],
            case["format"],
            str(case["batch"]),
            str(case["threads"]),
            size_text(case["bytes"]),
            duration_text(case["seconds"]["gossamer"]),
            "" if share is None else f"{share:.0%}",
            f"{case['dense_speedup']:.2f}",
            case["dense_peer"].removesuffix("-float32"),
            *(f"{speedup[peer]:.2f}" if peer in speedup else "" for peer in _PEERS),
        )
    return table
