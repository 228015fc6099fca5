# SPDX-License-Identifier: Apache-2.0
"""Runs the cases of ``gossamer bench csr``."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from gossamer.cli.bench.bandwidth import reader
from gossamer.cli.bench.bars import evaluate_bars, geometric_means
from gossamer.cli.bench.command import matching, until_interrupted
from gossamer.cli.bench.conventions import (
    ALWAYS_REPEATED,
    BEYOND_CACHE_OPERATIONS,
    COUNTED,
    GIVE_UP_RATIO,
    GIVE_UP_SECONDS,
    RULES,
)
from gossamer.cli.bench.operations import (
    KINDS,
    OPERATIONS,
    QUICK_OPERATIONS,
    Case,
    Operation,
    product_bytes,
    with_dtype,
)
from gossamer.cli.bench.peers import Library
from gossamer.cli.bench.run import Run
from gossamer.cli.bench.startup import measure_startup
from gossamer.cli.machine import memory_bytes, source_commit
from gossamer.cli.matrices import Matrix, matrix_bytes, matrix_set
from gossamer.cli.timing import Effort, Timing, first_call, interleave

DTYPES = ("float32", "float64")
_PROBE_BYTES = 1 << 30


class Benchmark(Run):
    """One run over the matrix set."""

    def __init__(
        self,
        libraries: Sequence[Library],
        thread_counts: Sequence[int],
        effort: Effort,
        say: Callable[[str], None],
        earlier: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(effort, say, earlier)
        self.libraries = libraries
        self.thread_counts = thread_counts
        self.probe: Any = None
        self.commit = source_commit()
        self._measured = {_key(case) for case in self.cases}

    def run(self, matrix: Matrix, operations: Sequence[Operation], names: set[str]) -> None:
        """Measure those of the operations on one matrix whose case is among the names.

        What was measured before is not measured again.
        """
        wanted = {
            dtype: [
                op
                for op in operations
                if _case_name(matrix, dtype, op) in names
                and self._missing(matrix, dtype, op, self.thread_counts)
            ]
            for dtype in DTYPES
        }
        if not any(wanted.values()):
            return
        self.say(f"{matrix.name}: building")
        built = matrix.build()
        if 16 * matrix_bytes(built) > memory_bytes():
            self.note(f"{matrix.name} was left out: it is larger than 1/16 of the memory")
            return
        interpolation = matrix.interpolation() if matrix.interpolation else None
        for dtype, chosen in wanted.items():
            A = with_dtype(built, dtype)
            P = with_dtype(interpolation, dtype) if matrix.interpolation else None
            libraries = [library for library in self.libraries if dtype in library.dtypes]
            missing = {
                op: self._missing(matrix, dtype, op, self._thread_counts(Case(A, op, P)))
                for op in chosen
            }
            is_needed = any(missing.values())
            held = {library: library.matrix(A) for library in libraries} if is_needed else {}
            for operation, thread_counts in missing.items():
                case = Case(A, operation, P)
                able = {
                    library: operand
                    for library, operand in held.items()
                    if operation.kind in (library.kinds or KINDS)
                }
                for threads in thread_counts:
                    self.say(f"{matrix.name} {dtype} {operation.name}, {threads} threads")
                    self._measure(matrix, case, able, threads)

    def _missing(
        self, matrix: Matrix, dtype: str, operation: Operation, thread_counts: Sequence[int]
    ) -> list[int]:
        """Those thread counts that an operation was not measured with before."""
        case = matrix.name, dtype, operation.name
        return [threads for threads in thread_counts if (*case, threads) not in self._measured]

    def _thread_counts(self, case: Case) -> Sequence[int]:
        """Thread counts to measure a case with; none where the rules leave it out."""
        if case.left_out:
            return []
        if self._beyond_cache(case.A) and case.operation.kind != "spmv":
            wanted = case.operation.name in BEYOND_CACHE_OPERATIONS
            return [max(self.thread_counts)] if wanted else []
        return self.thread_counts

    def _beyond_cache(self, A: Any) -> bool:
        return matrix_bytes(A) > self.cache_bytes

    def _measure(self, matrix: Matrix, case: Case, held: dict[Library, Any], threads: int) -> None:
        contenders, first = self._first_calls(matrix, case, held, threads)
        if "gossamer" not in contenders:
            return
        given_up = {}
        for name in [name for name in contenders if name not in ALWAYS_REPEATED]:
            if first[name] > max(GIVE_UP_SECONDS, GIVE_UP_RATIO * first["gossamer"]):
                given_up[name] = Timing(first[name], first[name], first[name], 1)
                del contenders[name]
        nbytes = product_bytes(case.A)
        beyond_cache = self._beyond_cache(case.A)
        if case.operation.kind == "spmv" and beyond_cache:
            if self.probe is None:
                self.probe = np.ones(_PROBE_BYTES // 4, np.float32)
            contenders["read"] = reader(self.probe[: nbytes // 4], threads)
            first["read"] = first_call(contenders["read"])[1]
        timings = interleave(contenders, first, self.effort)
        read = timings.pop("read", None)
        self.cases.append(
            {
                "matrix": matrix.name,
                "family": matrix.family,
                "shape": list(case.A.shape),
                "nnz": int(case.A.nnz),
                "dtype": case.A.dtype.name,
                "operation": case.operation.name,
                "threads": threads,
                "commit": self.commit,
                "bytes": nbytes,
                "beyond_cache": beyond_cache,
                "streams": matrix.streams,
                **_figures({**timings, **given_up}, read, nbytes),
            }
        )

    def _first_calls(
        self, matrix: Matrix, case: Case, held: dict[Library, Any], threads: int
    ) -> tuple[dict[str, Callable[[], Any]], dict[str, float]]:
        """Call each library once and check its result; return what was right, and its time."""
        calls: dict[str, Callable[[], Any]] = {}
        seconds: dict[str, float] = {}
        # All counts before the first call: some libraries change those of others.
        for library in held:
            library.set_num_threads(threads)
        for library, operand in held.items():
            try:
                call = case.call(library, operand)
                result, seconds[library.name] = first_call(call)
                case.check(library, result)
            except Exception as error:
                self._refuse(library, matrix, case, error)
            else:
                calls[library.name] = call
        return calls, seconds

    def _refuse(self, library: Library, matrix: Matrix, case: Case, error: Exception) -> None:
        """Note a case that a library cannot do or gets wrong; it is not timed."""
        where = f"{matrix.name} {case.A.dtype.name} {case.operation.name}"
        message = str(error).strip().partition("\n")[0][:200]
        note = f"{library.name}, {where}: {type(error).__name__}: {message}"
        self.note(note)
        if library.name == "gossamer":
            self.wrong.append(note)


def _case_name(matrix: Matrix, dtype: str, operation: Operation) -> str:
    return f"{matrix.name}/{dtype}/{operation.name}"


def _key(case: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return case["matrix"], case["dtype"], case["operation"], case["threads"]


def _figures(timings: dict[str, Timing], read: Timing | None, nbytes: int) -> dict[str, Any]:
    ours = timings["gossamer"].median
    read_rate = min(nbytes, _PROBE_BYTES) / read.median if read else None
    return {
        "rounds": {name: timing.rounds for name, timing in timings.items()},
        "seconds": {name: timing.median for name, timing in timings.items()},
        "fastest_seconds": {name: timing.fastest for name, timing in timings.items()},
        "first_seconds": {name: timing.first for name, timing in timings.items()},
        "speedup": {name: t.median / ours for name, t in timings.items() if name != "gossamer"},
        "read_bandwidth": read_rate,
        "bandwidth_fraction": nbytes / ours / read_rate if read_rate else None,
    }


def run_benchmark(
    libraries: Sequence[Library],
    thread_counts: Sequence[int],
    quick: bool,
    pattern: re.Pattern[str],
    say: Callable[[str], None],
    earlier: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure the whole set, or its small part, and return what the JSON file holds.

    What ``earlier`` results hold is not measured again, and keeps the commit that it names.
    """
    effort = Effort(seconds=0.01, rounds=3) if quick else Effort(seconds=0.05, slow_rounds=2)
    benchmark = Benchmark(libraries, thread_counts, effort, say, earlier)
    operations = [op for op in OPERATIONS if not quick or op.name in QUICK_OPERATIONS]
    matrices = [matrix for matrix in matrix_set() if matrix.quick or not quick]
    names = matching(
        pattern, (_case_name(*case) for case in itertools.product(matrices, DTYPES, operations))
    )
    with until_interrupted(benchmark.notes):
        for matrix in matrices:
            benchmark.run(matrix, operations, names)
    say("import gossamer")
    startup = measure_startup(rounds=3 if quick else 11)
    return benchmark.results(
        "csr",
        {"commit": benchmark.commit, "quick": quick, "threads": list(thread_counts)},
        {"numpy": np.__version__, **{library.name: library.version for library in libraries}},
        counted=COUNTED,
        rules=RULES,
        geometric_means=geometric_means(benchmark.cases),
        startup=startup,
        bars=evaluate_bars(benchmark.cases, startup),
    )
