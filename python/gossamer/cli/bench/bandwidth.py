# SPDX-License-Identifier: Apache-2.0
"""How fast this machine reads memory: what a streaming product can at best attain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np


class ReadProbe:
    """Reads a large array with one thread or several."""

    def __init__(self, nbytes: int) -> None:
        self.array = np.ones(nbytes // 4, dtype=np.float32)

    def reader(self, nbytes: int, threads: int) -> Callable[[], Any]:
        """Return a call that reads ``nbytes`` bytes with ``threads`` threads."""
        return reader(self.array[: nbytes // 4], threads)


def reader(array: Any, threads: int) -> Callable[[], Any]:
    """Return a call that reads a float32 array with that many threads.

    NumPy's maximum over float32 is a vectorized loop that releases the interpreter lock and does
    next to nothing with what it loads.
    """
    parts = np.array_split(array.reshape(-1), threads)
    if threads == 1:
        return parts[0].max
    pool = _pool(threads)
    return lambda: list(pool.map(np.max, parts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)
