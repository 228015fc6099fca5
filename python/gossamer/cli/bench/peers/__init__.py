# SPDX-License-Identifier: Apache-2.0
"""The libraries that the benchmark compares, each behind the same six calls."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from gossamer.cli.bench.peers.library import Library

# In the order of a round: the module and the class of each.
_LIBRARIES = {
    "gossamer": ("gossamer_library", "Gossamer"),
    "scipy": ("scipy_library", "SciPy"),
    "mkl": ("mkl_library", "MKL"),
    "mkl_ordered": ("mkl_library", "OrderedMKL"),
    "torch": ("torch_library", "PyTorch"),
    "graphblas": ("graphblas_library", "GraphBLAS"),
    "mlx": ("mlx_library", "MLXSparse"),
}
PEERS = tuple(name for name in _LIBRARIES if name != "gossamer")


def open_libraries(peers: Sequence[str]) -> tuple[list[Library], list[str]]:
    """Gossamer and those of ``peers`` that can be imported, and a note for each that cannot.

    Raises
    ------
    ValueError
        If a name is not one of ``PEERS``.
    """
    unknown = [name for name in peers if name not in PEERS]
    if unknown:
        raise ValueError(f"--peers: {unknown[0]!r} is not one of {', '.join(PEERS)}")
    libraries: list[Library] = []
    notes = []
    for name, (module_name, class_name) in _LIBRARIES.items():
        if name != "gossamer" and name not in peers:
            continue
        module = importlib.import_module(f"gossamer.cli.bench.peers.{module_name}")
        try:
            libraries.append(getattr(module, class_name)())
        except (ImportError, OSError) as error:
            notes.append(f"{name} was left out: {error}")
    return libraries, notes


__all__ = ["PEERS", "Library", "open_libraries"]
