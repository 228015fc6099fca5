# SPDX-License-Identifier: Apache-2.0
"""What ``gossamer bench csr --device cuda`` and ``gossamer bench spmm`` measure, in float32."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import datetime, timezone
from functools import partial
from operator import matmul
from typing import Any

import torch

import gossamer
from gossamer.arrays.torch.cuda import memory
from gossamer.cli.bench.command import matching
from gossamer.cli.bench.device.cusparse import SPMM_ALGORITHMS, SPMV_ALGORITHMS, CuSparse
from gossamer.cli.bench.device.graphs import (
    copies_of,
    describe_gpu,
    microseconds,
    microseconds_in_turns,
    read_microseconds,
)
from gossamer.cli.machine import source_commit
from gossamer.cli.matrices import matrix_set, uniform
from gossamer.cuda import sparse
from gossamer.cuda.sparse import on_device

COLUMNS = (1, 16, 64)
#: Rows, density and columns of the products that the table of `gossamer bench spmm` has.
TABLE = [
    (rows, density, columns)
    for rows, density in ((2048, 1e-3), (4096, 2.5e-4), (8192, 1e-4))
    for columns in (16, 64)
]
_MOST_COPIES = 8
_MOST_PRODUCTS = 1e9  # multiply-adds of a product with several columns
_HOW = (
    "medians of 20 replays of one CUDA graph, time a launch; us: A @ x as Python launches products "
    "that follow each other in a graph, overlapped; us_alone: each begins when the one before it "
    "has ended, as PyTorch's and cuSPARSE's do; operands rotated over 256 MiB or "
    f"{_MOST_COPIES} copies, so that matrices below 32 MiB stay in the level-2 cache; cusparse: "
    "the library's own interface, preprocessed, its fastest algorithm for CSR; "
    "cusparse-unprepared: the fastest without preprocessing; torch: what A @ x calls there (CuPy "
    "calls the same library, and refuses to be captured); read: a plain read of the same bytes, "
    "for one column"
)


class CsrSuite:
    """Products of matrices one after the other, beside those of other libraries."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self.gpu = describe_gpu()
        self.cases: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.wrong: list[str] = []

    def measure(
        self, name: str, family: str, matrix: Any, columns: int, peers: dict[str, Any] | None = None
    ) -> None:
        """Measure A @ X, X of that many columns or a vector; `matrix` is SciPy's, canonical.

        Further peers are calls that write the product of a dense matrix; beside them cuSPARSE is
        measured without preprocessing, too.
        """
        self.say(f"{name}, {columns} columns")
        nbytes = matrix.nnz * 8 + (sum(matrix.shape) + 1) * 4
        count = min(_MOST_COPIES, copies_of(nbytes))
        copies = [_container(matrix) for _ in range(count)]
        shape = (matrix.shape[1],) if columns == 1 else (matrix.shape[1], columns)
        x = torch.randn(shape, device="cuda")
        self._check(f"{name}, {columns} columns", copies[0], x)
        us, alone = microseconds_in_turns(
            [lambda i: copies[i] @ x, lambda i: _alone(copies[i], x)], count
        )
        peer_us, algorithm = self._peers(copies, x)
        if peers is not None:
            peer_us["cusparse-unprepared"] = min(self._cusparse(copies, x, False).values())
            peer_us |= {peer: _rotated([partial(call, x)]) for peer, call in peers.items()}
        read = read_microseconds(nbytes) if columns == 1 else None
        self.cases.append(
            {
                "name": name,
                "family": family,
                "shape": list(matrix.shape),
                "nnz": int(matrix.nnz),
                "columns": columns,
                "us": us,
                "us_alone": alone,
                "peer_us": peer_us,
                "speedup": {peer: time / us for peer, time in peer_us.items()},
                "speedup_alone": {peer: time / alone for peer, time in peer_us.items()},
                "cusparse_algorithm": algorithm,
                "bytes": nbytes,
                "read_us": read,
                "read_fraction": None if read is None else read / us,
            }
        )
        torch.cuda.empty_cache()

    def results(self, benchmark: str) -> dict[str, Any]:
        """What is written to the JSON file."""
        return {
            "benchmark": f"{benchmark} --device cuda",
            "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "gossamer": gossamer.__version__,
            "commit": source_commit(),
            "machine": self.gpu,
            "how": _HOW,
            "cases": self.cases,
            "notes": self.notes,
            "wrong": self.wrong,
        }

    def _peers(self, copies: list[Any], x: Any) -> tuple[dict[str, float], str | None]:
        cusparse = self._cusparse(copies, x, True)
        best = min(cusparse, key=lambda algorithm: cusparse[algorithm])
        times = {"cusparse": cusparse[best]}
        times |= {f"cusparse-{algorithm}": time for algorithm, time in cusparse.items()}
        products = [_torch_matrix((*_device_arrays(A), A.data), A.shape) for A in copies]
        times["torch"] = _rotated([partial(matmul, A, x) for A in products])
        return times, best

    def _cusparse(self, copies: list[Any], x: Any, preprocessed: bool) -> dict[str, float]:
        """Time of each algorithm for CSR."""
        y = torch.empty((copies[0].shape[0], *x.shape[1:]), device="cuda")
        times = {}
        for algorithm in SPMV_ALGORITHMS if x.ndim == 1 else SPMM_ALGORITHMS:
            matrices = [CuSparse(*_device_arrays(A), A.data, A.shape) for A in copies]
            calls = [A.product(x, y, algorithm, preprocessed) for A in matrices]
            times[algorithm] = _rotated(calls)
        return times

    def _check(self, name: str, A: Any, x: Any) -> None:
        """Hold the product to the bound of sums in float32, against float64 by PyTorch."""
        arrays = *_device_arrays(A), A.data.double()
        exact = _torch_matrix(arrays, A.shape) @ x.double()
        moduli = _torch_matrix((*arrays[:2], arrays[2].abs()), A.shape) @ x.double().abs()
        longest = int((arrays[0][1:] - arrays[0][:-1]).max()) + 8
        bound = longest * 2.0**-24 * moduli + 2.0**-24 * exact.abs() + 2.0**-126
        worst = float((((A @ x).double() - exact).abs() / bound).max())
        if not worst <= 1:
            self.wrong.append(f"{name}: error of {worst:.3g} bounds")


