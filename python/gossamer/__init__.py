# SPDX-License-Identifier: Apache-2.0
"""Sparse arrays at any density, on the arrays people already use."""

from typing import Any

from .construct import asarray, coo_array, csc_array, csr_array, fromdense
from .containers import COOArray, CSCArray, CSRArray, SparseArray
from .devices import Device, show_config, use_cpu, use_device, use_gpu
from .scipy_interop import from_scipy
from .threads import get_num_threads, set_num_threads

__all__ = [
    "COOArray",
    "CSCArray",
    "CSRArray",
    "Device",
    "SparseArray",
    "asarray",
    "coo_array",
    "csc_array",
    "csr_array",
    "from_scipy",
    "fromdense",
    "get_num_threads",
    "issparse",
    "set_num_threads",
    "show_config",
    "use_cpu",
    "use_device",
    "use_gpu",
]


def issparse(x: object) -> bool:
    """Whether x is one of Gossamer's sparse containers."""
    return isinstance(x, SparseArray)


def __getattr__(name: str) -> Any:
    """Load what costs time to import when it is first asked for."""
    if name == "__version__":
        from importlib.metadata import version

        return version("gossamer")
    raise AttributeError(f"module 'gossamer' has no attribute {name!r}")
