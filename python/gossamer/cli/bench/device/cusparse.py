# SPDX-License-Identifier: Apache-2.0
"""cuSPARSE's generic products with every algorithm for CSR, on tensors of PyTorch."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_int64, c_size_t, c_void_p
from typing import Any

import torch

SPMV_ALGORITHMS = {"CSR_ALG1": 2, "CSR_ALG2": 3}
SPMM_ALGORITHMS = {"CSR_ALG1": 4, "CSR_ALG2": 6, "CSR_ALG3": 12}

_INDEX_32 = 2
_FLOAT_32 = 0
_ROW_ORDER = 2
_AS_IS = 0


class CuSparse:
    """Handles of one float32 matrix with int32 indices.

    Parameters
    ----------
    indptr, indices, values
        CSR arrays on the GPU.
    shape
        Rows and columns.
    """

    def __init__(self, indptr: Any, indices: Any, values: Any, shape: tuple[int, int]) -> None:
        self._library = ctypes.CDLL("libcusparse.so.12")
        self._handle, self._matrix = c_void_p(), c_void_p()
        self._alpha, self._beta = c_float(1), c_float(0)
        self._kept = [indptr, indices, values]
        self.shape = shape
        self._call("cusparseCreate", byref(self._handle))
        self._call(
            "cusparseCreateCsr",
            byref(self._matrix),
            *(c_int64(n) for n in (*shape, len(values))),
            *(c_void_p(array.data_ptr()) for array in self._kept),
            *(c_int(code) for code in (_INDEX_32, _INDEX_32, 0, _FLOAT_32)),
        )

    def product(
        self, x: Any, y: Any, algorithm: str, preprocessed: bool = True
    ) -> Callable[[], None]:
        """Return a call that writes A @ x into y on PyTorch's stream."""
        if x.ndim == 1:
            operation, code, operands = "SpMV", SPMV_ALGORITHMS[algorithm], [_AS_IS]
        else:
            operation, code, operands = "SpMM", SPMM_ALGORITHMS[algorithm], [_AS_IS, _AS_IS]
        arguments = [
            self._handle,
            *(c_int(op) for op in operands),
            byref(self._alpha),
            self._matrix,
            self._dense(x),
            byref(self._beta),
            self._dense(y),
            c_int(_FLOAT_32),
            c_int(code),
        ]
        size = c_size_t()
        self._call(f"cusparse{operation}_bufferSize", *arguments, byref(size))
        buffer = torch.empty(max(size.value, 1), dtype=torch.uint8, device=x.device)
        self._kept += [x, y, buffer]
        if preprocessed:
            self._set_stream()
            self._call(f"cusparse{operation}_preprocess", *arguments, c_void_p(buffer.data_ptr()))

        def run() -> None:
            self._set_stream()
            self._call(f"cusparse{operation}", *arguments, c_void_p(buffer.data_ptr()))

        return run

    def _dense(self, x: Any) -> c_void_p:
        made = c_void_p()
        data, kind = c_void_p(x.data_ptr()), c_int(_FLOAT_32)
        if x.ndim == 1:
            self._call("cusparseCreateDnVec", byref(made), c_int64(len(x)), data, kind)
        else:
            sizes = (c_int64(n) for n in (*x.shape, x.shape[1]))
            self._call("cusparseCreateDnMat", byref(made), *sizes, data, kind, c_int(_ROW_ORDER))
        return made

    def _set_stream(self) -> None:
        stream = c_void_p(torch.cuda.current_stream().cuda_stream)
        self._call("cusparseSetStream", self._handle, stream)

    def _call(self, name: str, *arguments: Any) -> None:
        status = getattr(self._library, name)(*arguments)
        if status != 0:
            raise RuntimeError(f"{name} returned status {status}")
