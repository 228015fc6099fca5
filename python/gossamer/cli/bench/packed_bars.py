# SPDX-License-Identifier: Apache-2.0
"""What packed products must reach, and what a run reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from operator import itemgetter
from typing import Any

from gossamer.cli.bench.bars import BANDWIDTH_FRACTION, LOWEST_SPEEDUP, bar, geometric_mean, having
from gossamer.cli.bench.packed_cases import LARGE_SHAPES

Case = Mapping[str, Any]
_THREADS = 2
_dense_speedup = itemgetter("dense_speedup")

# Density: geometric mean of the speed-up over the fastest dense float32 product, one vector.
_FLOAT32_SPEEDUPS = {0.05: 7.0, 0.1: 3.5, 0.3: 1.7, 0.5: 1.35, 0.7: 1.05}
_HALF_SPEEDUPS = {"float16": 2.1, "bfloat16": 2.1, "int8": 2.3}
_16_BIT = ("float16", "bfloat16")

# Smallest size of an implemented format by density, random mask, in bits a nonzero of 16 bits.
_SMALLEST_BITS = {0.05: 24.0, 0.1: 24.0, 0.2: 20.6, 0.3: 19.3, 0.5: 18.0}
_BITS_TOLERANCE = 1.02
_BITS_AT_A_TENTH = 24.6
_BITMAP_TOLERANCE = 1.01
_COMPRESS_RATE, _DECOMPRESS_RATE = 1e9, 2e9


def evaluate_packed_bars(
    cases: Sequence[Case], conversions: Sequence[Case]
) -> list[dict[str, Any]]:
    """Compare the large shapes at two threads with what must be reached.

    Returns
    -------
    list of dict
        As `gossamer.cli.bench.bars.evaluate_bars`.
    """
    large = [case for case in cases if tuple(case["shape"]) in LARGE_SHAPES]
    large = having(large, threads=_THREADS)
    vectors = having(large, batch=1)
    exact, half = having(vectors, dtype="float32"), having(vectors, density=0.5)
    bars = [
        bar(f"float32, {density:.0%}: geometric mean over dense float32", required,
            having(exact, density=density), _dense_speedup, geometric_mean)
        for density, required in _FLOAT32_SPEEDUPS.items()
    ]  # fmt: skip
    bars += [
        bar("float32, 90%: lowest over dense float32", LOWEST_SPEEDUP,
            having(exact, density=0.9), _dense_speedup, min),
        bar("float32, 50%: lowest share of the read bandwidth", BANDWIDTH_FRACTION,
            having(exact, density=0.5), itemgetter("bandwidth_fraction"), min),
    ]  # fmt: skip
    bars += [
        bar(f"{dtype}, 50%: geometric mean over dense float32", required,
            having(half, dtype=dtype), _dense_speedup, geometric_mean)
        for dtype, required in _HALF_SPEEDUPS.items()
    ]  # fmt: skip
    for dtype in _16_BIT:
        peer = f"torch-{dtype}"
        beside = [case for case in having(half, dtype=dtype) if peer in case["speedup"]]
        score = partial(_peer_speedup, peer)
        bars.append(
            bar(f"{dtype}, 50%: lowest over PyTorch's own {dtype} linear", 1.0, beside, score, min)
        )
    many = [case for case in having(large, dtype="float32") if case["batch"] > 1]
    bars.append(
        bar("float32, 4 to 128 columns: lowest over dense float32", LOWEST_SPEEDUP, many,
            _dense_speedup, min)
    )  # fmt: skip
    return bars + _byte_bars(vectors) + _conversion_bars(conversions)


def _byte_bars(vectors: Sequence[Case]) -> list[dict[str, Any]]:
    cases = [case for case in vectors if case["dtype"] in _16_BIT]
    tabled = [case for case in cases if case["density"] in _SMALLEST_BITS]

    def over_bitmap(case: Case) -> float:
        ideal = 16 + case["shape"][0] * case["shape"][1] / case["nnz"]
        return float(case["bits_per_nonzero"] / ideal)

    def over_smallest(case: Case) -> float:
        return float(case["bits_per_nonzero"] / _SMALLEST_BITS[case["density"]])

    return [
        bar("bitmap, 16 bits: bytes over values + 1 bit a position", _BITMAP_TOLERANCE,
            having(cases, format="bitmap"), over_bitmap, max, at_most=True),
        bar("auto, 16 bits: bytes over the smallest format's", _BITS_TOLERANCE,
            tabled, over_smallest, max, at_most=True),
        bar("10%, 16 bits: bits a nonzero", _BITS_AT_A_TENTH,
            having(tabled, density=0.1), itemgetter("bits_per_nonzero"), max, at_most=True),
    ]  # fmt: skip


def _conversion_bars(conversions: Sequence[Case]) -> list[dict[str, Any]]:
    shapes = {f"{rows}x{cols}" for rows, cols in LARGE_SHAPES}
    large = [
        line
        for line in conversions
        if line["threads"] == _THREADS and line["matrix"].partition(" ")[0] in shapes
    ]
    return [
        bar("compress: lowest rate, GB/s of dense float32", _COMPRESS_RATE / 1e9, large,
            lambda line: line["dense_bytes"] / line["compress_seconds"] / 1e9, min),
        bar("decompress: lowest rate, GB/s of dense output", _DECOMPRESS_RATE / 1e9, large,
            lambda line: line["unpacked_bytes"] / line["decompress_seconds"] / 1e9, min),
    ]  # fmt: skip


def _peer_speedup(peer: str, case: Case) -> float:
    speedup: float = case["speedup"][peer]
    return speedup
