# SPDX-License-Identifier: Apache-2.0
"""How many threads an operation may use. Results do not depend on it."""

from __future__ import annotations

from . import _engine
from .structure import integer


class NumThreads:
    """What `set_num_threads` returns: as a context manager, it puts the former number back."""

    def __init__(self, former: int) -> None:
        self._former = former

    def __enter__(self) -> None:
        return None

    def __exit__(self, *exception: object) -> None:
        _engine.set_num_threads(self._former)


def get_num_threads() -> int:
    """Return the number of threads that an operation may use, the calling one included.

    It starts as ``GOSSAMER_NUM_THREADS``, or else as the number of cores this process may run on.
    Operations on PyTorch's tensors run on its threads, and use no more than it has either. Raises
    ValueError, as operations do, if that variable is set to no number from 1 to 4096.
    """
    return _engine.num_threads()


def set_num_threads(count: int) -> NumThreads:
    """Set the number of threads for the whole process.

    ``with set_num_threads(1): ...`` puts the former number back at the end.

    Raises
    ------
    TypeError
        If count is no integer.
    ValueError
        If count is below 1, or above 4096.
    """
    count = integer(count, "set_num_threads: count")
    former = _engine.num_threads()
    try:
        _engine.set_num_threads(count)
    except TypeError:  # more than its integers hold
        raise ValueError(f"set_num_threads: count = {count} is out of range") from None
    return NumThreads(former)
