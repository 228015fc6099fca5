# SPDX-License-Identifier: Apache-2.0
"""Structures by number, for frameworks whose operations take numbers but no Python objects."""

from __future__ import annotations

import os
import weakref
from itertools import count
from typing import Any


def _first_number() -> int:
    """Return a number that is no other process's.

    PyTorch keeps compiled programs on disk, with the numbers as constants: those of other processes
    must not be found here.
    """
    return int.from_bytes(os.urandom(5), "little") << 22


_numbers = count(_first_number())


def _renumber() -> None:
    global _numbers
    _numbers = count(_first_number())


if hasattr(os, "register_at_fork"):  # a child would go on where its siblings do
    os.register_at_fork(after_in_child=_renumber)

# References to what lives; a WeakValueDictionary takes three times as long to look up.
_alive: dict[int, weakref.ref[Any]] = {}
_pinned: dict[int, Any] = {}
_by_content: dict[tuple[Any, ...], Any] = {}


def register(structure: Any) -> int:
    """Return a number by which `structure_of` finds the structure for as long as it lives."""
    number = next(_numbers)
    alive = _alive  # there is no global left when an interpreter ends
    alive[number] = weakref.ref(structure, lambda _: alive.pop(number, None))
    return number


def structure_of(number: int) -> Any:
    """Return the structure that was registered under a number.

    Raises
    ------
    RuntimeError
        If it is no longer alive.
    """
    reference = _alive.get(number)
    structure = None if reference is None else reference()
    if structure is None:
        raise RuntimeError(
            f"structure {number} is no longer alive; keep the sparse array for as long as what was "
            f"compiled for it is called"
        )
    return structure


# A structure is a constant of what torch.compile records.
structure_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


def pin(number: int) -> Any:
    """Return the structure under a number and keep it: a compiled program may refer to it."""
    _pinned[number] = structure = structure_of(number)
    return structure


def pin_equal(structure: Any) -> Any:
    """Return the first structure that was pinned of the same kind and contents: this one, or older.

    torch.compile runs what makes structure more than once, and expects the same number each time.
    """
    from hashlib import sha256  # takes milliseconds to import, for compiled programs only

    digests = [sha256(indices).digest() for indices in structure.index_arrays]
    flags = structure.sorted, structure.canonical, str(structure.index_dtype)
    key = type(structure), structure.rows, structure.cols, *flags, *digests
    return pin(_by_content.setdefault(key, structure).number)
