# SPDX-License-Identifier: Apache-2.0
"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex

_READ_AND_WRITE = 0o666

#: End of the names of folders that are written in, which have a lock.
_UNFINISHED = ".unfinished"

#: What is written lies in a folder of this name, and what it replaces under the other in between.
_NEW, _REPLACED = "new", "replaced"


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name a file to be written in the body; it replaces path when that succeeds.

    It has the permissions of any new file, also where the writer, as safetensors does, gives fewer.
    What a process that was killed left of path is removed. Raises FileExistsError for what is no
    regular file, as a device.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise FileExistsError(f"{path} is no regular file, so it is not replaced; name another one")
    with _folder_beside(target, path) as (new, mode):
        file = new / target.name
        yield file
        _finish(file, mode)
        file.replace(target)


@contextmanager
def replacing_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a folder to be filled in the body; it replaces path when that succeeds.

    What a process that was killed left of path is removed. A folder that was there is moved away
    first; if the process is killed before the new one has its name, the next writer puts it back.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    with _folder_beside(target, path) as (new, mode):
        yield new
        for file in new.rglob("*"):
            if file.is_file():
                _finish(file, mode)
        if target.exists():
            target.rename(new.with_name(_REPLACED))
        new.rename(target)


@contextmanager
def _folder_beside(target: Path, named: str | os.PathLike[str]) -> Iterator[tuple[Path, int]]:
    """Make a folder for the body to write in, and the permissions of a new file; remove it after.

    It lies in another one, whose name tells what is written. Whatever libraries write along the way
    lies in it. A lock on it, which ends with the process, tells folders in use from those of
    processes that were killed.
    """
    _remove_abandoned(target)
    folder, lock = _locked_folder(target, named)
    try:
        new = folder / _NEW
        new.mkdir()
        yield new, new.stat().st_mode & _READ_AND_WRITE
    finally:
        try:
            _remove(folder, target)
        finally:
            os.close(lock)


def _locked_folder(target: Path, named: str | os.PathLike[str]) -> tuple[Path, int]:
    """Make a folder beside target, and lock it; another writer may remove it in between."""
    while True:
        folder = target.with_name(f".{target.name}.{token_hex(4)}{_UNFINISHED}")
        try:
            folder.mkdir()
        except OSError as error:  # which names the folder
            raise OSError(error.errno, error.strerror, os.fspath(named)) from None
        with suppress(FileNotFoundError):
            lock = _open_folder(folder)
            with suppress(OSError):  # of file systems without locks, where nothing is abandoned
                fcntl.flock(lock, fcntl.LOCK_SH)
            if folder.exists():  # whoever removed it had the lock until it was gone
                return folder, lock
            os.close(lock)


def _remove_abandoned(target: Path) -> None:
    """Remove the folders beside target whose process is gone."""
    start = f".{target.name}."
    name = re.compile(rf"{re.escape(start)}[0-9a-f]{{8}}{re.escape(_UNFINISHED)}")
    names: list[str] = []
    with suppress(OSError):  # where it cannot be listed
        names = os.listdir(target.parent)
    for found in names:
        if found.startswith(start) and name.fullmatch(found):
            with suppress(OSError):  # it is in use, or no folder
                folder = target.with_name(found)
                lock = _open_folder(folder)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove(folder, target)
                finally:
                    os.close(lock)


def _open_folder(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)


def _remove(folder: Path, target: Path) -> None:
    """Remove a folder beside target, and put back what was moved into it but not replaced."""
    if (folder / _REPLACED).exists() and not target.exists():
        (folder / _REPLACED).rename(target)
    shutil.rmtree(folder, ignore_errors=True)


def _finish(path: Path, mode: int) -> None:
    """Give a written file its permissions and see it on the disk."""
    path.chmod(mode)
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def check_replaceable(folder: str | os.PathLike[str]) -> None:
    """Raise FileExistsError unless it is a model's folder, which has a config, empty or absent.

    So it does for a folder with further models in it, such as a training's checkpoints.
    """
    path = Path(folder)
    if not (path / "config.json").is_file():
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(
                f"{path} exists and is no model's folder, so it is not replaced; name another one"
            )
        return
    inner = next(path.glob("*/**/config.json"), None)
    if inner is not None:
        raise FileExistsError(
            f"{path} would be replaced, and the model in {inner.parent} with it; name another one"
        )


def check_keeps(source: str | os.PathLike[str], output: str | os.PathLike[str]) -> None:
    """Raise ValueError if what replaces the output would take the source away.

    A source that is not there, as a name on a hub, is not taken away.
    """
    read, written = Path(source).resolve(), Path(output).resolve()
    if read.exists() and (written == read or written in read.parents):
        raise ValueError(f"{output} would be replaced, and {source} with it; name another output")
