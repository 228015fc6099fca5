# SPDX-License-Identifier: Apache-2.0
"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

_READ_AND_WRITE = 0o666


def _finish(path: Path, mode: int) -> None:
    """Give a written file its permissions and see it on the disk."""
    path.chmod(mode)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name a file beside path, to be written in the body; it replaces path when that succeeds.

    It has the permissions of any new file, also where the writer, as safetensors does, gives fewer.
    """
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{token_hex(4)}")
    try:
        beside.touch(exist_ok=False)
    except OSError as error:  # which names the file beside it
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    try:
        mode = beside.stat().st_mode & _READ_AND_WRITE
        yield beside
        _finish(beside, mode)
        beside.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise


def check_replaceable(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError unless it is a model's folder, which has a config, empty or absent."""
    path = Path(folder)
    if (
        path.exists()
        and not (path / "config.json").is_file()
        and (not path.is_dir() or any(path.iterdir()))
    ):
        raise FileExistsError(
            f"{path} exists and is no model's folder, so it is not replaced; name another one"
        )


def check_keeps(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Raise ValueError if what replaces the output would take the source away."""
    read, written = Path(source).resolve(), Path(output).resolve()
    if written == read or written in read.parents:
        raise ValueError(f"{output} would be replaced, and {source} with it; name another output")


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder beside path, to be filled in the body; it replaces path when that succeeds."""
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f".{target.name}.{token_hex(4)}")
    beside.mkdir()
    try:
        mode = beside.stat().st_mode & _READ_AND_WRITE
        yield beside
        for file in beside.rglob("*"):
            if file.is_file():
                _finish(file, mode)
        if not target.exists():
            beside.rename(target)
            return
        old = target.with_name(f".{target.name}.{token_hex(4)}")
        target.rename(old)
        try:
            beside.rename(target)
        except BaseException:
            old.rename(target)
            raise
        shutil.rmtree(old)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
