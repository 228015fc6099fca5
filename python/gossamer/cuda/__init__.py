# SPDX-License-Identifier: Apache-2.0
"""Operations on device arrays of any framework, by the engine's CUDA half.

The extension module is imported when somebody uses a device array or asks for a GPU.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .library import engine, unavailable
from .memory import Memory

__all__ = ["Memory", "default_memory", "engine", "memory_of", "unavailable"]

_MEMORIES = {"torch": "gossamer.arrays.torch.cuda", "cupy": "gossamer.arrays.cupy"}


def memory_of(array: Any) -> Memory | None:
    """Return the memory of a device array's framework, or None for what is in no GPU's memory."""
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(array, torch.Tensor):
        return _memory("torch") if array.is_cuda else None
    if cupy is not None and isinstance(array, cupy.ndarray):
        return _memory("cupy")
    return None


def default_memory() -> Memory:
    """Return the memory that arrays of NumPy go to: CuPy's or PyTorch's.

    The one that is imported, CuPy's if both are; else the one that is installed.

    Raises
    ------
    RuntimeError
        If no GPU can be used, or neither framework is there; the message says what is missing.
    """
    engine()
    names = [name for name in ("cupy", "torch") if name in sys.modules]
    names += [name for name in ("cupy", "torch") if name not in names and find_spec(name)]
    for name in names:
        if name == "cupy" or import_module("torch").cuda.is_available():
            return _memory(name)
    raise RuntimeError(
        "no framework for arrays in the memory of a GPU is there; install CuPy or a CUDA build of "
        "PyTorch"
    )


def _memory(framework: str) -> Memory:
    memory: Memory = import_module(_MEMORIES[framework]).memory
    return memory
