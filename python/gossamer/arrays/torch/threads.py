# SPDX-License-Identifier: Apache-2.0
"""The threads that PyTorch keeps for itself, and that operations on tensors run on too."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import torch

from ... import _engine


def share_threads() -> None:
    """Let the engine run on PyTorch's OpenMP threads, if this build of PyTorch has such.

    They spin for a while after each of PyTorch's own operations, and would take the cores from
    threads of the engine's own.
    """
    library = Path(torch.__file__).parent / "lib" / "libtorch_cpu.so"
    try:
        loaded = ctypes.CDLL(str(library), mode=os.RTLD_NOLOAD | os.RTLD_LAZY)
        parallel = ctypes.cast(loaded.GOMP_parallel, ctypes.c_void_p).value  # of what it links to
    except (OSError, AttributeError):  # another system, or a build with threads of another kind
        return
    _engine.use_openmp(parallel or 0)
