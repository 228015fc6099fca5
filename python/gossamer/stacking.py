# SPDX-License-Identifier: Apache-2.0
"""Matrices made of matrices: stacked, and multiplied by Kronecker's rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .arithmetic import promoted
from .containers import COOArray, CSRArray, SparseArray
from .containers.format import check_format
from .containers.structural import structural
from .products import check_same_framework, sparse_operand
from .structure import CooPattern, below, index_dtype

if TYPE_CHECKING:
    from .arrays import Array
    from .structure import Indices


def vstack(blocks: Sequence[Any], format: str | None = None) -> SparseArray:
    """Stack sparse matrices, Gossamer's or SciPy's, one below the other.

    Differentiable by their values, which meet in the dtype of their sum.

    Parameters
    ----------
    blocks
        At least one, of equally many columns.
    format
        "csr", "csc" or "coo"; that of the first unless given.

    Raises
    ------
    TypeError
        For what is not sparse, and for matrices over arrays of different frameworks.
    ValueError
        For no blocks, different numbers of columns, rows beyond 2**63 - 1 or another format.
    """
    matrices = _blocks("vstack", blocks, axis=0)
    return _stack(matrices, _format("vstack", format, matrices[0]))


def hstack(blocks: Sequence[Any], format: str | None = None) -> SparseArray:
    """Stack sparse matrices side by side; as `vstack`, with rows and columns exchanged."""
    matrices = _blocks("hstack", blocks, axis=1)
    format = _format("hstack", format, matrices[0])
    return _stack([block.T for block in matrices], _TRANSPOSED[format]).T


def kron(A: Any, B: Any, format: str | None = None) -> SparseArray:
    """Kronecker product of two sparse matrices: every element of A times B, in its place.

    Of shape (m p, n q) for shapes (m, n) and (p, q), with a value for each pair of stored values,
    differentiable by both. In A's format unless another is given.

    Raises
    ------
    TypeError
        For what is not sparse, and for matrices over arrays of different frameworks.
    ValueError
        For a shape beyond 2**63 - 1, or another format.
    """
    a, b = _matrices("kron", {"A": A, "B": B})
    format = _format("kron", format, a)
    _check_lengths("kron", (a.shape[0] * b.shape[0], a.shape[1] * b.shape[1]))
    if format == "coo":
        return _kron_in_coo(a, b)
    if format == "csr":
        return _kron(a.tocsr(), b.tocsr())
    return _kron(a.tocsc().T, b.tocsc().T).T


def _blocks(function: str, blocks: Sequence[Any], axis: int) -> list[SparseArray]:
    """Matrices to stack along an axis, of equally many rows or columns along the other one."""
    if not isinstance(blocks, list | tuple) or not blocks:
        raise ValueError(f"{function}: blocks = {blocks!r}, expected a list of sparse arrays")
    matrices = _matrices(function, {f"blocks[{i}]": block for i, block in enumerate(blocks)})
    other = 1 - axis
    shape = [*matrices[0].shape]
    for i, block in enumerate(matrices[1:], 1):
        if block.shape[other] != shape[other]:
            raise ValueError(
                f"{function}: blocks[{i}] has {block.shape[other]} {('rows', 'columns')[other]} "
                f"and blocks[0] {shape[other]}; they must have equally many"
            )
        shape[axis] += block.shape[axis]
    _check_lengths(function, tuple(shape))
    return matrices


def _matrices(function: str, given: dict[str, Any]) -> list[SparseArray]:
    matrices: list[SparseArray] = []
    for argument, x in given.items():
        matrix = sparse_operand(x, f"{function}: {argument}")
        if matrix is None:
            raise TypeError(
                f"{function}: {argument} is {type(x).__name__}, expected a sparse array; make it "
                f"one with gossamer.fromdense"
            )
        matrices.append(matrix)
        first = next(iter(given))
        check_same_framework(matrices[0], matrix, (first, f"{function}: {argument}"))
    return matrices


def _format(function: str, format: str | None, first: SparseArray) -> str:
    if format is None:
        return first.format
    check_format(function, format)
    return format


def _check_lengths(function: str, shape: tuple[int, ...]) -> None:
    if max(shape) >= 2**63:
        raise ValueError(f"{function}: the result has shape {shape}, expected lengths below 2**63")


_TRANSPOSED = {"csr": "csc", "csc": "csr", "coo": "coo"}


def _stack(blocks: Sequence[SparseArray], format: str) -> SparseArray:
    """Blocks one below the other, checked."""
    if format == "coo":
        return _below_in_coo(*(block.tocoo() for block in blocks))
    if format == "csr":
        return _below(*(block.tocsr() for block in blocks))
    return _beside(*(block.tocsc().T for block in blocks)).T


@structural
def _below(*blocks: CSRArray) -> CSRArray:
    patterns, values = _parts(blocks)
    rows, nnz = (sum(getattr(p, n) for p in patterns) for n in ("rows", "nnz"))
    dtype = _index_dtype((rows, patterns[0].cols), nnz, blocks)
    return blocks[0]._made(below(patterns, dtype), blocks[0]._arrays.concatenate(values))


@structural
def _beside(*blocks: CSRArray) -> CSRArray:
    patterns, values = _parts(blocks)
    cols, nnz = (sum(getattr(p, n) for p in patterns) for n in ("cols", "nnz"))
    dtype = _index_dtype((patterns[0].rows, cols), nnz, blocks)
    return blocks[0]._made(*blocks[0]._arrays.beside(patterns, values, dtype))


def _parts(blocks: tuple[Any, ...]) -> tuple[list[Any], list[Array]]:
    """Patterns, and values in the dtype that they meet in."""
    values = promoted(blocks[0]._arrays, *(block.data for block in blocks))
    return [block._pattern.on_host() for block in blocks], values


def _index_dtype(shape: tuple[int, int], nnz: int, blocks: Sequence[SparseArray]) -> np.dtype[Any]:
    """Return the widest of the blocks' index dtypes, or int64 where the result needs that."""
    widest = np.result_type(*(block.index_dtype for block in blocks))
    return index_dtype(*shape, nnz, at_least=widest)


