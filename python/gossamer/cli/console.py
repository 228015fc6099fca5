# SPDX-License-Identifier: Apache-2.0
"""What commands print on, and their tables."""

from __future__ import annotations

from collections.abc import Iterable

import typer
from rich.console import Console
from rich.table import Table

from gossamer.cli.machine import busy_note


def console_of(width: int, stderr: bool = False) -> Console:
    """Console as wide as its terminal, or of that many characters where there is none."""
    console = Console(stderr=stderr)
    if not console.is_terminal:
        console.width = width
    return console


def say_if_busy() -> None:
    """Print a line on stderr if other programs run, to be called before anything is measured."""
    note = busy_note()
    if note is not None:
        typer.echo(note, err=True)


def table_of(
    words: Iterable[str], numbers: Iterable[str], title: str | None = None, no_wrap: bool = False
) -> Table:
    """Table whose columns of words come first and are flush left, those of numbers flush right."""
    table = Table(title=title, title_justify="left")
    for heading in words:
        table.add_column(heading, no_wrap=no_wrap)
    for heading in numbers:
        table.add_column(heading, justify="right", no_wrap=no_wrap)
    return table
