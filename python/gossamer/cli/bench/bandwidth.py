# SPDX-License-Identifier: Apache-2.0
"""How fast this machine reads memory: what a streaming product can at best attain."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np


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
