# SPDX-License-Identifier: Apache-2.0
"""The most memory that was in use, and what a model takes."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from ..nn import PackedLinear

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# Writing 5 there sets the peak of the resident memory to what is resident now: proc(5).
_RESET_PEAK = "5"

# Steps take the same time with 4 MiB as with cuBLAS's 32, packed and dense, in batches of 1, 8 and
# 32: bench/results/h200/cublas-workspace.json. There ":4096:1" are the 4 MiB.
_WORKSPACE = 4 << 20
# PyTorch 2.11 reads the variable at every product; 2.13 once, and has functions for the size.
_WORKSPACE_CONFIG = "CUBLAS_WORKSPACE_CONFIG"
_WORKSPACE_SIZES = "cublas_workspace_size", "cublaslt_workspace_size"


def reset_peak(device: torch.device) -> None:
    """Begin a new measurement for `peak_bytes`."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return


def peak_bytes(device: torch.device) -> int | None:
    """Most memory in use since `reset_peak`.

    On a GPU what PyTorch allocated; on the CPU what was resident of the whole process, None where
    the system does not tell.
    """
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        found = re.search(r"^VmHWM:\s*(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def drop_workspaces() -> None:
    """Free what cuBLAS has for each stream, 32 MiB on Hopper; its next product makes it anew.

    A graph reads what its stream had before the capture, so none may be captured on such a stream.
    """
    torch._C._cuda_clearCublasWorkspaces()


@contextmanager
def own_workspaces() -> Iterator[None]:
    """Let products of the body have workspaces of cuBLAS alone, of 4 MiB."""
    drop_workspaces()
    try:
        with _small_workspaces():
            yield
    finally:
        drop_workspaces()


@contextmanager
def captured(device: torch.device) -> Iterator[torch.cuda.CUDAGraph]:
    """Capture what the body does on a GPU in the graph that it is given.

    On a stream of that GPU: PyTorch's own belongs to the one on which the process captured first,
    and a graph of work on another stays empty without an error. cuBLAS's workspaces are in the
    graph's own memory, and its alone: PyTorch would let all later graphs use them, too, so that no
    two could be replayed at once.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream(device)
    with own_workspaces(), torch.cuda.device(device), torch.cuda.graph(graph, stream=stream):
        yield graph


@contextmanager
def _small_workspaces() -> Iterator[None]:
    """Let cuBLAS ask for workspaces of 4 MiB, unless the user has said of what size."""
    if _WORKSPACE_CONFIG in os.environ:
        yield
        return
    blas = torch.backends.cuda
    if not all(hasattr(blas, name) for name in _WORKSPACE_SIZES):
        os.environ[_WORKSPACE_CONFIG] = f":{_WORKSPACE >> 10}:1"
        try:
            yield
        finally:
            os.environ.pop(_WORKSPACE_CONFIG, None)  # another thread may have been before
        return
    sizes = [getattr(blas, name) for name in _WORKSPACE_SIZES]
    before = [size() for size in sizes]
    for size in sizes:
        size(_WORKSPACE)
    try:
        yield
    finally:
        for size, nbytes in zip(sizes, before, strict=True):
            size(nbytes)


def model_bytes(model: Any) -> int:
    """Bytes of a model's parameters and buffers, as they are kept; shared ones are counted once."""
    packed = [layer for layer in model.modules() if isinstance(layer, PackedLinear)]
    counted = {id(tensor) for layer in packed for tensor in layer.buffers(recurse=False)}
    tensors = {id(tensor): tensor for tensor in (*model.parameters(), *model.buffers())}
    rest = sum(int(tensor.nbytes) for key, tensor in tensors.items() if key not in counted)
    return rest + sum(layer.nbytes for layer in packed)
