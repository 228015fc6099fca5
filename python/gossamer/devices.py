# SPDX-License-Identifier: Apache-2.0
"""Where arrays are, and what this build and this machine have."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _engine


@dataclass(frozen=True)
class Device:
    """A device by its type, "cpu" or "gpu", and its index."""

    type: str
    index: int = 0

    def __repr__(self) -> str:
        return f"Device({self.type}, {self.index})"


CPU = Device("cpu")


def use_cpu() -> Device:
    """Put arrays that are built from host data into the CPU's memory from now on."""
    return CPU


def use_gpu() -> Device:
    """Put arrays that are built from host data into the memory of the first GPU from now on.

    Raises
    ------
    RuntimeError
        If this build or this machine lacks something; the message says what.
    """
    raise RuntimeError(
        "use_gpu: this build of Gossamer has no CUDA library; stay on the CPU with use_cpu()"
    )


def use_device(device: Device | str) -> Device:
    """`use_cpu` or `use_gpu`, by a `Device` or by "cpu" or "gpu".

    Raises
    ------
    ValueError
        For any other name.
    RuntimeError
        As `use_gpu` does.
    """
    wanted = Device(device) if isinstance(device, str) else device
    if wanted == CPU:
        return use_cpu()
    if wanted == Device("gpu"):
        return use_gpu()
    raise ValueError(f"use_device: device = {device!r}, expected 'cpu' or 'gpu'")


def show_config() -> dict[str, Any]:
    """Print what was built and what this machine has, and return it as a dictionary."""
    from importlib.metadata import version
    from importlib.util import find_spec

    frameworks = ("numpy", "scipy", "torch", "mlx", "jax")
    config = {
        "gossamer": version("gossamer"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": _engine.num_threads(),
        "simd_target": _engine.simd_target(),
        "supported_simd_targets": list(_engine.supported_simd_targets()),
        "cuda": False,
        "frameworks": [name for name in frameworks if name in sys.modules or find_spec(name)],
    }
    for key, value in config.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{key + ':':24}{text}")
    return config
