# SPDX-License-Identifier: Apache-2.0
"""What the containers have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn, TypeVar, overload

import numpy as np

from .. import arithmetic, indexing, products, reductions
from ..arrays import FRAMEWORKS, Adapter, Array, adapter_of, named_adapter
from ..arrays.adapter import D, SciPyMatrix
from ..arrays.operands import check_fits
from ..arrays.operators import TorchOperators
from ..devices import Device, named_device
from ..dtypes import is_complex, requested_dtype
from ..scipy_interop import to_scipy
from ..structure import integer
from .format import SparseFormat, check_format

Self = TypeVar("Self", bound="SparseArray")


def restore(format: str, *arrays: Any) -> SparseArray:
    """Rebuild a container that was pickled, validating it anew."""
    from .. import construct

    return construct.from_parts(format, *arrays)


class SparseArray(TorchOperators, SparseFormat):
    """A sparse matrix: stored positions and one value for each.

    The positions of a container stay as they are, its index arrays read-only, and no operation
    changes its values. These are borrowed: ``data`` is the array that the caller passed, and what
    is written to it later is seen.

    NumPy's functions do not take containers, but for ``np.sum``, ``np.mean``, ``np.max``,
    ``np.min`` and ``np.transpose``, which call the methods; ``np.asarray(A)`` and ``np.sqrt(A)``
    raise TypeError, since making a sparse matrix dense is to be asked for by name: ``A.todense()``.
    SciPy's iterative solvers take containers as they are; its other functions, as
    ``expm_multiply``, which subtracts from A, and its sparse arrays' operators, ``A.to_scipy()``.
    ``eigsh`` with ``sigma`` factorizes that, and would solve by iteration in each of its steps for
    a container.

    A container has two axes: a row ``A[i]`` is a matrix of shape (1, columns), as of SciPy's
    csr_matrix, where its csr_array gives an array of one axis. Dense it is ``A[i].todense()[0]``.
    """

    __slots__ = ("__weakref__", "_arrays", "_data")

    # NumPy's operators give way to ours; its functions get to __array__, which says what to write.
    __array_priority__ = 1000.0
    _called = "A"
    _instead = (
        "write A @ x or x @ A.T for products, A.with_data(f(A.data)) for functions of the values, "
        "A.todense() or A.to_scipy() for all others"
    )

    _arrays: Adapter
    _data: Array

    # ---- attributes ----------------------------------------------------------------------------

    @property
    def data(self) -> Array:
        """Stored values, shape (nnz,)."""
        return self._data

    @data.setter
    def data(self, data: NoReturn) -> None:
        raise AttributeError(
            "the values of a sparse array cannot be exchanged; A.with_data(values) is a new one of "
            "the same positions, and A.data[k] = x writes where the values are yours"
        )

    @property
    def dtype(self) -> Any:
        """Dtype of the values."""
        return self._data.dtype

    @property
    def nnz(self) -> int:
        """Number of stored values, zeros and duplicates included."""
        return len(self._data)

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def nbytes(self) -> int:
        """Bytes of the values and the index arrays, without cached structures."""
        return sum(array.nbytes for array in (self._data, *self._index_arrays()))

    @property
    def device(self) -> Device:
        """Where the values are."""
        return self._arrays.device(self._data)

    # Any, not NoReturn: what a format has, as A.indptr, is read of a SparseArray too, and type
    # checkers take what follows a NoReturn for unreachable.
    def __getattr__(self, name: str) -> Any:
        from ..scipy_names import method_advice

        raise AttributeError(method_advice(type(self), name))

    def __repr__(self) -> str:
        # Both dtypes as the framework writes its own, mlx.core.float32 and mlx.core.int32.
        written = str(self.dtype).removesuffix(self._arrays.dtype_name(self.dtype))
        return (
            f"{type(self).__name__}(shape={self.shape}, nnz={self.nnz}, dtype={self.dtype}, "
            f"index_dtype={written}{self.index_dtype}, sorted_indices={self.has_sorted_indices}, "
            f"has_canonical_format={self.has_canonical_format})"
        )

    # ---- conversions ---------------------------------------------------------------------------

    def toarray(self) -> Array:
        """`todense`, by the name that SciPy gives it."""
        return self.todense()

    def transpose(self, axes: tuple[int, int] | None = None, copy: bool = False) -> SparseArray:
        """`T`, by the name that SciPy gives it; axes is None or (1, 0), copy of the values."""
        known = (1, 0), (-1, -2)
        if axes is not None and (np.ndim(axes) != 1 or tuple(axes) not in known):
            raise ValueError(f"transpose: axes = {axes!r}, expected None or (1, 0)")
        return self.T.copy() if copy else self.T

    def asformat(self, format: str, copy: bool = False) -> SparseArray:
        """Convert to "csr", "csc" or "coo"; itself where it has that format. For copy see `tocsr`.

        Raises
        ------
        ValueError
            For another format.
        """
        check_format("asformat", format)
        return self._converted(format, copy=copy)

    def astype(self: Self, dtype: Any, copy: bool = False) -> Self:
        """Cast the values; itself where it has that dtype, or a copy of it if that is asked for.

        Raises
        ------
        TypeError
            If the dtype is not supported.
        """
        name = requested_dtype("astype", self._arrays, dtype)
        if name == self._arrays.dtype_name(self.dtype):
            return self.copy() if copy else self
        return self._with_data(self._arrays.freeze(self._arrays.astype(self._data, name)))

    def to(self, target: Device | str) -> SparseArray:
        """Move the values to a device, or hand them to another framework.

        A device is "cpu" or "gpu" (also "cuda"), with an index as in "gpu:1". NumPy arrays become
        CuPy's or PyTorch's on a GPU, whichever is there; tensors stay tensors. From the CPU to a
        GPU the index arrays stay behind; products keep a copy of them there.

        A framework is "numpy", "torch", "mlx", "jax" or "cupy"; its array shares the memory of the
        values where it can; values that cannot be written to, as NumPy's read-only ones, MLX's and
        JAX's, are copied for PyTorch, whose tensors can. Gradients do not follow.

        Raises
        ------
        ValueError
            For any other name.
        TypeError
            For a dtype that the framework has not.
        RuntimeError
            If there is no such GPU; the message says what is missing.
        ImportError
            If the framework is not installed.
        """
        arrays = named_adapter(target)
        if arrays is self._arrays:
            return self
        if arrays is not None:
            return self._with_data(arrays.fromnumpy(self._arrays.tonumpy(self._data)), arrays)
        device = named_device(target, f", or a framework: {FRAMEWORKS}; dtypes go to A.astype")
        if device == self.device:
            return self
        data = self._arrays.to(self._data, device)
        return self._with_data(data, adapter_of(data))

    def with_data(self: Self, data: Array) -> Self:
        """Return the same positions with other values, borrowed, of shape (nnz,).

        In a framework's transformations and compilers it is the way to a sparse array of values
        that are recorded there.

        Raises
        ------
        TypeError
            If their dtype is not supported.
        ValueError
            If there are not as many.
        """
        arrays = adapter_of(data) or self._arrays
        data = arrays.values(data, "with_data: data")
        if len(data) != self.nnz:
            raise ValueError(f"with_data: data has {len(data)} elements, expected {self.nnz}")
        return self._with_data(data, arrays)

    def copy(self: Self) -> Self:
        """Return the same positions with a copy of the values, which may be written to."""
        return self._with_data(self._arrays.copy(self._data))

    def to_scipy(self, copy: bool = False) -> Any:
        """Return the SciPy sparse array of the same format.

        Values and, where SciPy keeps their dtype, index arrays are shared, the latter read-only;
        with ``copy`` nothing is shared.
        """
        return to_scipy(self, copy)

    def to_torch(self) -> Any:
        """Return PyTorch's sparse tensor of the same format; values must be tensors.

        It shares the values, with their gradient, and the index arrays, which nobody is to write
        to. Only the indices of COO that did not come from PyTorch are copied, into the one tensor
        of shape (2, nnz) and dtype int64 that it wants.
        """
        from ..torch_interop import to_torch

        return to_torch(self)

    def to_jax(self) -> Any:
        """Return the BCSR of CSR, the BCOO of COO; values must be JAX's.

        It shares the values, with their gradient; index arrays are copied where JAX asks for that.
        Raises TypeError for CSC, and for int64 indices where JAX has no int64.
        """
        from ..jax_interop import to_jax

        return to_jax(self)

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError(
            f"a {type(self).__name__} does not become a NumPy array by itself: {self._instead}; "
            f"where a SciPy array S stands on the left, as in S @ A, write "
            f"gossamer.from_scipy(S) @ A"
        )

    def __copy__(self: Self) -> Self:
        return self

    def __deepcopy__(self: Self, memo: Any) -> Self:
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (self.format, self._data, self._index_arrays(), self.shape)

    # ---- products ------------------------------------------------------------------------------

    # Of NumPy's arrays the class alone: dtypes promote. None is for `Any`, beside which a product
    # with an array of any shape or dtype, as NDArray is, would be Any too.
    @overload
    def __matmul__(self: Self, x: SparseArray) -> Self: ...
    @overload
    def __matmul__(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
    @overload
    def __matmul__(self, x: D) -> D: ...
    @overload
    def __matmul__(self, x: Sequence[Any] | SciPyMatrix) -> Any: ...
    def __matmul__(self, x: Any) -> Any:
        """A @ x: x dense of shape (n,), (n, k) or (..., n, k), or sparse."""
        if type(x) is self._arrays.array_type:
            return self._arrays.matmul(self, x)
        return products.matmul(self, x)

    @overload
    def __rmatmul__(self, x: D) -> D: ...
    @overload
    def __rmatmul__(self, x: Sequence[Any] | SciPyMatrix) -> Any: ...
    def __rmatmul__(self, x: Any) -> Any:
        """Product x @ A: x dense of shape (m,), (k, m) or (..., k, m), or SciPy's."""
        if type(x) is self._arrays.array_type:
            return self._arrays.matmul(self, x, swapped=True)
        return products.matmul(self, x, swapped=True)

    def dot(self, x: Any) -> Any:
        """A @ x, by the name that SciPy gives it too."""
        return self @ x

    def matvec(self, x: Array) -> Array:
        """A @ x, as ``scipy.sparse.linalg.aslinearoperator`` asks for it."""
        return self @ x

    def matmat(self, x: Array) -> Array:
        """A @ X; also of a sparse X inside ``torch.compile``, which knows no such operator."""
        return products.known(self.__matmul__(x), x)

    def rmatvec(self, x: Array) -> Array:
        """Aᴴ @ x."""
        if type(x) is not self._arrays.array_type:
            x = products.known(products.dense_operand(self, x, "x"), x)
        check_fits(x.shape, self.shape[::-1], swapped=False, name="A.H")
        return self._arrays.matmul(self.T, x, conjugate=True)

    def rmatmat(self, x: Array) -> Array:
        """Aᴴ @ X."""
        return self.rmatvec(x)

    # ---- arithmetic ----------------------------------------------------------------------------

    def __add__(self: Self, other: Any) -> Self:
        return arithmetic.add(self, other, 1, "A + B")

    def __radd__(self: Self, other: Any) -> Self:
        return arithmetic.add(self, other, 1, "B + A")

    def __sub__(self: Self, other: Any) -> Self:
        return arithmetic.add(self, other, -1, "A - B")

    def __rsub__(self: Self, other: Any) -> Self:
        return arithmetic.add(-self, other, 1, "B - A")

    def __mul__(self: Self, factor: Any) -> Self:
        return arithmetic.scale(self, factor, divide=False)

    __rmul__ = __mul__

    def multiply(self, other: Any) -> SparseArray:
        """Multiply element by element, at the stored positions only, in A's format.

        Parameters
        ----------
        other
            Sparse, of A's shape; the result has the positions that both store, canonical. Or dense,
            of A's shape, or (columns,), (1, columns) or (rows, 1): a factor for each column or row;
            or a scalar. What a dense one holds elsewhere, be it infinite, is not looked at.

        Raises
        ------
        ValueError
            For shapes that do not fit.
        TypeError
            For an array of another framework, or of a dtype that is not supported.
        """
        return arithmetic.multiply(self, other)

    def __truediv__(self: Self, divisor: Any) -> Self:
        return arithmetic.scale(self, divisor, divide=True)

    def __neg__(self: Self) -> Self:
        return self._with_data(self._arrays.freeze(-self._data))

    def __pos__(self: Self) -> Self:
        return self

    def __abs__(self) -> SparseArray:
        """Modulus of every element, real and canonical."""
        a = self._canonical()
        return a._with_data(a._arrays.freeze(abs(a._data)))

    def __pow__(self, exponent: Any) -> SparseArray:
        return self.power(exponent)

    def power(self, n: float) -> SparseArray:
        """Raise every element to a power, a positive number; canonical.

        Raises
        ------
        TypeError
            If n is no real number.
        ValueError
            If it is not positive: elements that are not stored would not stay zero.
        """
        return arithmetic.power(self._canonical(), n)

    def _canonical(self) -> SparseArray:
        return self._converted(self.format, canonical=True)

    def _converted(self, format: str, **options: bool) -> SparseArray:
        convert = {"csr": self.tocsr, "csc": self.tocsc, "coo": self.tocoo}
        converted: SparseArray = convert[format](**options)
        return converted

    def conj(self: Self) -> Self:
        """Complex conjugate; itself where it is real."""
        if not is_complex(self._arrays.dtype_name(self.dtype)):
            return self
        return self._with_data(self._arrays.freeze(self._arrays.conj(self._data)))

    @property
    def H(self) -> SparseArray:
        """Conjugate transpose, ``A.T.conj()``."""
        return self.T.conj()

    # ---- reductions ----------------------------------------------------------------------------

    def sum(
        self,
        axis: int | None = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        **others: NoReturn,
    ) -> Array:
        """Sum of all elements, over the rows (axis 0) or over the columns (axis 1).

        In A's dtype or the one given; 16-bit dtypes sum in float32. Axis 0 of CSR and axis 1 of CSC
        build a transposed structure, except over NumPy arrays. ``keepdims`` leaves the axes that
        are summed over in, of length 1, as ``A.multiply(1 / A.sum(axis=1, keepdims=True))`` takes
        them. ``out`` is for NumPy's callers: TypeError for all but None, and for other keywords.
        """
        reductions.check_options("sum", out, others)
        a = self if dtype is None else self.astype(dtype)
        return reductions.with_axis(self, reductions.total(a, axis), axis, keepdims)

    def mean(
        self,
        axis: int | None = None,
        dtype: Any = None,
        out: None = None,
        keepdims: bool = False,
        **others: NoReturn,
    ) -> Array:
        """Mean of all elements, over the rows (axis 0) or over the columns (axis 1); see `sum`.

        In A's dtype or the one given; ``out`` and ``keepdims`` as in `sum`.
        """
        reductions.check_options("mean", out, others)
        a = self if dtype is None else self.astype(dtype)
        return reductions.with_axis(self, reductions.mean(a, axis), axis, keepdims)

    def max(
        self,
        axis: int | None = None,
        out: None = None,
        keepdims: bool = False,
        **others: NoReturn,
    ) -> Array:
        """Largest element of all, of each column (axis 0) or of each row (axis 1); NaN if one is.

        Elements that are not stored count as zeros. Raises ValueError for a matrix without
        elements, TypeError for complex ones; ``out`` and ``keepdims`` as in `sum`.
        Equal elements share the gradient evenly; those that are not stored count as one.
        """
        reductions.check_options("max", out, others)
        return reductions.with_axis(self, reductions.extreme(self, "max", axis), axis, keepdims)

    def min(
        self,
        axis: int | None = None,
        out: None = None,
        keepdims: bool = False,
        **others: NoReturn,
    ) -> Array:
        """Smallest element; see `max`."""
        reductions.check_options("min", out, others)
        return reductions.with_axis(self, reductions.extreme(self, "min", axis), axis, keepdims)

    def row_sums(self) -> Array:
        """Sum of each row, shape (rows,)."""
        return reductions.row_sums(self)

    def col_sums(self) -> Array:
        """Sum of each column, shape (columns,)."""
        return reductions.col_sums(self)

    def row_norms(self) -> Array:
        """Euclidean norm of each row, shape (rows,), real.

        The squares are summed as they are, so values beyond the square root of the largest number
        overflow.
        """
        return reductions.row_norms(self)

    def col_norms(self) -> Array:
        """Euclidean norm of each column, shape (columns,); see `row_norms`."""
        return reductions.col_norms(self)

    def diagonal(self, k: int = 0) -> Array:
        """Elements (i, i + k), dense of rank 1; empty where there is no such diagonal.

        Raises TypeError if k is no integer.
        """
        return reductions.diagonal(self, k)

    def trace(self, offset: int = 0) -> Array:
        """Sum of the elements (i, i + offset)."""
        return self._arrays.sum(self.diagonal(integer(offset, "trace: offset")))

    # ---- elements ------------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        """A[i, j] is a scalar; all else is a container of rank 2 in A's format.

        Rows and columns are named by an integer (``A[i]`` has shape (1, columns)), a slice, or one
        of both by an array of integers, in any order, or of booleans, one for each. Consecutive
        rows of CSR share A's values.
        """
        return indexing.getitem(self, key)

    def __setitem__(self, key: Any, value: Any = None) -> NoReturn:
        raise TypeError(
            "the positions of a sparse array stay as they are; write S = A.to_scipy(copy=True), "
            "change S, and gossamer.from_scipy(S), or A.with_data(values) for other values there"
        )

    __delitem__ = __setitem__

    def __iter__(self) -> Iterator[SparseArray]:
        return (self[i] for i in range(self.shape[0]))

    def __len__(self) -> NoReturn:
        raise TypeError(
            "the length of a sparse array is ambiguous; use A.shape[0] or A.nnz, and A.todense() "
            "where a dense array or tensor is made"
        )

    def __bool__(self) -> NoReturn:
        raise ValueError("the truth value of a sparse array is ambiguous; use A.nnz > 0")

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError(
            "elementwise comparison of sparse arrays is not supported; compare A.todense(), or "
            "A.data, A.indices and A.indptr"
        )

    __lt__ = __le__ = __gt__ = __ge__ = __eq__
