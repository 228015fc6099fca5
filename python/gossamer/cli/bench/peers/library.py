# SPDX-License-Identifier: Apache-2.0
"""What the benchmark asks of a library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

Call = Callable[[], Any]


class Library(ABC):
    """One library under measurement.

    What :meth:`matrix` and :meth:`dense` do is not timed; the calls that the other methods return
    are. What a library cannot do raises an error, whose reason the benchmark notes.

    Attributes
    ----------
    name
        Key of the library in the results.
    version
        Its version.
    dtypes
        Names of the value types that it supports.
    kinds
        Kinds of operations that it is measured in; None: all.
    """

    name: str
    version: str
    dtypes: tuple[str, ...] = ("float32", "float64")
    kinds: tuple[str, ...] | None = None

    @abstractmethod
    def set_num_threads(self, count: int) -> None:
        """Set the number of threads of the calls that follow."""

    @abstractmethod
    def matrix(self, A: Any) -> Any:
        """Hold a canonical ``scipy.sparse.csr_array`` in the library's own container."""

    def dense(self, X: Any) -> Any:
        """Hold a NumPy array in the library's own container."""
        return X

    @abstractmethod
    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        """Compute A X or Aᵀ X into a new array, X of rank 1 or 2."""

    def batched(self, A: Any, X: Any) -> Call:
        """Compute A X for X of shape (batch, cols, k), into a C-contiguous array (batch, rows, k).

        Unless a library takes batches itself, by the usual recipes: vectors are laid side by side,
        so that the matrix is read once; matrices are multiplied one after the other.
        """
        batch, cols, k = X.shape
        if k == 1:
            side_by_side = np.empty((cols, batch), dtype=X.dtype)
            multiply = self.product(A, side_by_side)

            def run() -> Any:
                side_by_side[:] = X.reshape(batch, cols).T
                return np.ascontiguousarray(multiply().T)[:, :, None]

            return run
        members = [self.product(A, member) for member in X]
        return lambda: np.stack([member() for member in members])

    @abstractmethod
    def spgemm(self, A: Any, B: Any) -> Call:
        """Compute the sparse product A B of two matrices in CSR, into CSR."""

    def galerkin(self, R: Any, A: Any, P: Any) -> Call:
        """Compute R (A P) of three matrices in CSR, into CSR."""
        return lambda: self.spgemm(R, self.spgemm(A, P)())()

    @abstractmethod
    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        """Bring triplets in any order (NumPy arrays, int32 indices) into canonical CSR."""

    def to_numpy(self, result: Any) -> Any:
        """Give a dense result as a NumPy array; not timed."""
        return np.asarray(result)

    @abstractmethod
    def to_scipy(self, result: Any) -> Any:
        """Give a sparse result as a ``scipy.sparse.csr_array``; not timed."""