@structural
def _below_in_coo(*blocks: COOArray) -> COOArray:
    patterns, values = _parts(blocks)
    rows, nnz = (sum(getattr(p, n) for p in patterns) for n in ("rows", "nnz"))
    shape = rows, patterns[0].cols
    dtype = _index_dtype(shape, nnz, blocks)
    row, above, done = np.empty(nnz, dtype), 0, 0
    for p in patterns:
        np.add(p.row, dtype.type(above), out=row[done : done + p.nnz], dtype=dtype)
        above, done = above + p.rows, done + p.nnz
    col = np.concatenate([pattern.col for pattern in patterns], dtype=dtype)
    flags = (all(p.sorted for p in patterns), all(p.canonical for p in patterns))
    data = blocks[0]._arrays.concatenate(values)
    return _placed(blocks[0], data, shape, row, col, *flags)


@structural
def _kron(a: CSRArray, b: CSRArray) -> CSRArray:
    (p, q), (x, y) = _parts((a, b))
    dtype = _index_dtype((p.rows * q.rows, p.cols * q.cols), p.nnz * q.nnz, (a, b))
    return a._made(*a._arrays.kron(p, x, q, y, dtype))


@structural
def _kron_in_coo(a: SparseArray, b: SparseArray) -> SparseArray:
    arrays, left, right = a._arrays, a.tocoo(), b.tocoo()
    (p, q), (x, y) = _parts((left, right))
    shape = p.rows * q.rows, p.cols * q.cols
    # A matrix without rows or columns makes a small shape of any other one.
    largest, nnz = (max(shape[0], q.rows), max(shape[1], q.cols)), p.nnz * q.nnz
    dtype = _index_dtype(largest, nnz, (a, b)).type
    row, col = np.empty(nnz, dtype), np.empty(nnz, dtype)
    np.add.outer(p.row * dtype(q.rows), q.row, out=row.reshape(p.nnz, q.nnz))
    np.add.outer(p.col * dtype(q.cols), q.col, out=col.reshape(p.nnz, q.nnz))
    kept = _index_dtype(shape, nnz, (a, b))
    row, col = row.astype(kept, copy=False), col.astype(kept, copy=False)
    return _placed(a, arrays.outer(x, y), shape, row, col)


def _placed(
    beside: SparseArray,
    data: Any,
    shape: tuple[int, int],
    row: Indices,
    col: Indices,
    *flags: bool,
) -> COOArray:
    """COO matrix of values that an operation made, its positions where those of another are."""
    pattern = CooPattern(*shape, row, col, *flags)
    return COOArray(pattern, beside._arrays.freeze(data), beside._arrays)
