# SPDX-License-Identifier: Apache-2.0
"""The threads that PyTorch keeps for itself, and that operations on tensors run on too."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from ... import _engine


def _openmp_parallel() -> int:
    """Address of GOMP_parallel in the OpenMP runtime that PyTorch links to; 0 without such."""
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        loaded = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        return ctypes.cast(loaded.GOMP_parallel, ctypes.c_void_p).value or 0
    except (OSError, AttributeError):  # another system, or a build with threads of another kind
        return 0


_PARALLEL = _openmp_parallel()


def on_threads_of_torch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the engine run on PyTorch's OpenMP threads within a function, if there are such.

    They spin for a while after each of PyTorch's own operations, and would take the cores from
    threads of the engine's own.
    """
    if not _PARALLEL:
        return function

    @wraps(function)
    def on_them(*arguments: Any, **keywords: Any) -> Any:
        before = _engine.use_openmp(_PARALLEL)
        try:
            return function(*arguments, **keywords)
        finally:
            _engine.use_openmp(before)

    return on_them
