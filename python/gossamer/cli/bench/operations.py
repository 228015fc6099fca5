# SPDX-License-Identifier: Apache-2.0
"""What the benchmark measures: operations, their operands, and the check of a result."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.cli.bench.conventions import (
    BATCH,
    MAX_DENSE_FLOPS,
    MAX_SPARSE_PRODUCTS,
    MAX_SPGEMM_FILL,
    MAX_TRIPLETS,
    SPMM_COLUMNS,
)
from gossamer.cli.bench.peers import Library
from gossamer.cli.bench.peers.library import Call
from gossamer.cli.matrices import matrix_bytes


@dataclass(frozen=True)
class Operation:
    """One operation, with the number of columns of its dense operand."""

    kind: str
    columns: int = 1

    @property
    def name(self) -> str:
        """Kind, and the columns where the kind is measured for several."""
        return f"{self.kind}-{self.columns}" if self.kind in ("spmm", "transposed") else self.kind


OPERATIONS = [
    Operation("spmv"),
    *(Operation("spmm", columns) for columns in SPMM_COLUMNS),
    Operation("transposed", 1),
    Operation("transposed", 16),
    Operation("batched_vectors"),
    Operation("batched_matrices", 16),
    Operation("spgemm"),
    Operation("galerkin"),
    Operation("coo_to_csr"),
]
KINDS = tuple({operation.kind for operation in OPERATIONS})
QUICK_OPERATIONS = {
    *("spmv", "spmm-16", "transposed-1", "batched_matrices"),
    *("spgemm", "galerkin", "coo_to_csr"),
}


class Case:
    """One operation on one matrix: operands, and what its result must be.

    Parameters
    ----------
    A
        Canonical ``scipy.sparse.csr_array``.
    P
        Interpolation from a coarser grid, of A's dtype; None where there is none.
    """

    def __init__(self, A: Any, operation: Operation, P: Any = None) -> None:
        self.A = A
        self.P = P
        self.operation = operation
        self.rng = np.random.default_rng(0)

    @property
    def left_out(self) -> bool:
        """Whether the rules leave this case out."""
        A, kind = self.A, self.operation.kind
        if kind == "galerkin":
            return self.P is None
        if kind == "coo_to_csr":
            return bool(A.nnz > MAX_TRIPLETS)
        if kind == "spgemm":
            limit = min(MAX_SPARSE_PRODUCTS, MAX_SPGEMM_FILL * A.shape[0] ** 2)
            return bool(self.elementary_products > limit)
        members = BATCH if kind.startswith("batched") else 1
        return bool(2 * A.nnz * self.operation.columns * members > MAX_DENSE_FLOPS)

    @property
    def elementary_products(self) -> int:
        """Multiplications in the sparse product of this case."""
        A = self.A
        row_lengths = np.diff(A.indptr).astype(np.int64)
        if A.shape[0] == A.shape[1]:
            return int(row_lengths[A.indices].sum())
        col_lengths = np.bincount(A.indices, minlength=A.shape[1])
        return int((col_lengths.astype(np.int64) ** 2).sum())

    @cached_property
    def right(self) -> Any:
        """Second operand: a dense array, a matrix for the sparse product, R for R A P."""
        A, operation = self.A, self.operation
        if operation.kind == "spgemm":
            return A if A.shape[0] == A.shape[1] else A.T.tocsr()
        if operation.kind == "galerkin":
            return self.P.T.tocsr()
        length = A.shape[0] if operation.kind == "transposed" else A.shape[1]
        if operation.kind.startswith("batched"):
            shape: tuple[int, ...] = (BATCH, length, operation.columns)
        elif operation.kind == "spmm" or operation.columns > 1:
            shape = (length, operation.columns)
        else:
            shape = (length,)
        return self.rng.standard_normal(shape).astype(A.dtype)

    @cached_property
    def triplets(self) -> tuple[Any, Any, Any]:
        """Values, rows and columns of all entries in random order."""
        triplets = self.A.tocoo()
        order = self.rng.permutation(self.A.nnz)
        return triplets.data[order], triplets.row[order], triplets.col[order]

    def call(self, library: Library, held: Any) -> Call:
        """Return the call to time, ``held`` being what the library made of A."""
        kind = self.operation.kind
        if kind == "coo_to_csr":
            return library.coo_to_csr(*self.triplets, self.A.shape)
        if kind == "spgemm":
            square = self.right is self.A
            return library.spgemm(held, held if square else library.matrix(self.right))
        if kind == "galerkin":
            return library.galerkin(library.matrix(self.right), held, library.matrix(self.P))
        right = library.dense(self.right)
        if kind.startswith("batched"):
            return library.batched(held, right)
        return library.product(held, right, transposed=kind == "transposed")

    def check(self, library: Library, result: Any) -> None:
        """Compare a result with SciPy's in float64.

        Raises
        ------
        ValueError
            If the pattern differs, or an element by more than rounding explains.
        """
        if self.operation.kind in ("spgemm", "galerkin", "coo_to_csr"):
            self._check_sparse(library.to_scipy(result))
        else:
            self._check_dense(library.to_numpy(result))

    def _check_dense(self, result: Any) -> None:
        shape = (*self.right.shape[:-2], self._operator.shape[0], *self.right.shape[-1:])
        if self.right.ndim == 1:
            shape = self._operator.shape[:1]
        if result.shape != shape:
            raise ValueError(f"the result has shape {result.shape}, expected {shape}")
        weights, expected, bound = self._dense_reference
        if self.right.ndim > 1:
            result = result.astype(np.float64) @ weights
        worst = (np.abs(result - expected) - bound).max()
        if not worst <= 0:
            raise ValueError(f"an element is off by {worst:.3g} more than rounding explains")

    @property
    def _operator(self) -> Any:
        return self.A.T if self.operation.kind == "transposed" else self.A

    @cached_property
    def _dense_reference(self) -> tuple[Any, Any, Any]:
        """Random weights of the columns (Freivalds' check), and the product with their sum."""
        A, x = self._operator.astype(np.float64), self.right.astype(np.float64)
        weights = self.rng.standard_normal(self.operation.columns)
        magnitude = np.abs(x)
        if x.ndim > 1:
            x, magnitude = x @ weights, magnitude @ np.abs(weights)
        # |y' - y| <= gamma_k (|A| |x|), k the longest row and a few roundings more:
        # Higham, Accuracy and Stability of Numerical Algorithms, section 3.5.
        lengths = np.bincount(A.indices, minlength=1) if A.format == "csc" else np.diff(A.indptr)
        rounding = (int(lengths.max()) + 8) * np.finfo(self.A.dtype).eps / 2
        return weights, (A @ x.T).T, (abs(A) @ magnitude.T).T * rounding

    def _check_sparse(self, result: Any) -> None:
        if self.operation.kind == "coo_to_csr":
            parts = ("indptr", "indices", "data")
            if not all(np.array_equal(getattr(result, p), getattr(self.A, p)) for p in parts):
                raise ValueError(
                    "the converted matrix differs from the one that the triplets came from"
                )
            return
        # Freivalds' check: C v against A (B v) for a random v, row by row.
        v, expected, bound = self._sparse_reference
        worst = (np.abs(result.astype(np.float64) @ v - expected) - bound).max()
        if not worst <= 0:
            raise ValueError(f"the product differs by {worst:.3g} more than rounding explains")

    @cached_property
    def _sparse_reference(self) -> tuple[Any, Any, Any]:
        factors = [self.A, self.right]
        if self.operation.kind == "galerkin":
            factors = [self.right, self.A, self.P]
        v = self.rng.standard_normal(factors[-1].shape[1])
        expected, bound = v, np.abs(v)
        for factor in reversed(factors):
            exact = factor.astype(np.float64)
            expected, bound = exact @ expected, abs(exact) @ bound
        terms = 8 + sum(int(np.diff(factor.indptr).max()) for factor in factors[:-1])
        return v, expected, bound * (terms * np.finfo(self.A.dtype).eps / 2)


def product_bytes(A: Any) -> int:
    """Bytes that SpMV must move: values, indices, row offsets, x and y, each once."""
    return matrix_bytes(A) + int(sum(A.shape) * A.dtype.itemsize)


def with_dtype(A: Any, dtype: str) -> Any:
    """Return the matrix with its values cast, on the same indices."""
    cast = sparse.csr_array((A.data.astype(dtype), A.indices, A.indptr), shape=A.shape, copy=False)
    cast.has_canonical_format = True
    return cast
