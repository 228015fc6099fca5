# SPDX-License-Identifier: Apache-2.0
"""What the benchmark commands share: options, progress, where results go."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from gossamer.cli.console import console_of
from gossamer.cli.extras import require
from gossamer.io.atomic import replacing

# Idle OpenMP threads of one library would otherwise spin through the sample of the next.
_OPENMP_SETTINGS = {"KMP_BLOCKTIME": "1", "GOMP_SPINCOUNT": "10000"}

# Which kernels OpenBLAS is told to use; figures by others do not belong in the same file.
_KERNELS = "OPENBLAS_CORETYPE"


def parse_counts(option: str, text: str) -> list[int]:
    """Read an option that takes positive integers, separated by commas."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise typer.BadParameter(f"{option}: {text!r} is not a list of counts such as 1,2")
    return counts


def parse_shares(option: str, text: str) -> list[float]:
    """Read an option that takes numbers from 0 to 1, separated by commas."""
    try:
        shares = [float(part) for part in text.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0 <= share <= 1 for share in shares):
        raise typer.BadParameter(f"{option}: {text!r} is not a list of shares such as 0.1,0.5")
    return shares


def parse_pattern(text: str | None) -> re.Pattern[str]:
    """Read the option ``--only``."""
    try:
        return re.compile(text or "")
    except re.error as error:
        raise typer.BadParameter(f"--only: {text!r} is not a regular expression: {error}") from None


def matching(pattern: re.Pattern[str], names: Iterable[str]) -> set[str]:
    """Those names of cases, parts joined by slashes, in which the pattern of ``--only`` is found.

    Raises
    ------
    typer.BadParameter
        If there is none; the message lists the parts.
    """
    names = list(names)
    found = {name for name in names if pattern.search(name)}
    if not found:
        columns = zip(*(name.split("/") for name in names), strict=True)
        parts = " / ".join(", ".join(dict.fromkeys(column)) for column in columns)
        raise typer.BadParameter(f"--only: {pattern.pattern!r} matches no case. There are: {parts}")
    return found


def settle_threads() -> dict[str, str]:
    """Let idle threads of OpenMP sleep soon; return what is set for the libraries, for the results.

    To be called before the libraries are loaded. What the user has set stays.
    """
    for name, value in _OPENMP_SETTINGS.items():
        os.environ.setdefault(name, value)
    return {name: os.environ[name] for name in (*_OPENMP_SETTINGS, _KERNELS) if name in os.environ}


INTERRUPTED = "The run was interrupted: the cases that follow were not measured"


@contextmanager
def until_interrupted(notes: list[str]) -> Iterator[None]:
    """Let an interrupt (Ctrl-C) end the measuring, noted, with the results so far kept."""
    try:
        yield
    except KeyboardInterrupt:
        notes.append(INTERRUPTED)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being measured: the body calls what it is given with a text."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as display:
        task = display.add_task("")
        yield lambda text: display.update(task, description=text)


def results_to_resume(
    json_file: str | None, settings: Mapping[str, Any], processor: Mapping[str, str]
) -> dict[str, Any] | None:
    """Read the results that ``--resume`` goes on from; None where nothing was measured yet.

    Each case names the commit that measured it. Leaves with what is wrong where they were measured
    with settings, or by a processor, other than the given ones.

    Parameters
    ----------
    json_file
        The option ``--json``.
    settings
        Entries that the results must agree with.
    processor
        Entries that what they hold of the machine must agree with.
    """
    if json_file is None or json_file == "-":
        raise typer.BadParameter("--resume: give --json FILE, whose results are gone on from")
    if not Path(json_file).exists():
        return None
    try:
        results: dict[str, Any] = json.loads(Path(json_file).read_text())
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"--resume: {json_file} holds no results: {error}") from None
    machine = results.get("machine", {})
    were = {**results, **{name: machine.get(name) for name in processor}}
    for name, value in {**processor, **settings}.items():
        if were.get(name) != value:
            raise typer.BadParameter(
                f"--resume: {name} was {were.get(name)!r} in {json_file} and is {value!r}; "
                f"measure anew without --resume, or give another file"
            )
    for case in results["cases"]:
        case.setdefault("commit", results.get("commit"))
    return results


def require_gpu() -> None:
    """Leave with what is missing for a benchmark on a GPU."""
    require("llm", "torch")
    require("bench", "scipy")
    from gossamer.cuda import unavailable

    if reason := unavailable():
        raise typer.BadParameter(f"--device cuda: {reason}")


def _rounded(value: Any) -> Any:
    """Eight digits of every number: written ratios agree to a millionth, and files stay small."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {name: _rounded(element) for name, element in value.items()}
    return [_rounded(element) for element in value] if isinstance(value, (list, tuple)) else value


def _to_json(results: dict[str, Any]) -> str:
    """Write a line for each entry, and for each element of those that are lists, as of cases."""
    entries = []
    for name, value in _rounded(results).items():
        text = json.dumps(value)
        if isinstance(value, list) and value:
            text = "[\n" + ",\n".join(json.dumps(element) for element in value) + "\n]"
        entries.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(entries) + "\n}"


def finish(
    results: dict[str, Any],
    json_file: str | None,
    report: Callable[[Console, dict[str, Any]], None],
    plot: Path | None = None,
    draw: Callable[[dict[str, Any], Path], None] | None = None,
) -> None:
    """Print, write and draw the results; leave with exit code 1 if some were wrong."""
    console = console_of(width=140, stderr=json_file == "-")
    report(console, results)
    text = _to_json(results)
    if json_file == "-":
        typer.echo(text)
    elif json_file is not None:
        with replacing(json_file) as beside:
            beside.write_text(text + "\n")
    if plot is not None and draw is not None:
        draw(results, plot)
    if results["wrong"]:
        raise typer.Exit(1)
