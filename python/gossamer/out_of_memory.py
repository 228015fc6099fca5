# SPDX-License-Identifier: Apache-2.0
"""Says in one line what ran out of memory, and what takes less. Needs PyTorch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Libraries have many classes of errors for it: of the system, of PyTorch on the CPU, of CUDA, of
# cuBLAS, which cannot make a handle then.
_SIGNS = re.compile(
    r"out of memory|can(no|')t allocate memory|CUBLAS_STATUS_(ALLOC_FAILED|NOT_INITIALIZED)",
    re.IGNORECASE,
)
# What they say of how much, without their advice.
_AMOUNT = re.compile(
    r"tried to allocate .*? is free|tried to allocate [\d.]+ \w+|unable to allocate .*|"
    r"unable to mmap \d+ bytes from file <[^>]*>",
    re.IGNORECASE,
)
# Of torch.cuda.set_per_process_memory_fraction.
_ALLOWED = re.compile(r"[\d.]+ \w+ allowed")
# How errors begin that `memory_for` has raised.
_NAMED = "out of memory while "


@contextmanager
def memory_for(what: str, less: str) -> Iterator[None]:
    """Say what the body does where it runs out of memory.

    Parameters
    ----------
    what
        Such as "reading the prompt".
    less
        A sentence on what takes less memory.

    Raises
    ------
    MemoryError, torch.OutOfMemoryError
        Of one line; the former if Python's own memory ran out. What of the body knows better has
        said so before: an error that has been raised here passes.
    """
    try:
        yield
    except Exception as error:
        lack = lack_of_memory(error)
        if lack is None or str(lack).startswith(_NAMED):
            raise
        kind = MemoryError if isinstance(lack, MemoryError) else torch.OutOfMemoryError
        raise kind(f"{describe_lack(lack, what)}; {less}") from error


def lack_of_memory(error: BaseException) -> BaseException | None:
    """Return the error that says so if memory ran out: this one, or one that it came of."""
    found: BaseException | None = error
    while isinstance(found, (MemoryError, OSError, RuntimeError)):
        if isinstance(found, MemoryError) or _SIGNS.search(str(found)):
            return found
        found = found.__cause__ or found.__context__
    return None


def describe_lack(lack: BaseException, what: str = "") -> str:
    """Describe a lack of memory in a line: what was done, and how much was asked for and where."""
    said = str(lack)
    if said.startswith(_NAMED):
        return said
    found = _AMOUNT.search(said), _ALLOWED.search(said)
    amount = ", ".join(match[0] for match in found if match)
    return (f"{_NAMED}{what}" if what else "out of memory") + (f": {amount}" if amount else "")
