# SPDX-License-Identifier: Apache-2.0
"""SuiteSparse:GraphBLAS through python-graphblas."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from gossamer.cli.bench.peers.library import Call, Library


class GraphBLAS(Library):
    """Operands and results stay GraphBLAS objects, dense ones in its full format."""

    name = "graphblas"

    def __init__(self) -> None:
        self.graphblas = importlib.import_module("graphblas")
        implementation = importlib.import_module("suitesparse_graphblas")
        self.version = f"{self.graphblas.__version__} (SuiteSparse {implementation.__version__})"

    def set_num_threads(self, count: int) -> None:
        self.graphblas.ss.config["nthreads"] = count

    def matrix(self, A: Any) -> Any:
        return self.graphblas.Matrix.from_csr(A.indptr, A.indices, A.data, ncols=A.shape[1])

    def dense(self, X: Any) -> Any:
        if X.ndim == 3:
            return [self.dense(member[:, 0] if X.shape[2] == 1 else member) for member in X]
        container = self.graphblas.Vector if X.ndim == 1 else self.graphblas.Matrix
        return container.from_dense(X)

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operator = A.T if transposed else A
        multiply = operator.mxv if X.ndim == 1 else operator.mxm
        return lambda: multiply(X, self.graphblas.semiring.plus_times).new()

    def batched(self, A: Any, X: Any) -> Call:
        members = [self.product(A, member) for member in X]
        return lambda: [member() for member in members]

    def spgemm(self, A: Any, B: Any) -> Call:
        def run() -> Any:
            result = A.mxm(B, self.graphblas.semiring.plus_times).new()
            result.wait()
            return result

        return run

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        row, col = row.astype(np.uint64), col.astype(np.uint64)
        build = self.graphblas.Matrix.from_coo
        plus = self.graphblas.binary.plus
        return lambda: build(row, col, data, nrows=shape[0], ncols=shape[1], dup_op=plus)

    def to_numpy(self, result: Any) -> Any:
        if isinstance(result, list):
            members = np.stack([self.to_numpy(member) for member in result])
            return members[:, :, None] if members.ndim == 2 else members
        # A position to which no stored entry contributes is absent from the result.
        return result.to_dense(fill_value=0)

    def to_scipy(self, result: Any) -> Any:
        return self.graphblas.io.to_scipy_sparse(result, "csr")
