# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of ``gossamer bench packed``."""

from __future__ import annotations

import itertools
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from scipy import sparse

import gossamer
from gossamer.cli.bench.bandwidth import reader
from gossamer.cli.bench.command import matching, until_interrupted
from gossamer.cli.bench.packed_bars import evaluate_packed_bars
from gossamer.cli.bench.packed_cases import (
    RULES,
    PackedCase,
    Rotation,
    cases,
    copy_count,
    random_mask_matrix,
)
from gossamer.cli.bench.peers import Library
from gossamer.cli.bench.peers.dense_libraries import DenseLibrary
from gossamer.cli.bench.run import Run
from gossamer.cli.machine import source_commit
from gossamer.cli.matrices import matrix_bytes
from gossamer.cli.timing import Effort, Timing, first_call, interleave

Calls = dict[str, Callable[[], Any]]
# CSR is far behind where X has many columns: it is measured up to this number.
_MAX_CSR_BATCH = 8
_CHECKED_ROWS = 64
# Some ticks of the kernel, by which it counts the time that threads run on other cores: OpenBLAS's
# spin for 125 ms when they have nothing to do.
_PAUSE = 0.02
_CONVERSIONS = 3


class PackedBenchmark(Run):
    """One run over the shapes, densities, value types and batches."""

    def __init__(
        self,
        dense: Sequence[DenseLibrary],
        csr: Sequence[Library],
        effort: Effort,
        say: Callable[[str], None],
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(effort, say, earlier)
        self.dense = dense
        self.csr = csr
        self.conversions: list[dict[str, Any]] = list((earlier or {}).get("conversions", []))
        self.commit = source_commit()

    def run_shape(self, shape: tuple[int, int], chosen: Sequence[PackedCase], threads: int) -> None:
        """Measure those cases of one shape that were not measured before."""
        done = {_key(case) for case in self.cases}
        chosen = [
            case for case in chosen if (case.matrix, case.dtype, case.batch, threads) not in done
        ]
        if not chosen:
            return
        self.say(f"{shape[0]}x{shape[1]}: copies for the dense peers")
        self._set_num_threads(threads)
        held, weights = self._dense_copies(shape)
        for density, of_density in itertools.groupby(chosen, lambda case: case.density):
            W = random_mask_matrix(shape, density)
            of_matrix = list(of_density)
            # All conversions are timed before copies fill the memory.
            dtypes = dict.fromkeys(case.dtype for case in of_matrix)
            converted = {dtype: self._compress(W, density, dtype, threads) for dtype in dtypes}
            packed = {
                dtype: [_copy(P) for _ in range(copy_count(P.nbytes, self.cache_bytes))]
                for dtype, P in converted.items()
            }
            A = sparse.csr_array(W) if "float32" in packed else None
            for batch, of_batch in itertools.groupby(of_matrix, lambda case: case.batch):
                listed = list(of_batch)
                self.say(f"{listed[0].matrix}, {batch} columns, {threads} threads")
                self._measure(listed, packed, held, weights, A, threads)

    def _set_num_threads(self, threads: int) -> None:
        gossamer.set_num_threads(threads)
        for library in self.dense:
            library.set_num_threads(threads)
        for csr_library in self.csr:
            csr_library.set_num_threads(threads)

    def _dense_copies(self, shape: tuple[int, int]) -> tuple[dict[str, list[Any]], list[Any]]:
        """What each peer holds, and the float32 arrays that those of float32 share."""
        W = random_mask_matrix(shape, 1.0)
        weights = [W.copy() for _ in range(copy_count(W.nbytes, self.cache_bytes))]
        held = {}
        for library in self.dense:
            if library.copies:
                item = 1 if library.dtype == "int8" else 2
                count = copy_count(W.size * item, self.cache_bytes)
                held[library.name] = [library.hold(W) for _ in range(count)]
            else:
                held[library.name] = [library.hold(copy) for copy in weights]
        return held, weights

    def _compress(self, W: Any, density: float, dtype: str, threads: int) -> Any:
        """Pack the matrix, and note how fast that and the way back are."""
        pack = partial(gossamer.compress, W, dtype=dtype)
        P, seconds = first_call(pack)
        packing = [seconds, *(first_call(pack)[1] for _ in range(_CONVERSIONS - 1))]
        unpacked, seconds = first_call(P.decompress)
        unpacking = [seconds, *(first_call(P.decompress)[1] for _ in range(_CONVERSIONS - 1))]
        matrix = f"{W.shape[0]}x{W.shape[1]} {density:.0%}"
        known = {(line["matrix"], line["dtype"], line["threads"]) for line in self.conversions}
        if (matrix, dtype, threads) in known:
            return P
        self.conversions.append(
            {
                "matrix": matrix,
                "dtype": dtype,
                "threads": threads,
                "format": P.format,
                "dense_bytes": W.nbytes,
                "unpacked_bytes": unpacked.nbytes,
                "compress_seconds": statistics.median(packing),
                "decompress_seconds": statistics.median(unpacking),
            }
        )
        return P

    def _measure(
        self,
        cases: Sequence[PackedCase],
        packed: Mapping[str, Sequence[Any]],
        held: dict[str, list[Any]],
        weights: Sequence[Any],
        A: Any,
        threads: int,
    ) -> None:
        """Measure one matrix of all value types, and its peers, in the same rounds."""
        rng = np.random.default_rng(0)
        columns, batch = cases[0].shape[1], cases[0].batch
        X = rng.standard_normal((columns,) if batch == 1 else (columns, batch), dtype=np.float32)
        contenders: Calls = {}
        first = {}
        for case in cases:
            ours = Rotation([partial(operator.matmul, P, X) for P in packed[case.dtype]])
            result, first[case.name] = first_call(ours)
            contenders[case.name] = ours
            self._check(case, packed[case.dtype][0], X, result)
        for name, call in self._peer_calls(batch, held, X, A).items():
            try:
                first[name] = first_call(call)[1]
            except RuntimeError as error:
                self.note(f"{name}, {batch} columns: {str(error).partition(chr(10))[0][:200]}")
            else:
                contenders[name] = call
        if batch == 1:
            contenders["read"] = Rotation([reader(copy, threads) for copy in weights])
            first["read"] = first_call(contenders["read"])[1]
        # Products with more columns take longer.
        effort = self.effort if batch == 1 else replace(self.effort, seconds=0.0)
        timings = interleave(contenders, first, effort)
        read = timings.pop("read", None)
        ours_by_case = {case: timings.pop(case.name) for case in cases}
        for case, timing in ours_by_case.items():
            peers = {
                name: peer
                for name, peer in timings.items()
                if case.dtype == "float32" or not name.startswith("csr-")
            }
            recorded = {"gossamer": timing, **peers}
            self.cases.append(self._record(case, packed[case.dtype], recorded, read, threads))

    def _peer_calls(
        self, batch: int, held: dict[str, list[Any]], X: Any, A: Any
    ) -> dict[str, Rotation]:
        calls = {
            library.name: Rotation([library.product(matrix, X) for matrix in held[library.name]])
            for library in self.dense
        }
        if A is not None and batch <= _MAX_CSR_BATCH:
            matrices = [A.copy() for _ in range(copy_count(matrix_bytes(A), self.cache_bytes))]
            for csr in self.csr:
                operand = csr.dense(X)
                products = [csr.product(csr.matrix(matrix), operand) for matrix in matrices]
                calls[f"csr-{csr.name}"] = Rotation(products)
        return calls

    def _check(self, case: PackedCase, P: Any, X: Any, result: Any) -> None:
        """Compare some rows with float64."""
        rows = np.linspace(0, case.shape[0] - 1, _CHECKED_ROWS).astype(int)
        W = P.decompress("float32")[rows].astype(np.float64)
        # |y' - y| <= gamma_k (|W| |x|), k the columns and a few roundings more: Higham, Accuracy
        # and Stability of Numerical Algorithms, section 3.5. Scales round a second time.
        bound = (case.shape[1] + 8) * 2.0**-24 * (np.abs(W) @ np.abs(X.astype(np.float64)))
        worst = (np.abs(result[rows] - W @ X.astype(np.float64)) - bound).max()
        if not worst <= 0:
            self.wrong.append(f"{case.name}: off by {worst:.3g} more than rounding explains")

    def _record(
        self,
        case: PackedCase,
        copies: Sequence[Any],
        timings: dict[str, Timing],
        read: Timing | None,
        threads: int,
    ) -> dict[str, Any]:
        P = copies[0]
        seconds = {name: timing.median for name, timing in timings.items()}
        ours = seconds["gossamer"]
        exact = {lib.name: seconds[lib.name] for lib in self.dense
                 if lib.dtype == "float32" and lib.name in seconds}  # fmt: skip
        fastest = min(exact, key=exact.__getitem__)
        dense_bytes = P.shape[0] * P.shape[1] * 4
        bandwidth = dense_bytes / read.median if read else None
        return {
            "matrix": case.matrix,
            "shape": list(case.shape),
            "density": case.density,
            "dtype": case.dtype,
            "batch": case.batch,
            "threads": threads,
            "commit": self.commit,
            "format": P.format,
            "nnz": P.nnz,
            "bytes": P.nbytes,
            "bits_per_nonzero": 8 * P.nbytes / P.nnz,
            "copies": len(copies),
            "copied_bytes": len(copies) * P.nbytes,
            "seconds": seconds,
            "fastest_seconds": {name: timing.fastest for name, timing in timings.items()},
            "rounds": {name: timing.rounds for name, timing in timings.items()},
            "speedup": {name: s / ours for name, s in seconds.items() if name != "gossamer"},
            "dense_peer": fastest,
            "dense_speedup": exact[fastest] / ours,
            "read_bandwidth": bandwidth,
            "bandwidth_fraction": P.nbytes / ours / bandwidth if bandwidth else None,
        }


def _copy(P: Any) -> Any:
    """Return the same array in memory of its own."""
    stored = P._storage
    parts = {name: part.copy() for name, part in stored.parts().items()}
    copied = stored.arrays.packed_storage(stored.format, stored.dtype_name, P.shape, parts)
    return gossamer.PackedArray(copied, P.nnz)


def _key(record: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a recorded case from the others."""
    return tuple(record[name] for name in ("matrix", "dtype", "batch", "threads"))


def run_packed_benchmark(
    dense: Sequence[DenseLibrary],
    csr: Sequence[Library],
    thread_counts: Sequence[int],
    quick: bool,
    pattern: re.Pattern[str],
    say: Callable[[str], None],
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure all cases whose name matches, and return what the JSON file holds.

    Cases in ``earlier``, the results of an interrupted run, are kept as they are.
    """
    effort = replace(Effort(seconds=0.01, rounds=3) if quick else Effort(), pause=_PAUSE)
    benchmark = PackedBenchmark(dense, csr, effort, say, earlier)
    names = matching(pattern, (case.name for case in cases(quick)))
    chosen = [case for case in cases(quick) if case.name in names]
    with until_interrupted(benchmark.notes):
        for shape, of_shape in itertools.groupby(chosen, lambda case: case.shape):
            listed = list(of_shape)
            for threads in thread_counts:
                benchmark.run_shape(shape, listed, threads)
    versions = {
        "gossamer": gossamer.__version__,
        **{library.name: library.version for library in dense},
        **{f"csr-{library.name}": library.version for library in csr},
    }
    return benchmark.results(
        "packed",
        {"commit": benchmark.commit, "quick": quick},
        versions,
        rules=RULES,
        conversions=benchmark.conversions,
        bars=evaluate_packed_bars(benchmark.cases, benchmark.conversions),
    )
