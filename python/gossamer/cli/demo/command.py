# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status

from gossamer.cli.console import console_of, say_if_busy
from gossamer.cli.extras import require
from gossamer.cli.options import figure_file, input_file


def demo(
    matrix: Annotated[
        Path | None,
        typer.Option(metavar="FILE.mtx", callback=input_file, help="Multiply this matrix instead."),
    ] = None,
    plot: Annotated[
        Path,
        typer.Option(
            metavar="FILE", callback=figure_file, help="Where to draw (.png, .svg or .pdf)."
        ),
    ] = Path("gossamer-demo.png"),
    quick: Annotated[bool, typer.Option("--quick", help="Small problems.")] = False,
) -> None:
    """Solve sparse problems beside SciPy, then prune and pack the layers of a language model.

    The problems are a Poisson equation with a million unknowns and a chain of 16 qubits; the layers
    are those of SmolLM2-135M. Prints times, memory and errors, and draws a figure of each half.
    """
    require("demo", "scipy", "matplotlib")
    from gossamer.cli.demo.report import measurement_table, plot_demo

    progress = Console(stderr=True)
    console = console_of(width=140)
    A: Any = None if matrix is None else _read(matrix)
    say_if_busy()
    with progress.status("") as status:
        if matrix is None:
            lines, picture = _solve_problems(quick, status)
            caption = "Potential of three charges"
        else:
            lines, picture = _multiply(matrix.stem, A, status)
            caption = f"{matrix.name}, {A.shape[0]} × {A.shape[1]}, {A.nnz} stored"
    console.print(measurement_table(lines))
    plot_demo(lines, picture, caption, plot)
    console.print(f"figure: {plot}")
    if matrix is None:
        _pack_model(plot.with_stem(f"{plot.stem}-pruned"), quick, console, progress)


def _solve_problems(quick: bool, status: Status) -> tuple[list[Any], Any]:
    from gossamer.cli.demo.problems import measure_ising, measure_poisson

    points, sites = (127, (10,)) if quick else (1023, (12, 16))
    status.update(f"Poisson problem with {points**2:,} unknowns")
    lines, solution = measure_poisson(points)
    for count in sites:
        status.update(f"Ising chain of {count} qubits")
        lines.extend(measure_ising(count, field=1.0))
    return lines, solution


def _pack_model(plot: Path, quick: bool, console: Console, progress: Console) -> None:
    """Run the second half: print its table and draw its figure."""
    from gossamer.cli.demo.pruned import DENSITIES, DTYPES, measure_layers
    from gossamer.cli.demo.pruned_report import plot_pruned, pruned_table
    from gossamer.cli.demo.weights import BLOCKS, linear_layers

    with progress.status("reading the layers of a language model") as status:
        layers, source = linear_layers(2 if quick else BLOCKS)
        lines = []
        for density in DENSITIES:
            status.update(f"{source}: {len(layers)} layers at {density:.0%}")
            lines.extend(measure_layers(layers, density, DTYPES, rounds=3 if quick else 9))
    console.print(pruned_table(lines, source))
    plot_pruned(lines, source, plot)
    console.print(f"figure: {plot}")


def _multiply(name: str, A: Any, status: Status) -> tuple[list[Any], Any]:
    from gossamer.cli.demo.problems import measure_matrix
    from gossamer.cli.demo.report import density_map

    status.update(f"products with {name}")
    return list(measure_matrix(name, A)), density_map(A)


def _read(path: Path) -> Any:
    from gossamer.io import read_matrix_market

    try:
        return read_matrix_market(path).tocsr(canonical=True).to_scipy()
    except (OSError, ValueError, ImportError) as error:
        typer.echo(f"--matrix: {error}", err=True)
        raise typer.Exit(2) from None
