# SPDX-License-Identifier: Apache-2.0
"""The products behind ``@`` by name, such as ``csr_matvec`` and ``coo_batched_matmul``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from .arrays import Array
from .arrays.operands import check_fits
from .containers import COOArray, CSCArray, CSRArray, SparseArray
from .products import read_operand, sparse_operand

_Product = Callable[[Any, Any], Any]

#: What the docstrings of all products end with.
_RAISES = """

    Raises
    ------
    TypeError
        For an A of another container, and an operand of another kind, framework or unsupported
        dtype.
    ValueError
        For an operand of another shape.
    """


def _matvec(A: SparseArray, x: Array) -> Array:
    """Product A @ x; x has shape (columns,), the result (rows,), in the dtype that both meet in."""
    return A @ _dense(A, x, "matvec: x", at_least=1, at_most=1)


def _matmul(A: SparseArray, X: Array) -> Array:
    """Product A @ X; X has shape (columns, k) or (..., columns, k), the result (..., rows, k)."""
    return A @ _dense(A, X, "matmul: X", at_least=2)


def _batched_matvec(A: SparseArray, X: Array) -> Array:
    """Product A @ x for every vector of X; X has shape (..., columns), the result (..., rows)."""
    X = _dense(A, X, "batched_matvec: X", at_least=2)
    check_fits(X.shape, A.shape, swapped=True, name="A.T")
    return A.T.__rmatmul__(X)  # MLX refuses X @ A


def _batched_matmul(A: SparseArray, X: Array) -> Array:
    """Product A @ X_i for every matrix of X, of shape (..., columns, k); it has (..., rows, k)."""
    return A @ _dense(A, X, "batched_matmul: X", at_least=3)


def _matmat(A: SparseArray, B: SparseArray) -> SparseArray:
    """Sparse product A @ B, canonical, in A's format; B is sparse, of any format.

    Of shape (m, n) for shapes (m, k) and (k, n), by rows as Gustavson has it (1978).
    """
    argument = f"{A.format}_matmat: B"
    if sparse_operand(B, argument) is None:
        raise TypeError(f"{argument} is {type(B).__name__}, expected a sparse array")
    product: SparseArray = A.matmat(B)
    return product


def sddmm(A: SparseArray, U: Array, V: Array) -> SparseArray:
    """Sample the dense product U @ V.T at the positions that A stores.

    It is the gradient of ``A @ X`` by A's values: U that of the product, V is X.

    Parameters
    ----------
    A
        Of shape (m, n); its values are not read, lists and integers take their dtype as in A @ X.
    U, V
        Of shapes (m, k) and (n, k), or (m,) and (n,), or batches of these, which are summed over.

    Returns
    -------
    SparseArray
        In A's format, duplicates kept.

    Raises
    ------
    TypeError
        For an A that is no container, and U or V of another framework or unsupported dtype.
    ValueError
        For shapes that do not fit.
    """
    if not isinstance(A, SparseArray):
        raise TypeError(f"sddmm: A is {type(A).__name__}, expected a sparse array")
    U, V = read_operand(A, U, "sddmm: U"), read_operand(A, V, "sddmm: V")
    for name, dense, length in (("U", U, A.shape[0]), ("V", V, A.shape[1])):
        axis = -1 if dense.ndim == 1 else -2
        if U.ndim != V.ndim or dense.ndim == 0 or dense.shape[axis] != length:
            raise ValueError(
                f"sddmm: {name} has shape {tuple(dense.shape)}, expected ({length},) or "
                f"(..., {length}, k), of the other's rank"
            )
    if A.format == "csc":
        return _sample(A.T, V, U).T
    return _sample(A, U, V)


def _sample(A: SparseArray, U: Array, V: Array) -> SparseArray:
    csr = A._csr()
    values = A._arrays.sddmm(csr._pattern, U, V)
    return csr._made(csr._pattern, values).asformat(A.format)


def _dense(A: SparseArray, x: Array, argument: str, at_least: int, at_most: int = 1 << 30) -> Array:
    argument = f"{A.format}_{argument}"
    dense = read_operand(A, x, argument)
    if not at_least <= dense.ndim <= at_most:
        expected = "one axis" if at_most == 1 else f"{at_least} or more axes"
        raise ValueError(f"{argument} has shape {tuple(dense.shape)}, expected {expected}")
    return dense


def _of(container: type[SparseArray], product: _Product) -> _Product:
    """Name a product for one container, and let it refuse the others."""

    @wraps(product)
    def named(A: Any, other: Any) -> Any:
        if not isinstance(A, container):
            raise TypeError(
                f"{named.__name__}: A is {type(A).__name__}, expected {container.__name__}"
            )
        return product(A, other)

    if product.__doc__ is not None:  # as it is under python -OO
        named.__doc__ = product.__doc__.rstrip() + _RAISES
    named.__name__ = named.__qualname__ = container.format + product.__name__
    return named


csr_matvec = _of(CSRArray, _matvec)
csr_matmul = _of(CSRArray, _matmul)
csr_matmat = _of(CSRArray, _matmat)
csr_batched_matvec = _of(CSRArray, _batched_matvec)
csr_batched_matmul = _of(CSRArray, _batched_matmul)
csc_matvec = _of(CSCArray, _matvec)
csc_matmul = _of(CSCArray, _matmul)
csc_matmat = _of(CSCArray, _matmat)
csc_batched_matvec = _of(CSCArray, _batched_matvec)
csc_batched_matmul = _of(CSCArray, _batched_matmul)
coo_matvec = _of(COOArray, _matvec)
coo_matmul = _of(COOArray, _matmul)
coo_matmat = _of(COOArray, _matmat)
coo_batched_matvec = _of(COOArray, _batched_matvec)
coo_batched_matmul = _of(COOArray, _batched_matmul)
