# SPDX-License-Identifier: Apache-2.0
"""Structures by number, for frameworks whose operations take numbers but no Python objects."""

from __future__ import annotations

from itertools import count
from typing import Any
from weakref import WeakValueDictionary

_numbers = count(1)
_alive: WeakValueDictionary[int, Any] = WeakValueDictionary()
_pinned: dict[int, Any] = {}


def register(structure: Any) -> int:
    """Return a number by which `structure_of` finds the structure for as long as it lives."""
    number = next(_numbers)
    _alive[number] = structure
    return number


def structure_of(number: int) -> Any:
    """Return the structure that was registered under a number.

    Raises
    ------
    RuntimeError
        If it is no longer alive.
    """
    try:
        return _alive[number]
    except KeyError:
        raise RuntimeError(
            f"structure {number} is no longer alive; keep the sparse array for as long as what was "
            f"compiled for it is called"
        ) from None


def pin(number: int) -> Any:
    """Return the structure under a number and keep it: a compiled program may refer to it."""
    _pinned[number] = structure = structure_of(number)
    return structure
