# SPDX-License-Identifier: Apache-2.0
"""What the commands on language models share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from gossamer.cli.extras import require


def require_transformers() -> None:
    """Leave with advice unless what these commands need is installed, and prepare for it."""
    require("llm", "torch", "transformers", "safetensors")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_DISABLE", "1")  # while GGUF files are read
    if "PYTORCH_ALLOC_CONF" not in os.environ:  # which goes before the name that 2.9 needs
        # Otherwise each packed layer takes up to 1 MiB more of a GPU than it needs.
        os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    from transformers.utils import logging

    logging.disable_progress_bar()


def check_device(device: str) -> None:
    """Leave with what is missing for a model on a GPU."""
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise typer.BadParameter(f"--device {device}: PyTorch finds no CUDA GPU here")


def load_on(device: str, model: str, dtype: str) -> Any:
    """Load a model and move it to a device."""
    from gossamer.hf import load_model
    from gossamer.out_of_memory import memory_for

    loaded = load_model(model, dtype)
    less = "--device cpu does without; packed layers take less, and so does --dtype with 16 bits"
    with memory_for(f"moving {model} to {device}", less):
        return loaded.to(device)


def check_new(output: Path, overwrite: bool) -> None:
    """Leave with advice if a model would be replaced, and nobody said that it may be."""
    if not overwrite and (output / "config.json").is_file():
        raise typer.BadParameter(
            f"-o {output}: a model is there; --overwrite replaces it, or name another folder"
        )


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the library refuses into a message and exit code 2, an interrupt into code 130."""
    try:
        yield
    except (ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError) as error:
        typer.echo(_message(error), err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        raise typer.Exit(130) from None


def _message(error: Exception) -> str:
    """What an error says, and of a lack of memory only what for, how much and where."""
    if "torch" not in sys.modules:  # nothing was loaded yet
        return str(error)
    from gossamer.out_of_memory import describe_lack, lack_of_memory

    lack = lack_of_memory(error)
    return str(error) if lack is None else describe_lack(lack)


@contextmanager
def bar(text: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar on a terminal: the body calls what it is given with done and total."""
    console = Console(stderr=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(
        *columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal
    ) as display:
        task = display.add_task(text, total=None)
        yield lambda done, total: display.update(task, completed=done, total=total)


def read_text(file: Path) -> str:
    """Text of a file in UTF-8.

    Raises
    ------
    typer.BadParameter
        If it is empty, or not text.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{file} is not UTF-8 text: {error}") from None
    if not text.strip():
        raise typer.BadParameter(f"{file} is empty")
    return text
