# SPDX-License-Identifier: Apache-2.0
"""Sparse arrays at any density, on the arrays people already use."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .builders import diags, eye, identity, random_array
from .construct import asarray, coo_array, csc_array, csr_array, fromdense
from .containers import COOArray, CSCArray, CSRArray, SparseArray
from .devices import Device, show_config, use_cpu, use_device, use_gpu
from .functions import (
    coo_batched_matmul,
    coo_batched_matvec,
    coo_matmat,
    coo_matmul,
    coo_matvec,
    csc_batched_matmul,
    csc_batched_matvec,
    csc_matmat,
    csc_matmul,
    csc_matvec,
    csr_batched_matmul,
    csr_batched_matvec,
    csr_matmat,
    csr_matmul,
    csr_matvec,
    sddmm,
)
from .scipy_interop import from_scipy
from .threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from . import hf as hf
    from . import io, macko
    from . import nn as nn
    from . import prune as prune
    from .io import load_safetensors, save_safetensors
    from .jax_interop import from_jax
    from .packed import PackedArray, compress, multiply
    from .stacking import hstack, kron, vstack
    from .torch_interop import from_torch

    __version__: str

__all__ = [
    "COOArray",
    "CSCArray",
    "CSRArray",
    "Device",
    "PackedArray",
    "SparseArray",
    "asarray",
    "compress",
    "coo_array",
    "coo_batched_matmul",
    "coo_batched_matvec",
    "coo_matmat",
    "coo_matmul",
    "coo_matvec",
    "csc_array",
    "csc_batched_matmul",
    "csc_batched_matvec",
    "csc_matmat",
    "csc_matmul",
    "csc_matvec",
    "csr_array",
    "csr_batched_matmul",
    "csr_batched_matvec",
    "csr_matmat",
    "csr_matmul",
    "csr_matvec",
    "diags",
    "eye",
    "from_jax",
    "from_scipy",
    "from_torch",
    "fromdense",
    "get_num_threads",
    "hstack",
    "identity",
    "io",
    "issparse",
    "kron",
    "load_safetensors",
    "macko",
    "multiply",
    "random_array",
    "save_safetensors",
    "sddmm",
    "set_num_threads",
    "show_config",
    "use_cpu",
    "use_device",
    "use_gpu",
    "vstack",
]


def issparse(x: object) -> bool:
    """Whether x is one of Gossamer's sparse containers."""
    return isinstance(x, SparseArray)


# Loaded when they are first asked for: they cost time, or import what is optional.
_MODULES = ("hf", "io", "macko", "nn", "prune")
_DEFINED_IN = {
    "PackedArray": "packed",
    "compress": "packed",
    "from_jax": "jax_interop",
    "from_torch": "torch_interop",
    "hstack": "stacking",
    "kron": "stacking",
    "load_safetensors": "io",
    "multiply": "packed",
    "save_safetensors": "io",
    "vstack": "stacking",
}


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES, *(n for n in globals() if n.startswith("__"))})


if not TYPE_CHECKING:  # type checkers know all names

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            try:
                return import_module(f"gossamer.{name}")
            except ModuleNotFoundError as error:
                raise AttributeError(error.msg) from error
        if name in _DEFINED_IN:
            value = globals()[name] = getattr(import_module(f"gossamer.{_DEFINED_IN[name]}"), name)
            return value
        if name == "__version__":
            from importlib.metadata import version

            return version("gossamer")
        from .scipy_names import function_advice

        raise AttributeError(function_advice(name, __dir__()))
