# SPDX-License-Identifier: Apache-2.0
"""Products with operands of every kind: dense, sparse of any format, SciPy's."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING, Any

from . import containers
from .arrays import Array, adapter_of, framework_of, of_another_framework
from .containers.structural import structural
from .scipy_interop import is_scipy_sparse, take_over

if TYPE_CHECKING:
    from .containers import CSRArray, SparseArray


def dense_operand(a: SparseArray, x: Any, argument: str) -> Array | None:
    """Return x as an array of a's framework, or None if it is neither array nor sequence.

    Raises TypeError for an array of another framework or of a dtype that is not supported.
    """
    if adapter_of(x) is None and not isinstance(x, list | tuple):
        return None
    return read_operand(a, x, argument)


def read_operand(a: SparseArray, x: Any, argument: str) -> Array:
    """Return what may be no array as one of a's framework, as that reads it; errors as above."""
    if adapter_of(x) not in (None, a._arrays):
        raise of_another_framework(argument, x, "A", a.data)
    return a._arrays.dense_operand(x, a.data, argument)


def known(product: Any, x: Any) -> Any:
    """Return what became of an operand x; TypeError if that was nothing."""
    if product is None or product is NotImplemented:
        raise TypeError(f"x is {type(x).__name__}, expected an array")
    return product


def matmul(a: SparseArray, x: Any, swapped: bool = False) -> Any:
    """A @ x, swapped x @ A, for x dense or sparse; NotImplemented for what is neither."""
    b = sparse_operand(x, "x")
    if b is not None:
        return spgemm(b, a) if swapped else spgemm(a, b)
    dense = dense_operand(a, x, "x")
    if isinstance(x, Number):
        raise TypeError(f"A @ x: x is the number {x!r}, expected an array; write A * x")
    if dense is None:
        return NotImplemented
    return a._arrays.matmul(a, dense, swapped=swapped)


def sparse_operand(x: Any, argument: str) -> SparseArray | None:
    """Return x as a container if it is sparse, ours or SciPy's, else None."""
    if isinstance(x, containers.SparseArray):
        return x
    return take_over(x, argument) if is_scipy_sparse(x) else None


def check_same_framework(
    a: SparseArray, b: SparseArray, names: tuple[str, str] = ("A", "B")
) -> None:
    """Raise TypeError with advice if two containers hold arrays of different frameworks."""
    if a._arrays is not b._arrays:
        first, second = (name.rpartition(": ")[2] for name in names)
        raise TypeError(
            f"{names[1]} holds {type(b.data).__module__} arrays and {names[0]} "
            f"{type(a.data).__module__} ones; convert one of them: {second} by "
            f"{second}.to({framework_of(a.data)!r}), or {first} by "
            f"{first}.to({framework_of(b.data)!r})"
        )


def spgemm(a: SparseArray, b: SparseArray) -> SparseArray:
    """Sparse product of two containers, canonical, in a's format.

    Every element is summed in the order of a's row. Scratch: O(columns) a thread; with NumPy also a
    column and a sum for each product, where these take at most 128 MiB.
    """
    if a.shape[1] != b.shape[0]:
        raise ValueError(
            f"A @ B: A has shape {a.shape} and B {b.shape}; "
            f"B must have A's {a.shape[1]} columns as rows"
        )
    check_same_framework(a, b)
    if a.format == "csc":
        return spgemm(b.T.tocsr(), a.T).T
    return _spgemm(a._csr(), b).asformat(a.format)


@structural
def _spgemm(a: CSRArray, b: SparseArray) -> CSRArray:
    return a._made(*a._arrays.spgemm(*a._by_rows(), *b._by_rows()))
