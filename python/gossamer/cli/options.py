# SPDX-License-Identifier: Apache-2.0
"""Options that several commands have, checked before anything is loaded or computed."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gossamer.cli.extras import require
from gossamer.io.atomic import check_replaceable
from gossamer.io.model_files import locate_here

#: What figures can be written as.
FIGURE_ENDINGS = (".png", ".svg", ".pdf")


def one_of(*choices: str) -> Callable[[Any], Any]:
    """Callback of an option that takes one of a few words."""

    def check(value: str | None) -> str | None:
        if value is not None and value not in choices:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(choices)}")
        return value

    return check


def input_file(path: Path | None) -> Path | None:
    """Callback of an argument or option that names a file to read, which may be read twice.

    Raises
    ------
    typer.BadParameter
        If there is none.
    """
    path = text_file(path)
    if path is not None and not path.is_file():
        raise typer.BadParameter(f"{path}: is no regular file")
    return path


def text_file(path: Path | None) -> Path | None:
    """Callback of an option that names a file or pipe to read; raises as `input_file` does."""
    if path is not None and (path.is_dir() or not path.exists()):
        found = "is a folder, expected a file" if path.is_dir() else "there is no such file"
        raise typer.BadParameter(f"{path}: {found}")
    return path


def output_file(path: Path) -> Path:
    """Callback of an option that names a file to write.

    Raises
    ------
    typer.BadParameter
        If it cannot be written there.
    """
    folder = path.parent
    if path.is_symlink():
        folder = Path(os.path.realpath(path)).parent  # beside what it names, to replace that
    if path.is_dir():
        raise typer.BadParameter(f"{path}: is a folder, expected a file to write")
    if path.exists() and not path.is_file():
        raise typer.BadParameter(f"{path}: is no regular file, which could be replaced")
    if not folder.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {folder} to write to")
    if not all(os.access(p, os.W_OK) for p in (folder, path) if p.exists()):
        raise typer.BadParameter(f"{path}: you have no permission to write there")
    return path


def figure_file(path: Path) -> Path:
    """Callback of an option that names a figure to draw; raises as `output_file` does."""
    if path.suffix.lower() not in FIGURE_ENDINGS:
        raise typer.BadParameter(
            f"{path}: expected a name that ends in {', '.join(FIGURE_ENDINGS)}"
        )
    return output_file(path)


def _model_folder(folder: Path) -> Path:
    try:
        check_replaceable(folder)
    except OSError as error:
        raise typer.BadParameter(f"{error}") from None
    return folder


def model_source(name: str) -> str:
    """Callback of an argument that names a model: BadParameter where no hub needs to be asked."""
    try:
        locate_here(name)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from None
    return name


def _torch_device(name: str) -> str:
    if not re.fullmatch(r"cpu|cuda(:\d+)?", name):
        raise typer.BadParameter(f"{name!r} is not one of cpu, cuda, cuda:1 and so on")
    return name


def _json_file(name: str | None) -> str | None:
    if name is not None and name != "-":
        output_file(Path(name))
    return name


def _benchmark_figure(path: Path | None) -> Path | None:
    if path is not None:
        figure_file(path)
        require("bench", "matplotlib")
    return path


#: Where a benchmark writes its results; "-" is stdout.
JsonFile = Annotated[
    str | None,
    typer.Option(
        "--json", metavar="FILE", callback=_json_file, help="Write the results; - is stdout."
    ),
]
#: Where a benchmark draws its results.
FigureFile = Annotated[
    Path | None,
    typer.Option(
        "--plot", metavar="FILE", callback=_benchmark_figure, help="Draw them (.png, .svg or .pdf)."
    ),
]
#: Where a benchmark runs.
DeviceName = Annotated[str, typer.Option(callback=one_of("cpu", "cuda"), help="cpu or cuda.")]
#: Folder of the model that a command writes.
ModelFolder = Annotated[
    Path,
    typer.Option("-o", "--output", metavar="DIR", callback=_model_folder, help="Folder to write."),
]
#: Whether a model that is there may be replaced.
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the model that is there.")]
#: What random numbers begin with: as much as PyTorch takes.
Seed = Annotated[int, typer.Option(min=-(1 << 63), max=(1 << 64) - 1, help="Draws what is random.")]
#: Dtype that a model computes in, or that its weights are loaded in.
ModelDtype = Annotated[
    str,
    typer.Option(
        callback=one_of("auto", "float32", "float16", "bfloat16"),
        help="float32, float16 or bfloat16; auto is the checkpoint's.",
    ),
]
#: Where a model computes.
ModelDevice = Annotated[
    str, typer.Option(callback=_torch_device, help="To compute on: cpu, cuda, cuda:1.")
]
#: Whether a command prints JSON.
JsonFlag = Annotated[bool, typer.Option("--json", help="Print only JSON.")]
