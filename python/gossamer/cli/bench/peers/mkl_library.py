# SPDX-License-Identifier: Apache-2.0
"""Intel MKL's inspector-executor interface, called through ctypes.

The package sparse_dot_mkl makes a handle for every product and gives MKL no hint to optimize by.
Here the handle is made, hinted and optimized once, before the timing, so that MKL is at its best.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
from ctypes import POINTER, byref, c_char, c_char_p, c_double, c_float, c_int, c_void_p
from typing import Any

import numpy as np
from scipy import sparse

from gossamer.cli.bench.peers.library import Call, Library

_NON_TRANSPOSE, _TRANSPOSE = 10, 11
_ZERO_BASED = 0
_ROW_MAJOR = 101
_EXPECTED_CALLS = 1000


class _Descriptor(ctypes.Structure):
    """``struct matrix_descr`` of mkl_spblas.h: a general matrix."""

    _fields_ = (("type", c_int), ("mode", c_int), ("diag", c_int))


_GENERAL = _Descriptor(20, 0, 0)


class _Version(ctypes.Structure):
    """``MKLVersion`` of mkl_types.h."""

    _fields_ = (
        *((name, c_int) for name in ("major", "minor", "update")),
        *((name, c_char_p) for name in ("status", "build", "processor", "platform")),
    )


class _Handle:
    """Owns a ``sparse_matrix_t`` and keeps the arrays alive that it points into."""

    def __init__(self, mkl: MKL, arrays: tuple[Any, ...], dtype: Any) -> None:
        self.mkl = mkl
        self.arrays = arrays
        self.dtype = np.dtype(dtype)
        self.pointer = c_void_p()

    def __del__(self) -> None:
        if self.pointer:
            self.mkl.library.mkl_sparse_destroy(self.pointer)


class MKL(Library):
    """CSR handles of MKL with 32-bit indices."""

    name = "mkl"

    def __init__(self) -> None:
        self.library = ctypes.CDLL(_library_path())
        text = (c_char * 256)()
        self.library.MKL_Get_Version_String(text, c_int(len(text)))
        described = re.search(rb"Version ([\d.]+)", text.value)
        number = described.group(1) if described else text.value
        version = _Version()
        self.library.MKL_Get_Version(byref(version))
        # What it takes the processor for: on some of AMD's it multiplies without AVX.
        self.version = f"{number.decode()} for {version.processor.decode()}"

    def set_num_threads(self, count: int) -> None:
        # PyTorch sets this thread's own count, in this MKL too, which would win over the global.
        self.library.MKL_Set_Num_Threads_Local(c_int(count))

    def matrix(self, A: Any) -> Any:
        return A

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operation = c_int(_TRANSPOSE if transposed else _NON_TRANSPOSE)
        handle = self._create(A)
        if X.ndim == 1:
            self._call("set_mv_hint", handle.pointer, operation, _GENERAL, c_int(_EXPECTED_CALLS))
        else:
            layout, columns = c_int(_ROW_MAJOR), c_int(X.shape[1])
            self._call(
                "set_mm_hint",
                handle.pointer,
                operation,
                _GENERAL,
                layout,
                columns,
                c_int(_EXPECTED_CALLS),
            )
        self._call("optimize", handle.pointer)

        letter, scalar = _precision(handle.dtype)
        one, zero = scalar(1), scalar(0)
        shape = (A.shape[1] if transposed else A.shape[0], *X.shape[1:])
        function = getattr(self.library, f"mkl_sparse_{letter}_{'mv' if X.ndim == 1 else 'mm'}")
        x = c_void_p(X.ctypes.data)

        def multiply_vector() -> Any:
            y = np.empty(shape, dtype=X.dtype)
            status = function(
                operation, one, handle.pointer, _GENERAL, x, zero, c_void_p(y.ctypes.data)
            )
            return _checked(status, y)

        def multiply_matrix() -> Any:
            y = np.empty(shape, dtype=X.dtype)
            status = function(
                operation, one, handle.pointer, _GENERAL, layout, x, columns, columns, zero,
                c_void_p(y.ctypes.data), columns,
            )  # fmt: skip
            return _checked(status, y)

        return multiply_vector if X.ndim == 1 else multiply_matrix

    def spgemm(self, A: Any, B: Any) -> Call:
        return lambda: self._multiply(self._create(A), self._create(B))

    def galerkin(self, R: Any, A: Any, P: Any) -> Call:
        def run() -> Any:
            coarse_columns = self._multiply(self._create(A), self._create(P))
            return self._multiply(self._create(R), coarse_columns)

        return run

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        letter, _ = _precision(data.dtype)

        def run() -> Any:
            triplets = _Handle(self, (data, row, col), data.dtype)
            self._call(
                f"{letter}_create_coo", byref(triplets.pointer), c_int(_ZERO_BASED),
                *map(c_int, shape), c_int(data.size), *map(_address, (row, col, data)),
            )  # fmt: skip
            result = _Handle(self, (), data.dtype)
            operation = c_int(_NON_TRANSPOSE)
            self._call("convert_csr", triplets.pointer, operation, byref(result.pointer))
            self._call("order", result.pointer)
            return result

        return run

    def to_scipy(self, result: Any) -> Any:
        letter, scalar = _precision(result.dtype)
        base, rows, cols = c_int(), c_int(), c_int()
        starts, ends, indices = POINTER(c_int)(), POINTER(c_int)(), POINTER(c_int)()
        values = POINTER(scalar)()
        parts = (base, rows, cols, starts, ends, indices, values)
        self._call(f"{letter}_export_csr", result.pointer, *map(byref, parts))
        row_starts = np.ctypeslib.as_array(starts, (rows.value,))
        indptr = np.append(row_starts, ends[rows.value - 1])
        nnz = int(indptr[-1])
        arrays = tuple(np.ctypeslib.as_array(part, (nnz,)).copy() for part in (values, indices))
        return sparse.csr_array((*arrays, indptr), shape=(rows.value, cols.value))

    def _multiply(self, left: _Handle, right: _Handle) -> _Handle:
        result = _Handle(self, (), left.dtype)
        arguments = (left.pointer, right.pointer, byref(result.pointer))
        self._call("spmm", c_int(_NON_TRANSPOSE), *arguments)
        return result

    def _create(self, A: Any) -> _Handle:
        handle = _Handle(self, (A.data, A.indices, A.indptr), A.dtype)
        letter, _ = _precision(A.dtype)
        parts = (A.indptr, A.indptr[1:], A.indices, A.data)
        self._call(
            f"{letter}_create_csr", byref(handle.pointer), c_int(_ZERO_BASED), c_int(A.shape[0]),
            c_int(A.shape[1]), *map(_address, parts),
        )  # fmt: skip
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        _checked(getattr(self.library, f"mkl_sparse_{name}")(*arguments))


class OrderedMKL(MKL):
    """MKL with the columns of a sparse product sorted, as Gossamer's are."""

    name = "mkl_ordered"
    kinds = ("spgemm", "galerkin")

    def _multiply(self, left: _Handle, right: _Handle) -> _Handle:
        result = super()._multiply(left, right)
        self._call("order", result.pointer)
        return result


def _precision(dtype: Any) -> tuple[str, Any]:
    return {"float32": ("s", c_float), "float64": ("d", c_double)}[np.dtype(dtype).name]


def _address(array: Any) -> c_void_p:
    return c_void_p(array.ctypes.data)


def _checked(status: int, result: Any = None) -> Any:
    if status != 0:
        raise RuntimeError(f"MKL answered with status {status}")
    return result


def _library_path() -> str:
    """Find libmkl_rt of the package ``mkl``, or of an MKL that the system's loader knows."""
    try:
        files = importlib.metadata.files("mkl") or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name.startswith(("libmkl_rt", "mkl_rt")):
            return str(file.locate())
    return "libmkl_rt.so"
