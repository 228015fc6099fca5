# SPDX-License-Identifier: Apache-2.0
"""What to say where a package that only a part of Gossamer needs is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


def installing(extra: str) -> str:
    """Return the command that installs what an extra names: no index has Gossamer yet."""
    return f"pip install '.[{extra}]' in a clone of Gossamer"


@contextmanager
def needed_by(part: str) -> Iterator[None]:
    """Let the body import what a part needs.

    Raises
    ------
    ModuleNotFoundError
        Naming the part, what is missing and how to install it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "gossamer"):
            raise
        raise ModuleNotFoundError(
            f"{part} needs {missing}, which is not installed; {installing('llm')}",
            name=error.name,
        ) from error
