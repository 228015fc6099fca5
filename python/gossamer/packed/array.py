# SPDX-License-Identifier: Apache-2.0
"""The container of packed matrices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn, overload

from ..arrays import FRAMEWORKS, adapter_of, named_adapter, of_another_framework, to_host
from ..arrays.adapter import D
from ..arrays.operators import TorchOperators
from ..containers import CSRArray
from ..devices import Device, named_device
from ..dtypes import dtype_name
from ..quantities import size_text
from ..scipy_names import method_advice
from ..structure import index_dtype
from .dtypes import DENSE_DTYPES, check_dense_dtype, has_scales
from .storage import Storage

if TYPE_CHECKING:
    import numpy as np


def restore(format: str, dtype: str, shape: Any, parts: dict[str, Any], transposed: bool) -> Any:
    """Rebuild an array that was pickled, validating it anew."""
    from .construct import packed_array

    array = packed_array(format, dtype, shape, parts)
    return array.T if transposed else array


class PackedArray(TorchOperators):
    """A matrix packed for products: where its nonzeros are, as bits or gaps, and their values.

    Made by `compress`. Immutable; products never unpack it. The formats and their bytes are in
    docs/formats.md. The format "dense" is an ordinary matrix behind the same interface, for what
    packing would not make smaller or faster.

    Attributes
    ----------
    format
        "bitmap", "gap4", "gap8" or "dense".
    dtype
        Dtype of the stored values, the framework's own. int8 and float8_e4m3fn have a scale for
        each row.
    """

    __slots__ = ("__weakref__", "_nnz", "_storage", "_transposed")

    # NumPy's operators give way to ours; its functions get to __array__, which says what to write.
    __array_priority__ = 1000.0
    _called = "P"
    _instead = "write P @ x or x @ P.T for products, P.decompress() or P.tocsr() for all else"

    def __init__(self, storage: Storage, nnz: int | None = None, transposed: bool = False) -> None:
        if not isinstance(storage, Storage):
            raise TypeError(
                f"PackedArray: storage is a {type(storage).__name__}; "
                f"gossamer.compress(W) makes packed arrays"
            )
        self._storage = storage
        self._nnz = nnz
        self._transposed = transposed

    # ---- attributes ----------------------------------------------------------------------------

    @property
    def format(self) -> str:
        """Format of the stored positions."""
        return self._storage.format

    @property
    def dtype(self) -> Any:
        """Dtype of the stored values, the framework's own."""
        return self._storage.values.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of columns."""
        rows, cols = self._storage.rows, self._storage.cols
        return (cols, rows) if self._transposed else (rows, cols)

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    @property
    def _size(self) -> int:
        return self._storage.rows * self._storage.cols

    @property
    def nnz(self) -> int:
        """Number of stored elements, without what the format fills in."""
        if self._nnz is None:
            self._nnz = self._storage.count_nonzeros()
        return self._nnz

    @property
    def density(self) -> float:
        """Share of the elements that are stored; 0 for a matrix without elements."""
        return self.nnz / max(1, self._size)

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is stored."""
        return sum(part.nbytes for part in self._storage.parts().values())

    @property
    def data(self) -> Any:
        """Stored values as the format lays them out, fillers included; see docs/formats.md."""
        return self._storage.data

    @data.setter
    def data(self, data: NoReturn) -> None:
        raise AttributeError(
            "the values of a packed array cannot be exchanged; P.with_data(values) is a new one of "
            "the same positions"
        )

    @property
    def scales(self) -> Any:
        """Scale of each stored row, float32, of the 8-bit dtypes; None of the others.

        A value v in row i (column i of a transposed view) means v * scales[i].
        """
        return self._storage.scales

    @property
    def device(self) -> Device:
        """Where the values are."""
        return self._storage.arrays.device(self._storage.values)

    @property
    def T(self) -> PackedArray:
        """The transpose, a view of the same bytes: its products are the transposed ones."""
        return PackedArray(self._storage, self._nnz, not self._transposed)

    def __repr__(self) -> str:
        rows, cols = self.shape
        indices = index_dtype(rows, cols, self.nnz).itemsize
        item = self._storage.values.itemsize
        sizes = {
            "dense": self._size * item,
            "CSR": self.nnz * (item + indices) + (rows + 1) * indices,
        }
        compared = ", ".join(f"{name} {size_text(nbytes)}" for name, nbytes in sizes.items())
        view = ", transposed view" if self._transposed else ""
        return (
            f"PackedArray(shape={self.shape}, format='{self.format}', dtype={self.dtype}, "
            f"nnz={self.nnz}, density={self.density:.3g}{view}; "
            f"{size_text(self.nbytes)}, against {compared})"
        )

    def with_data(self, data: Any) -> PackedArray:
        """Return the same positions with other values: how gradients by the values are had.

        Parameters
        ----------
        data
            Array of the framework, laid out as `data` is, float32, float16 or bfloat16; borrowed.
            A list takes the dtype of the values.
            Elements in slots of fillers, which stand for no position, are taken as zeros.

        Raises
        ------
        TypeError
            For another framework or dtype, or where the values are of 8 bits.
        ValueError
            For another shape.
        """
        stored = self._storage
        if has_scales(stored.dtype_name):
            raise TypeError(
                f"with_data: P has values of {stored.dtype_name}, which are rounded and stay as "
                f"they are; pack it as float32, float16 or bfloat16"
            )
        arrays = stored.arrays
        if isinstance(data, list | tuple):
            data = arrays.dense_operand(data, stored.values, "with_data: data")
        if adapter_of(data) is not arrays:
            if adapter_of(data) is None:
                raise TypeError(
                    f"with_data: data is a {type(data).__module__}.{type(data).__qualname__}, "
                    f"expected an array"
                )
            raise of_another_framework("with_data: data", data, "P", stored.values)
        data = arrays.asarray(data, "with_data: data", DENSE_DTYPES)
        if arrays.device(data) != self.device:
            raise ValueError(
                f"with_data: data is on {arrays.device(data)} and P on {self.device}; move one"
            )
        if tuple(data.shape) != tuple(stored.values.shape):
            raise ValueError(
                f"with_data: data has shape {tuple(data.shape)}, expected "
                f"{tuple(stored.values.shape)}"
            )
        if stored.format != "dense":
            data = arrays.values(data, "with_data: data")  # contiguous
        return PackedArray(stored.with_values(data), transposed=self._transposed)

    # ---- conversions ---------------------------------------------------------------------------

    def to(self, target: Device | str) -> PackedArray:
        """Move what is stored to a device or to a framework; names and errors as `SparseArray.to`.

        A framework's name is the way of what was packed from NumPy arrays, or read from a file, to
        PyTorch, MLX or JAX. Values and scales that cannot be written to are copied.
        """
        stored = self._storage
        arrays = named_adapter(target)
        if arrays is None:
            dtypes = "dtypes go to gossamer.compress(P.decompress(), dtype=...)"
            device = named_device(target, f", or a framework: {FRAMEWORKS}; {dtypes}")
            if device == self.device:
                return self
            parts = {name: stored.arrays.to(part, device) for name, part in stored.parts().items()}
            arrays = adapter_of(parts["values"])
            assert arrays is not None
        elif arrays is stored.arrays:
            return self
        else:
            parts = {name: to_host(part) for name, part in stored.parts().items()}
            for name in parts.keys() & {"values", "scales"}:  # which the framework shows
                if not parts[name].flags.writeable:
                    parts[name] = parts[name].copy()
        moved = arrays.packed_storage(
            stored.format, stored.dtype_name, (stored.rows, stored.cols), parts
        )
        return PackedArray(moved, self._nnz, self._transposed)

    def decompress(self, dtype: Any = None) -> Any:
        """Return the matrix as a dense array of the framework that holds the values.

        Parameters
        ----------
        dtype
            float32, float16 or bfloat16. By default that of the values, for 8-bit values float32.

        Raises
        ------
        TypeError
            For another dtype.
        """
        dense = self._storage.todense(self._dense_dtype_name(dtype, "decompress: dtype"))
        return dense.T if self._transposed else dense

    def tocsr(self, dtype: Any = None) -> CSRArray:
        """Return the stored elements as a CSRArray, canonical; dtype as in `decompress`.

        8-bit values are multiplied by their scales.
        """
        name = self._dense_dtype_name(dtype, "tocsr: dtype")
        arrays = self._storage.arrays
        pattern, values = self._storage.tocsr(name)
        csr = CSRArray(pattern, arrays.freeze(values), arrays)
        return csr.T.tocsr() if self._transposed else csr

    def _dense_dtype_name(self, dtype: Any, argument: str) -> str:
        if dtype is None:
            name = self._storage.dtype_name
            return "float32" if has_scales(name) else name
        name = dtype_name(dtype)
        check_dense_dtype(name, argument)
        return name

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        raise TypeError(f"a PackedArray does not become a NumPy array by itself: {self._instead}")

    if not TYPE_CHECKING:  # type checkers know all names

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(method_advice(type(self), name))

    def __copy__(self) -> PackedArray:
        return self

    def __deepcopy__(self, memo: Any) -> PackedArray:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        stored = self._storage
        shape = stored.rows, stored.cols
        parts = stored.parts()
        arguments = stored.format, stored.dtype_name, shape, parts, self._transposed
        return stored.pickled(restore, *arguments)

    # ---- products ------------------------------------------------------------------------------

    @overload
    def __matmul__(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]: ...
    @overload
    def __matmul__(self, x: D) -> D: ...
    @overload
    def __matmul__(self, x: Sequence[Any]) -> Any: ...
    def __matmul__(self, x: Any) -> Any:
        """P @ x: x of shape (n,), (n, k) or (..., n, k), float32, float16 or bfloat16.

        NumPy's integers are taken as float32, those of one byte as the values' dtype where these
        are not of 8 bits themselves; lists are taken as float32.
        The result has the dtype that NumPy gives to values and x, for 8-bit values x's; float16 and
        bfloat16 meet in float32. Sums run in float32. A packed zero contributes nothing, whatever x
        holds there.
        """
        return self._storage.matmul(x, self._transposed)

    @overload
    def __rmatmul__(self, x: D) -> D: ...
    @overload
    def __rmatmul__(self, x: Sequence[Any]) -> Any: ...
    def __rmatmul__(self, x: Any) -> Any:
        """Product x @ P: x of shape (m,), (k, m) or (..., k, m)."""
        return self._storage.matmul(x, not self._transposed, swapped=True)

    def matvec(self, x: Any) -> Any:
        """P @ x, as ``scipy.sparse.linalg.aslinearoperator`` asks for it."""
        return self @ x

    def matmat(self, x: Any) -> Any:
        """P @ X."""
        return self @ x

    def rmatvec(self, x: Any) -> Any:
        """Pᵀ @ x."""
        return self.T @ x

    def rmatmat(self, x: Any) -> Any:
        """Pᵀ @ X."""
        return self.T @ x

    # ---- what a matrix is not ------------------------------------------------------------------

    def __len__(self) -> NoReturn:
        raise TypeError("the length of a packed array is ambiguous; use P.shape[0] or P.nnz")

    def __bool__(self) -> NoReturn:
        raise ValueError("the truth value of a packed array is ambiguous; use P.nnz > 0")

    def __getitem__(self, *others: Any) -> NoReturn:
        raise TypeError(
            "packed arrays have products alone; for elements and arithmetic use P.tocsr(), and "
            "gossamer.compress to pack what is made of it, or P.decompress(), also for comparisons"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __getitem__
    __pow__ = __neg__ = __abs__ = __setitem__ = __delitem__ = __getitem__
    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __getitem__


def multiply(packed: PackedArray, x: Any) -> Any:
    """``packed @ x``.

    Raises
    ------
    TypeError
        If packed is no PackedArray, or x of another dtype than float32, float16 and bfloat16.
    ValueError
        If the shapes do not fit.
    """
    if not isinstance(packed, PackedArray):
        raise TypeError(
            f"multiply: packed is {type(packed).__name__}, expected a PackedArray; sparse arrays "
            f"multiply by A @ x, and element by element by A.multiply(B)"
        )
    return packed @ x
