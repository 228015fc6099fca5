# SPDX-License-Identifier: Apache-2.0
"""Says what to install where an optional dependency of a command is missing."""

from __future__ import annotations

import importlib.util

import typer

from gossamer.optional import installing


def require(extra: str, *modules: str) -> None:
    """Leave with exit code 2 and the command to run, unless all ``modules`` are installed."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        typer.echo(f"missing: {', '.join(missing)}; {installing(extra)}", err=True)
        raise typer.Exit(2)
