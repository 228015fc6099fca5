# SPDX-License-Identifier: Apache-2.0
"""How fast this machine reads memory: what a streaming product can at best attain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class ReadProbe:
    """Reads a large array with one thread or several.

    NumPy's maximum over float32 is a vectorized loop that releases the interpreter lock and does
    next to nothing with what it loads.
    """

    def __init__(self, nbytes: int) -> None:
        self.array = np.ones(nbytes // 4, dtype=np.float32)

    def reader(self, nbytes: int, threads: int) -> Callable[[], Any]:
        """Return a call that reads ``nbytes`` bytes with ``threads`` threads."""
        parts = np.array_split(self.array[: nbytes // 4], threads)
        if threads == 1:
            return parts[0].max
        pool = ThreadPoolExecutor(threads)
        return lambda: list(pool.map(np.max, parts))
