# SPDX-License-Identifier: Apache-2.0
"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from secrets import token_hex


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Name a file beside path, to be written in the body; it replaces path when that succeeds."""
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.{token_hex(4)}")
    try:
        yield beside
        with beside.open("rb+") as file:
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        with suppress(FileNotFoundError):
            beside.unlink()
        raise
