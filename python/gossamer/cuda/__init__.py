# SPDX-License-Identifier: Apache-2.0
"""Operations on device arrays of any framework, by the engine's CUDA half.

The extension module is imported when somebody uses a device array or asks for a GPU.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from .library import engine, unavailable
from .memory import Memory

__all__ = ["Memory", "engine", "memory_of", "unavailable"]


def memory_of(array: Any) -> Memory | None:
    """Return the memory of a device array's framework, or None for what is in no GPU's memory."""
    torch, cupy = sys.modules.get("torch"), sys.modules.get("cupy")
    if torch is not None and isinstance(array, torch.Tensor):
        name = "gossamer.arrays.torch.cuda" if array.is_cuda else None
    elif cupy is not None and isinstance(array, cupy.ndarray):
        name = "gossamer.arrays.cupy"
    else:
        name = None
    memory: Memory | None = None if name is None else import_module(name).memory
    return memory
