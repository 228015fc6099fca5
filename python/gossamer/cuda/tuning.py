# SPDX-License-Identifier: Apache-2.0
"""Which kernel multiplies how many vectors, with the measurements that chose it."""

from __future__ import annotations

from functools import cache

#: Vectors up to which bitmap tiles are taken, 64 a launch. 128 vectors at 8192x8192, 50%, on an
#: H200: 79 us, the dense product with an unpacked copy 153 us; 256 vectors take 161 us by
#: the copy, by count about as long as four launches.
BITMAP_TILES_VECTORS = 128

#: Vectors beyond which a layer's product is taken for a prompt, which is read once: it lays nothing
#: out.
PROMPT_VECTORS = 64

#: Products in turn that tiles would make faster, after which a matrix that only delta rows are kept
#: of is laid out in tiles. All of Llama-2-7B, 50%, on an H200: 0.16 s, after which a step of 8
#: vectors takes 28 ms less; six steps pay for it.
PATIENCE = 8

# Time of a product with one vector by delta rows over that of the dense product, float16, geometric
# mean over six shapes on an H200, and the share of stored elements from which on it holds. Bitmap
# tiles take 0.81 times the dense product at 50% for up to 8 vectors. Unpacking writes the dense
# matrix once and the dense product reads it again: taken as 3.5 times.
_DELTA_ROWS = ((0.6, 0.83), (0.4, 0.65), (0.25, 0.47), (0.15, 0.38), (0.075, 0.27), (0.0, 0.21))
_TILES, _UNPACKED = 0.81, 3.5

# Elements of a matrix whose products wait for the host: one launch, which delta rows make for
# several vectors, is better than the two of an unpacked copy and its product. 8 vectors at 64x64 on
# an H200: 19 us of host time instead of 34 (of the GPU's 8.7 instead of 5.0).
_SMALL, _SMALL_VECTORS = 1 << 20, 8


@cache
def delta_rows_vectors(density: float, tiles: bool, elements: int) -> int:
    """Vectors up to which delta rows, one vector after the other, are the fastest."""
    one = next(time for at_least, time in _DELTA_ROWS if density >= at_least)
    least = _SMALL_VECTORS if elements <= _SMALL and not tiles else 1
    return max(least, int((_TILES if tiles else _UNPACKED) / one))
