# SPDX-License-Identifier: Apache-2.0
"""What a framework's adapter provides: everything that touches values."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from ..devices import CPU, Device
from ..dtypes import VALUE_DTYPES
from ..structure import beside, kron

if TYPE_CHECKING:
    from ..containers import CSRArray, SparseArray
    from ..packed.storage import Storage
    from ..structure import CooPattern, Indices, Pattern, Selection

#: A dense array of some framework.
Array = Any


class DenseArray(Protocol):
    """What type checkers know arrays of all frameworks by, and SciPy's sparse ones not."""

    def __dlpack__(self, *arguments: Any, **options: Any) -> Any: ...


class SciPyMatrix(Protocol):
    """What type checkers know SciPy's sparse arrays and matrices by."""

    def tocsr(self, *arguments: Any, **options: Any) -> Any:
        """Return the same matrix as CSR."""


#: Of products, which have the class of their dense operand.
D = TypeVar("D", bound=DenseArray)


def refuse_sparse(x: Any) -> None:
    """Raise TypeError with advice if the operand of a packed product is sparse."""
    if hasattr(x, "tocsr"):
        raise TypeError(
            f"a packed array P and a {type(x).__name__} do not multiply: P @ x and x @ P take a "
            f"dense x; multiply the sparse one and P.tocsr()"
        )


