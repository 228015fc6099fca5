# SPDX-License-Identifier: Apache-2.0
"""Geometric means of the speed-ups, and the bars that a release must reach."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Case = Mapping[str, Any]

LOWEST_SPEEDUP = 0.9
BANDWIDTH_FRACTION = 0.65
IMPORT_SECONDS = 0.05

# Operation: what it is called, and the geometric means required over SciPy and MKL at two threads.
# MKL leaves the rows of a sparse product unsorted: mkl_ordered does the same work as Gossamer.
_REQUIRED_MEANS = {
    "spmm-16": ("SpMM, 16 columns", {"scipy": 8.0, "mkl": 1.0}),
    "spmm-64": ("SpMM, 64 columns", {"scipy": 8.0, "mkl": 1.0}),
    "spgemm": ("SpGEMM", {"scipy": 2.0, "mkl": 0.9, "mkl_ordered": 0.9}),
    "coo_to_csr": ("COO to CSR", {"scipy": 2.0}),
}


def geometric_mean(values: Iterable[float]) -> float:
    """Geometric mean; NaN of nothing."""
    logs = [math.log(value) for value in values]
    return math.exp(sum(logs) / len(logs)) if logs else math.nan


def having(cases: Sequence[Case], **wanted: Any) -> list[Case]:
    """Those cases whose entries have these values."""
    return [case for case in cases if all(case[key] == wanted[key] for key in wanted)]


def geometric_means(cases: Sequence[Case]) -> list[dict[str, Any]]:
    """Geometric mean and extremes of the speed-up by operation, threads, size class and peer."""
    groups: dict[tuple[str, int, bool, str], list[float]] = defaultdict(list)
    for case in cases:
        for peer, speedup in case["speedup"].items():
            groups[case["operation"], case["threads"], case["beyond_cache"], peer].append(speedup)
    return [
        {
            "operation": operation,
            "threads": threads,
            "beyond_cache": beyond,
            "peer": peer,
            "cases": len(speedups),
            "geometric_mean": geometric_mean(speedups),
            "lowest": min(speedups),
            "highest": max(speedups),
        }
        for (operation, threads, beyond, peer), speedups in groups.items()
    ]


def evaluate_bars(cases: Sequence[Case], startup: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Compare the measurements with what must be reached.

    Returns
    -------
    list of dict
        ``bar`` in words, ``required``, ``measured`` and ``passed`` (None where nothing was
        measured), and ``worst``, the case that is furthest behind.
    """
    large = having(cases, operation="spmv", beyond_cache=True)
    bars = [
        _mean_speedup("SpMV beyond the cache", large, 1, "scipy", 1.5),
        _mean_speedup("SpMV beyond the cache", large, 2, "scipy", 2.5),
        _mean_speedup("SpMV beyond the cache", large, 2, "mkl", 1.0),
        _lowest_speedup("SpMV beyond the cache", large, 2, "mkl"),
    ]
    for threads in (1, 2):
        bars.append(
            bar(
                f"SpMV of bands, FEM, long rows: lowest bandwidth share, {threads_text(threads)}",
                BANDWIDTH_FRACTION,
                having(large, streams=True, threads=threads),
                lambda case: case["bandwidth_fraction"],
                min,
            )
        )
    for operation, (name, means) in _REQUIRED_MEANS.items():
        chosen = having(cases, operation=operation)
        bars += [_mean_speedup(name, chosen, 2, peer, required) for peer, required in means.items()]
        peers = dict.fromkeys(["scipy", "mkl", *means])
        bars += [_lowest_speedup(name, chosen, 2, peer) for peer in peers]
    smallest = having(cases, operation="spmv", matrix="banded-100")
    bars.append(_mean_speedup("A @ x, 100 x 100", smallest, 1, "scipy", 1.0))
    seconds, loaded = startup["gossamer_seconds_above_numpy"], startup["frameworks_loaded"]
    bars.append(
        {
            "bar": "import gossamer: at most these seconds above numpy, no other framework",
            "required": IMPORT_SECONDS,
            "measured": seconds,
            "passed": seconds <= IMPORT_SECONDS and not loaded,
            "worst": ", ".join(loaded) or None,
        }
    )
    return bars


def _mean_speedup(
    name: str, cases: Sequence[Case], threads: int, peer: str, required: float
) -> dict[str, Any]:
    chosen = [case for case in having(cases, threads=threads) if peer in case["speedup"]]
    words = f"{name}: geometric mean over {peer}, {threads_text(threads)}"
    return bar(words, required, chosen, lambda case: case["speedup"][peer], geometric_mean)


def _lowest_speedup(name: str, cases: Sequence[Case], threads: int, peer: str) -> dict[str, Any]:
    chosen = [case for case in having(cases, threads=threads) if peer in case["speedup"]]
    words = f"{name}: lowest over {peer}, {threads_text(threads)}"
    return bar(words, LOWEST_SPEEDUP, chosen, lambda case: case["speedup"][peer], min)


def bar(
    words: str,
    required: float,
    cases: Sequence[Case],
    score: Callable[[Case], float],
    combine: Callable[[Iterable[float]], float],
    at_most: bool = False,
) -> dict[str, Any]:
    """Compare the combined scores of the cases with what they must be at least, or at most."""
    if not cases:
        return {"bar": words, "required": required, "measured": None, "passed": None, "worst": None}
    measured = combine([score(case) for case in cases])
    worst = (max if at_most else min)(cases, key=score)
    return {
        "bar": words,
        "required": required,
        "measured": measured,
        "passed": measured <= required if at_most else measured >= required,
        "worst": f"{worst['matrix']} {worst['dtype']} {score(worst):.2f}",
    }


def threads_text(threads: int) -> str:
    """Return the number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"
