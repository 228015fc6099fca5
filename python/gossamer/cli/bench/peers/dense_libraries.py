# SPDX-License-Identifier: Apache-2.0
"""Dense products Y = W X by other libraries, each in the layout and the type that it likes best."""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from ctypes import c_float, c_int, c_void_p
from typing import Any

import numpy as np

from gossamer import _engine
from gossamer.cli.bench.peers.library import Call
from gossamer.cli.bench.peers.mkl_library import MKL

_ROW_MAJOR, _NO_TRANSPOSE = 101, 111


class DenseLibrary(ABC):
    """A library, and the type in which it holds the weights.

    Attributes
    ----------
    name
        Key in the results.
    dtype
        Type of the weights.
    copies
        Whether `hold` makes arrays of its own; otherwise it uses those it is given.
    """

    name: str
    version: str
    dtype: str
    copies: bool

    @abstractmethod
    def set_num_threads(self, count: int) -> None:
        """Set the number of threads of the calls that follow."""

    @abstractmethod
    def hold(self, W: Any) -> Any:
        """Weights (float32, C order) as the library takes them."""

    @abstractmethod
    def product(self, held: Any, X: Any) -> Call:
        """Return the call that multiplies; X is float32, shape (columns,) or (columns, k)."""


class OpenBLAS(DenseLibrary):
    """NumPy's ``@``, by the BLAS that its wheels bring."""

    name, dtype, copies = "openblas", "float32", False

    def __init__(self) -> None:
        self.version = f"NumPy {np.__version__}"
        for library in importlib.import_module("threadpoolctl").threadpool_info():
            if library["user_api"] == "blas" and "numpy" in library["filepath"]:
                self.version += f", {library['internal_api']} {library['version']}"
                self.version += f" for {self.kernels}"
        self._limit: Any = None

    @property
    def kernels(self) -> str:
        """The processor that the kernels were made for, in OpenBLAS's words."""
        for library in importlib.import_module("threadpoolctl").threadpool_info():
            if library["user_api"] == "blas" and "numpy" in library["filepath"]:
                return str(library.get("architecture", ""))
        return ""

    def set_num_threads(self, count: int) -> None:
        self._limit = importlib.import_module("threadpoolctl").threadpool_limits(count, "blas")

    def hold(self, W: Any) -> Any:
        return W

    def product(self, held: Any, X: Any) -> Call:
        return lambda: held @ X


class DenseMKL(DenseLibrary):
    """``cblas_sgemv`` and ``cblas_sgemm``."""

    name, dtype, copies = "mkl", "float32", False

    def __init__(self) -> None:
        self.mkl = MKL()
        self.version = self.mkl.version

    def set_num_threads(self, count: int) -> None:
        self.mkl.set_num_threads(count)

    def hold(self, W: Any) -> Any:
        return W

    def product(self, held: Any, X: Any) -> Call:
        rows, cols = map(c_int, held.shape)
        order, plain = c_int(_ROW_MAJOR), c_int(_NO_TRANSPOSE)
        one, zero, step = c_float(1), c_float(0), c_int(1)
        w, x = c_void_p(held.ctypes.data), c_void_p(X.ctypes.data)
        library = self.mkl.library

        def multiply_vector() -> Any:
            y = np.empty(held.shape[0], np.float32)
            to = c_void_p(y.ctypes.data)
            library.cblas_sgemv(order, plain, rows, cols, one, w, cols, x, step, zero, to, step)
            return y

        def multiply_matrix() -> Any:
            y = np.empty((held.shape[0], X.shape[1]), np.float32)
            k, to = c_int(X.shape[1]), c_void_p(y.ctypes.data)
            library.cblas_sgemm(order, plain, plain, rows, k, cols, one, w, cols, x, k, zero, to, k)
            return y

        return multiply_vector if X.ndim == 1 else multiply_matrix


class Torch(DenseLibrary):
    """``torch.nn.functional.linear``, on activations of shape (k, columns) as models have them."""

    def __init__(self, dtype: str) -> None:
        self.torch = importlib.import_module("torch")
        self.version = self.torch.__version__
        self.name = f"torch-{dtype}"
        self.dtype = dtype
        self.copies = dtype != "float32"

    def set_num_threads(self, count: int) -> None:
        self.torch.set_num_threads(count)

    def hold(self, W: Any) -> Any:
        return self.torch.from_numpy(W).to(getattr(self.torch, self.dtype))

    def product(self, held: Any, X: Any) -> Call:
        x = self.torch.from_numpy(np.ascontiguousarray(X.T)).to(held.dtype)
        linear = self.torch.nn.functional.linear
        return lambda: linear(x, held)


class TorchInt8(Torch):
    """PyTorch's dynamically quantized linear layer: int8 weights by row, float32 in and out."""

    def __init__(self) -> None:
        super().__init__("int8")
        warnings.filterwarnings("ignore", message="torch.quantize_per", category=UserWarning)

    def hold(self, W: Any) -> Any:
        scales = self.torch.from_numpy(np.abs(W).max(axis=1) / np.float32(127)).double()
        zeros = self.torch.zeros(len(W), dtype=self.torch.long)
        quantized = self.torch.quantize_per_channel(
            self.torch.from_numpy(W), scales, zeros, 0, self.torch.qint8
        )
        return self.torch.ops.quantized.linear_prepack(quantized, None)

    def product(self, held: Any, X: Any) -> Call:
        x = self.torch.from_numpy(np.ascontiguousarray(np.atleast_2d(X.T)))
        linear = self.torch.ops.quantized.linear_dynamic
        return lambda: linear(x, held, reduce_range=False)


def open_dense_libraries() -> tuple[list[DenseLibrary], list[str]]:
    """Those that can be loaded, and a note for each that cannot."""
    makers = {
        "openblas": OpenBLAS,
        "mkl": DenseMKL,
        "torch-float32": lambda: Torch("float32"),
        "torch-bfloat16": lambda: Torch("bfloat16"),
        "torch-float16": lambda: Torch("float16"),
        "torch-int8": TorchInt8,
    }
    libraries: list[DenseLibrary] = []
    notes = []
    for name, make in makers.items():
        try:
            libraries.append(make())
        except (ImportError, OSError) as error:
            notes.append(f"{name} was left out: {error!r}")
    kernels = [library.kernels for library in libraries if isinstance(library, OpenBLAS)]
    # As it chooses on Zen 5.
    if {"Haswell", "Zen"} & {*kernels} and "avx3" in _engine.supported_simd_targets():
        notes.append(
            f"OpenBLAS chose kernels for {kernels[0]}, without AVX-512: set"
            f" OPENBLAS_CORETYPE=SkylakeX to measure those with it"
        )
    return libraries, notes
