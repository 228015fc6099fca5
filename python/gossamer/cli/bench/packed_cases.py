# SPDX-License-Identifier: Apache-2.0
"""What ``gossamer bench packed`` measures, and by which rules."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LARGE_SHAPES = ((4096, 4096), (11008, 4096), (4096, 11008), (8192, 8192))
MODEL_SHAPES = ((576, 576), (192, 576), (1536, 576), (576, 1536))  # SmolLM2-135M
DENSITIES = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")
BATCHES = (1, 4, 8, 32, 128)

QUICK_SHAPES = ((1536, 576), (2048, 2048))
QUICK_DENSITIES = (0.1, 0.5)
QUICK_BATCHES = (1, 8)

CACHES = 4
MAX_BYTES = 10 << 30
# Sets of copies that are in memory at once: dense in 32, two times 16 and 8 bits, five packed, CSR.
_SETS = 10
_MAX_COPIES = 4096

RULES = [
    f"Every contender goes through copies of its matrix in turn, as many as together exceed"
    f" {CACHES} times the last-level cache, so that each is read from memory. All copies of a run"
    f" together take at most {MAX_BYTES >> 30} GiB, and a contender's at most a {_SETS}th of that:"
    f" where the machine reports a cache of hundreds of MiB (which a virtual machine shares with"
    f" others) that is less than {CACHES} times its size. `copies` tells how many there were.",
    "The matrix is normally distributed, its nonzeros anywhere with equal probability.",
    "x and the result are float32; PyTorch's 16-bit products have 16-bit x and results.",
    "A peer is measured once for all value types of ours, in the same rounds.",
    "The read bandwidth is that of NumPy's maximum over the dense float32 copies.",
    "Gossamer's results are checked against float64, on 64 rows of each case.",
    "A run may be gone on from with a later version: each case names the commit that it measured.",
]


@dataclass(frozen=True)
class PackedCase:
    """One matrix, one value type, one number of columns of X."""

    shape: tuple[int, int]
    density: float
    dtype: str
    batch: int

    @property
    def matrix(self) -> str:
        """Shape and density in words."""
        return f"{self.shape[0]}x{self.shape[1]} {self.density:.0%}"

    @property
    def name(self) -> str:
        """What ``--only`` is matched with."""
        rows, cols = self.shape
        return f"{rows}x{cols}/{self.density}/{self.dtype}/{self.batch}"


class Rotation:
    """Calls that do the same on copies of the data, one after the other at each call."""

    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self.calls = calls
        self.next = 0

    def __call__(self) -> Any:
        call = self.calls[self.next]
        self.next = (self.next + 1) % len(self.calls)
        return call()


def cases(quick: bool) -> Iterator[PackedCase]:
    """Every case, those of one matrix together."""
    shapes = QUICK_SHAPES if quick else LARGE_SHAPES + MODEL_SHAPES
    for shape in shapes:
        for density in QUICK_DENSITIES if quick else DENSITIES:
            for batch in QUICK_BATCHES if quick else BATCHES:
                for dtype in DTYPES:
                    yield PackedCase(shape, density, dtype, batch)


def copy_count(nbytes: int, cache_bytes: int) -> int:
    """Copies of that many bytes each that a contender goes through; see `RULES`."""
    wanted = CACHES * cache_bytes // nbytes + 1
    affordable = MAX_BYTES // _SETS // nbytes
    return max(1, min(wanted, affordable, _MAX_COPIES))


def random_mask_matrix(shape: tuple[int, int], density: float) -> Any:
    """Dense float32 matrix of the rules."""
    rng = np.random.default_rng(math.prod(shape))
    W = rng.standard_normal(shape, dtype=np.float32)
    W[rng.random(shape, dtype=np.float32) >= density] = 0
    return W
