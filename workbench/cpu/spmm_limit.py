# SPDX-License-Identifier: Apache-2.0
"""How much faster than SciPy a product that reads a row of X for each entry of A could be here.

    spmm_limit.py CSR.json [CALL_SECONDS]

A case takes the call and the longer of two: the rows of X, one for each entry, from the cache that
holds X, at the best rate at which two threads read such rows at random (NOTES.md, 16 bytes past a
line, as NumPy aligns them); or A, X and Y once, from what holds them all. Rows that neighbours
share, as in bands and grids, come from the level-1 cache, half of them at all. Nobody is faster
than the limit by more than the noise, so what was measured below it is taken for the limit.
"""

import json
import sys
from math import exp, log

# GB/s of two threads from the caches of level 1, 2 and 3 and from memory.
IN_ORDER = (870, 452, 221, 47)
WRITTEN = (509, 468, 203, 43)
ROWS = {
    64: (318, 197, 93),
    128: (370, 226, 112),
    256: (424, 256, 131),
    512: (452, 270, 138),
}  # bytes of a row of X
HOLDS = (48e3, 1e6, 28e6)  # bytes, a thread's for the first two


def level(size: float) -> int:
    return sum(size > held for held in HOLDS)


def limit(case: dict, call: float) -> float:
    columns = int(case["operation"].split("-")[1])
    item = 4 if case["dtype"] == "float32" else 8
    (rows, cols), nnz, row = case["shape"], case["nnz"], columns * item
    a, x, y = nnz * (item + 4) + 4 * rows, cols * row, rows * row
    where = level(a + x + y if a + x + y > HOLDS[2] else (a + x + y) / 2)
    shared = case["family"] in ("banded", "FEM")
    fetched = nnz * row / (2 if shared else 1) / ROWS[row][0 if shared else min(level(x), 2)]
    return call + 1e-9 * max(fetched, (a + x) / IN_ORDER[where] + y / WRITTEN[where])


def mean(values: list[float]) -> float:
    return exp(sum(map(log, values)) / len(values))


cases = [
    case
    for case in json.load(open(sys.argv[1]))["cases"]
    if case["operation"] in ("spmm-16", "spmm-64")
    and case["threads"] == 2
    and not case["beyond_cache"]
]
call = float(sys.argv[2]) if len(sys.argv) > 2 else 1.0e-6
for operation in ("spmm-16", "spmm-64"):
    limits, reached = [], []
    for case in cases:
        if case["operation"] != operation:
            continue
        seconds = case["seconds"]
        least = min(limit(case, call), seconds["gossamer"])
        limits.append(seconds["scipy"] / least)
        reached.append(seconds["scipy"] / seconds["gossamer"])
        name = f"{case['matrix']} {case['dtype']}"
        print(f"{operation} {name:28} {reached[-1]:6.2f} of at most {limits[-1]:6.2f}")
    print(f"{operation} over {len(limits)} cases: {mean(reached):.2f} of at most {mean(limits):.2f}\n")
