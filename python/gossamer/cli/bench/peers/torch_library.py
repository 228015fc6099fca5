# SPDX-License-Identifier: Apache-2.0
"""PyTorch's sparse CSR tensors on the CPU."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.cli.bench.peers.library import Call, Library


class PyTorch(Library):
    """``torch.sparse_csr_tensor`` with int32 indices, which its MKL takes without a conversion."""

    name = "torch"

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.version = self.torch.__version__
        warnings.filterwarnings("ignore", message="Sparse", category=UserWarning)

    def set_num_threads(self, count: int) -> None:
        self.torch.set_num_threads(count)

    def matrix(self, A: Any) -> Any:
        parts = [self.torch.from_numpy(part) for part in (A.indptr, A.indices, A.data)]
        return self.torch.sparse_csr_tensor(*parts, size=A.shape)

    def dense(self, X: Any) -> Any:
        return self.torch.from_numpy(X)

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operator = A.t() if transposed else A
        return lambda: operator @ X

    def batched(self, A: Any, X: Any) -> Call:
        batch, cols, k = X.shape
        if k == 1:
            return lambda: (A @ X.reshape(batch, cols).t().contiguous()).t().contiguous()[..., None]
        return lambda: self.torch.stack([A @ member for member in X])

    def spgemm(self, A: Any, B: Any) -> Call:
        return lambda: A @ B

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        indices = self.torch.from_numpy(np.stack([row, col]).astype(np.int64))
        values = self.torch.from_numpy(data)
        return lambda: (
            self.torch.sparse_coo_tensor(indices, values, size=shape).coalesce().to_sparse_csr()
        )

    def to_scipy(self, result: Any) -> Any:
        parts = (result.values(), result.col_indices(), result.crow_indices())
        return sparse.csr_array(tuple(part.numpy() for part in parts), shape=tuple(result.shape))
