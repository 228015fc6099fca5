# SPDX-License-Identifier: Apache-2.0
"""mlx-sparse on MLX's CPU device, which has no setting for the number of threads."""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.cli.bench.peers.library import Call, Library


class MLXSparse(Library):
    """``mlx_sparse`` arrays; every call is evaluated before it returns."""

    name = "mlx"
    dtypes = ("float32",)

    def __init__(self) -> None:
        self.mx = importlib.import_module("mlx.core")
        self.mlx_sparse = importlib.import_module("mlx_sparse")
        self.version = importlib.metadata.version("mlx-sparse")
        self.mx.set_default_device(self.mx.cpu)

    def set_num_threads(self, count: int) -> None:
        """Do nothing: MLX chooses for itself."""

    def matrix(self, A: Any) -> Any:
        parts = tuple(self.mx.array(part) for part in (A.data, A.indices, A.indptr))
        return self.mlx_sparse.csr_array(parts, shape=A.shape, sorted_indices=True, canonical=True)

    def dense(self, X: Any) -> Any:
        return self.mx.array(X)

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operator = A.T if transposed else A
        return self._evaluated(lambda: operator @ X)

    def batched(self, A: Any, X: Any) -> Call:
        return self._evaluated(lambda: A @ X)

    def spgemm(self, A: Any, B: Any) -> Call:
        def run() -> Any:
            result = A @ B
            self.mx.eval(result.data, result.indices, result.indptr)
            return result

        return run

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        data, row, col = (self.mx.array(part) for part in (data, row, col))

        def run() -> Any:
            triplets = self.mlx_sparse.coo_array((data, (row, col)), shape=shape)
            result = triplets.tocsr(canonical=True)
            self.mx.eval(result.data, result.indices, result.indptr)
            return result

        return run

    def to_scipy(self, result: Any) -> Any:
        parts = tuple(np.array(part) for part in (result.data, result.indices, result.indptr))
        return sparse.csr_array(parts, shape=result.shape)

    def _evaluated(self, call: Call) -> Call:
        def run() -> Any:
            result = call()
            self.mx.eval(result)
            return result

        return run