class Adapter(ABC):
    """Values of one framework: how they are made, cast, summed and multiplied.

    Dtypes are passed by their NumPy names. Index maps and patterns are `gossamer.structure`'s.
    The operations below `take` are the differentiable ones: a framework with gradients registers
    each once, and every operation on containers then has its gradient.
    """

    #: The framework's array type; instances of exactly this type take the shortest path.
    array_type: type

    # ---- arrays --------------------------------------------------------------------------------

    @abstractmethod
    def asarray(
        self, x: Any, argument: str, dtypes: tuple[str, ...] | None = VALUE_DTYPES
    ) -> Array:
        """Return x as an array that the engine can read, a view where possible.

        Raises TypeError, naming the argument, if its dtype is not among those, if any are given.
        """

    @abstractmethod
    def values(self, x: Any, argument: str) -> Array:
        """Return x as a contiguous array of rank 1, a view where possible; errors as `asarray`."""

    @abstractmethod
    def dtype_name(self, dtype: Any) -> str:
        """NumPy's name of a dtype of the framework, of its string or of its scalar type."""

    @abstractmethod
    def empty(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Return an uninitialized C-contiguous array."""

    @abstractmethod
    def concatenate(self, arrays: list[Array]) -> Array:
        """Join arrays of rank 1."""

    @abstractmethod
    def astype(self, x: Array, dtype: str) -> Array:
        """Cast; x itself where it has the dtype already."""

    @abstractmethod
    def copy(self, x: Array) -> Array:
        """Return a copy that may be written to."""

    def freeze(self, x: Array) -> Array:
        """Mark an array that the engine made as read-only, where the framework can; return it."""
        return x

    def is_frozen(self, x: Array) -> bool:
        """Whether nobody can write to x, so that what follows from its values may be cached."""
        return False

    def alias(self, x: Array) -> Array | None:
        """Return another object over x's memory that does not keep the object x alive.

        None where the framework has none, or where gradients are to reach x. Who has an alias has
        copies of all else that x belongs to: arrays that have one are never frozen.
        """
        return None

    def is_alias(self, alias: Array, x: Array) -> bool:
        """Whether an alias that was made of x still is one."""
        return False

    def is_tracing(self) -> bool:
        """Whether the framework records Python code now, so that arrays have no contents."""
        return False

    def opaque(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is run as it is while `is_tracing`, instead of recorded.

        It takes and returns containers, arrays of the framework and Python's numbers.
        """
        return function

    @abstractmethod
    def tonumpy(self, x: Array) -> Any:
        """Return x as a NumPy array, sharing its memory where possible; nothing follows it."""

    @abstractmethod
    def fromnumpy(self, x: Any) -> Array:
        """Return a NumPy array as an array of the framework, sharing memory where possible.

        Who may write to the result writes to no array that is read-only.
        """

    def device(self, x: Array) -> Device:
        """Where x is: the CPU unless the framework has other devices."""
        return CPU

    def to(self, x: Array, device: Device) -> Array:
        """Return x on a device; itself where it is there.

        Between NumPy, which knows the CPU only, and CuPy or PyTorch, which know GPUs, the framework
        changes. Raises TypeError for a device that no framework of x's kind is on.
        """
        if device == CPU:
            return x
        raise TypeError(f"{type(x).__module__} arrays do not move to {device}; convert x first")

    # ---- elementwise ---------------------------------------------------------------------------

    @abstractmethod
    def conj(self, x: Array) -> Array:
        """Complex conjugate; x itself where it is real."""

    @abstractmethod
    def absolute_square(self, x: Array) -> Array:
        """Return the squared modulus, real, in x's accumulator dtype."""

    @abstractmethod
    def sqrt(self, x: Array) -> Array:
        """Square root."""

    def outer(self, x: Array, y: Array) -> Array:
        """Return the products of x's elements with all of y's, of rank 1; both have one dtype."""
        return (x[:, None] * y[None, :]).reshape(x.shape[0] * y.shape[0])

    @abstractmethod
    def sum(self, x: Array) -> Array:
        """Sum of all elements as a scalar of x's dtype; 16-bit dtypes sum in float32."""

    @abstractmethod
    def take(self, x: Array, positions: Any) -> Array:
        """Elements of x (rank 1) at a slice or at an array of indices."""

    # ---- operations of the engine --------------------------------------------------------------

    @abstractmethod
    def matmul(
        self, a: SparseArray, x: Array, conjugate: bool = False, swapped: bool = False
    ) -> Array:
        """A @ x; x is (n,), (n, k) or (..., n, k). Swapped x @ A, and x is (..., k, m).

        Conjugate: of conj(A).
        """

    @abstractmethod
    def spgemm(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        """Pattern (canonical) and values of the product of two sparse matrices."""

    @abstractmethod
    def sddmm(self, pattern: Pattern, u: Array, v: Array) -> Array:
        """Values of U @ V.T at the positions; u is (m, k) or (m,), v is (n, k) or (n,)."""

    def compress(self, coo: CooPattern, values: Array) -> tuple[Pattern, Array]:
        """Pattern, rows sorted, and values of a COO matrix by rows; duplicates are kept."""
        pattern, index_map = coo.compress()
        return pattern, values if index_map is None else self.gather(values, index_map)

    def select_rows(
        self, a: Pattern, values: Array, rows: range | Indices
    ) -> tuple[Pattern, Array]:
        """Pattern and values of some rows; those of consecutive ones are A's."""
        pattern, stored = a.select_rows(rows)
        if isinstance(stored, slice):
            return pattern, self.take(values, stored)
        return pattern, self.gather(values, stored)

    @abstractmethod
    def gather(self, values: Array, index_map: Indices) -> Array:
        """Return values[index_map], and zero where the map is -1."""

    @abstractmethod
    def segment_sum(self, values: Array, segments: Indices, index_map: Indices | None) -> Array:
        """Sums of values[index_map[p]] over the p from segments[s] up to segments[s + 1]."""

    def select(self, values: Array, selection: Selection) -> Array:
        """Sums of selected values."""
        if selection.segments is not None:
            return self.segment_sum(values, selection.segments, selection.index_map)
        assert selection.index_map is not None
        return self.gather(values, selection.index_map)

    def add(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array, subtract: bool
    ) -> tuple[Pattern, Array]:
        """Pattern and values of the sum or difference of two canonical matrices of one dtype."""
        pattern, from_a, from_b = a.union(b)
        left, right = self.gather(a_values, from_a), self.gather(b_values, from_b)
        return pattern, left - right if subtract else left + right

    def intersect(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array
    ) -> tuple[Pattern, Array]:
        """Pattern and values of the elementwise product of two canonical matrices of one dtype."""
        pattern, from_a, from_b = a.intersection(b)
        return pattern, self.gather(a_values, from_a) * self.gather(b_values, from_b)

    def beside(
        self, patterns: list[Pattern], values: list[Array], index_dtype: Any
    ) -> tuple[Pattern, Array]:
        """Pattern and values of matrices of one dtype side by side."""
        pattern, index_map = beside(patterns, index_dtype)
        return pattern, self.gather(self.concatenate(values), index_map)

    def kron(
        self, a: Pattern, a_values: Array, b: Pattern, b_values: Array, index_dtype: Any
    ) -> tuple[Pattern, Array]:
        """Pattern and values of the Kronecker product of two matrices of one dtype."""
        pattern, index_map = kron(a, b, index_dtype)
        return pattern, self.gather(self.outer(a_values, b_values), index_map)

    def row_sums(self, a: SparseArray) -> Array:
        """Sum of every row, shape (rows,)."""
        pattern, values = a._by_rows()
        return self.segment_sum(values, pattern.row_segments, None)

    def diagonal(self, a: SparseArray, k: int) -> Array:
        """Elements (i, i + k) of a matrix that has some."""
        csr = a._csr()
        first, last = max(0, -k), min(a.shape[0], a.shape[1] - k)
        row = csr._pattern.row_indices()
        # A sum that overflows turns negative, and so equals no column.
        stored = np.flatnonzero(csr.indices == row + row.dtype.type(k)).astype(row.dtype)
        segments = np.zeros(last - first + 1, row.dtype)
        np.cumsum(np.bincount(row[stored] - first, minlength=last - first), out=segments[1:])
        return self.segment_sum(csr.data, segments, stored)

    def extreme(self, values: Array, name: str, with_zero: bool) -> Array:
        """Largest ("max") or smallest ("min") of some values, and of a zero if that is asked for.

        Equal ones share the gradient evenly, the zero among them.
        """
        if with_zero:
            values = self.concatenate([values, self.gather(values, np.array([-1], np.int32))])
        return getattr(values, name)()

    @abstractmethod
    def row_extremes(self, a: CSRArray, name: str) -> Array:
        """Largest or smallest element of every row of a canonical real matrix, shape (rows,)."""

    def tracks(self, x: Array) -> bool:
        """Whether somebody may ask for a gradient by x of what is computed from it now."""
        return False

    @abstractmethod
    def todense(self, pattern: Pattern, values: Array, transposed: bool) -> Array:
        """Return the dense matrix, or its transpose, in C order; duplicates are summed."""

    @abstractmethod
    def fromdense(self, dense: Array, threshold: float) -> tuple[Pattern, Array]:
        """Pattern and values of the elements of a matrix whose modulus exceeds the threshold."""

    def dense_operand(self, x: Any, values: Array, argument: str) -> Array:
        """Return the dense operand of a product as an array that can meet the values.

        Raises TypeError for an array of another framework or of a dtype that is not supported.
        """
        return self.asarray(x, argument)

    def packed_operand(self, x: Any, values: Array) -> Array:
        """Return the dense operand of a packed product as an array that can meet the values.

        Raises TypeError for an array of another framework or of a dtype that these products do not
        take, ValueError for one on another device.
        """
        from ..packed.dtypes import DENSE_DTYPES

        return self.asarray(x, "x", DENSE_DTYPES)

    @abstractmethod
    def packed_storage(
        self, format: str, dtype: str, shape: tuple[int, int], parts: dict[str, Array]
    ) -> Storage:
        """Return a packed matrix over its parts, whose contents are not looked at.

        They are arrays of the framework, or NumPy's that nobody else has.
        """


class ScatteringAdapter(Adapter):
    """Adapter that takes the extremes of rows by its framework's own operations."""

    @abstractmethod
    def scatter_max(self, x: Array, positions: Any, values: Array) -> Array:
        """Return x, an array of ours, raised to values[p] at each positions[p], which may repeat.

        Real; NaN counts as the largest. Equal elements share the gradient evenly, x's among them.
        """

    def row_extremes(self, a: CSRArray, name: str) -> Array:  # noqa: D102 - as Adapter says
        if name == "min":
            # Negated, a largest element of 0 would be -0.
            return 0 - self.row_extremes(-a, "max")
        pattern = a._pattern.on_host()
        lowest = np.where(np.diff(pattern.indptr) == a.shape[1], -np.inf, 0).astype(np.float32)
        initial = self.to(self.fromnumpy(lowest), a.device)
        initial = self.astype(initial, self.dtype_name(a.dtype))
        return self.scatter_max(initial, pattern.row_indices(), a.data)
