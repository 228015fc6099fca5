# SPDX-License-Identifier: Apache-2.0
"""The console command ``gossamer`` and its sub-commands."""

from __future__ import annotations

from typing import Annotated

import typer

import gossamer
from gossamer.cli.bench.csr import csr
from gossamer.cli.bench.llm import llm
from gossamer.cli.bench.packed import packed
from gossamer.cli.bench.pruning import pruning
from gossamer.cli.bench.spmm import spmm
from gossamer.cli.bench.train import train
from gossamer.cli.demo.command import demo
from gossamer.cli.info import info
from gossamer.cli.models.compress import compress
from gossamer.cli.models.evaluate import evaluate
from gossamer.cli.models.generate import generate
from gossamer.cli.models.prune import prune

app = typer.Typer(
    name="gossamer",
    help="Sparse arrays at any density.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.command("demo")(demo)
app.command("info")(info)
app.command("prune")(prune)
app.command("compress")(compress)
app.command("generate")(generate)
app.command("eval")(evaluate)
bench = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")
bench.command("csr")(csr)
bench.command("packed")(packed)
bench.command("spmm")(spmm)
bench.command("train")(train)
bench.command("pruning")(pruning)
bench.command("llm")(llm)
app.add_typer(bench, name="bench", help="Measure against other libraries.")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gossamer {gossamer.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    pass