def run_device_csr_benchmark(
    quick: bool, pattern: re.Pattern[str], say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure SpMV, and SpMM with 16 and 64 columns, over the matrix set."""
    members = [pair for pair in enumerate(matrix_set()) if pair[1].quick or not quick]
    cases = itertools.product((matrix.name for _, matrix in members), COLUMNS)
    names = matching(pattern, (f"{name}/{columns}" for name, columns in cases))
    wanted = [
        (index, matrix)
        for index, matrix in members
        if any(f"{matrix.name}/{columns}" in names for columns in COLUMNS)
    ]
    built = _built([index for index, _ in wanted])
    suite = CsrSuite(say)
    for (_, matrix), A in zip(wanted, built, strict=True):
        for columns in COLUMNS:
            if columns > 1 and A.nnz * columns > _MOST_PRODUCTS:
                continue
            if f"{matrix.name}/{columns}" in names:
                suite.measure(matrix.name, matrix.family, A, columns)
    return suite.results("csr")


def run_device_spmm_benchmark(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure products of very sparse matrices against cuSPARSE and the dense product."""
    suite = CsrSuite(say)
    for rows, density, columns in TABLE:
        A = uniform(rows, rows, density)
        dense = torch.from_numpy(A.toarray()).float().cuda()
        y = torch.empty((rows, columns), device="cuda")
        peers = {"dense": lambda x, dense=dense, y=y: torch.mm(dense, x, out=y)}
        suite.measure(f"{rows}x{rows}, {density:.3%}", "uniform", A, columns, peers)
    return suite.results("spmm")


def _built(indices: list[int]) -> Iterator[Any]:
    """Matrices of the set in order, built a few at a time by other processes."""
    workers = min(8, os.cpu_count() or 1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: deque[Future[Any]] = deque()
        for index in indices:
            waiting.append(pool.submit(_build, index))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _build(index: int) -> Any:
    matrix = matrix_set()[index].build()
    matrix.data = matrix.data.astype("float32")
    return matrix


def _rotated(calls: list[Callable[[], Any]]) -> float:
    return microseconds(lambda copy: calls[copy](), len(calls))


def _alone(A: Any, x: Any) -> None:
    """Launch A @ x so that it begins when the kernel before it has ended."""
    y = torch.empty((A.shape[0], *x.shape[1:]), device="cuda")
    sparse.matmul(memory, A.data, x, A._pattern, False, False, y, overlap=False)


def _container(matrix: Any) -> Any:
    """Return a copy on the GPU that shares no array with another."""
    values = torch.from_numpy(matrix.data).float().cuda()
    parts = values, matrix.indices.copy(), matrix.indptr.copy()
    return gossamer.csr_array(parts, matrix.shape, canonical=True, validate="none", copy=False)


def _device_arrays(A: Any) -> tuple[Any, Any]:
    copy = on_device(memory, A._pattern, A.device.index)
    return copy.indptr, copy.indices


def _torch_matrix(arrays: tuple[Any, Any, Any], shape: tuple[int, int]) -> Any:
    return torch.sparse_csr_tensor(*arrays, size=shape, check_invariants=False)
