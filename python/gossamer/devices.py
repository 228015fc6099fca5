# SPDX-License-Identifier: Apache-2.0
"""Where arrays are, and what this build and this machine have."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _engine
from .cuda import default_memory, engine, unavailable


@dataclass(frozen=True)
class Device:
    """A device by its type, "cpu" or "gpu", and its index."""

    type: str
    index: int = 0

    def __repr__(self) -> str:
        return f"Device({self.type}, {self.index})"


CPU = Device("cpu")

_current = CPU


def named_device(device: Device | str, otherwise: str = "") -> Device:
    """Return the device of that name, once it is there; raises ValueError and RuntimeError.

    ``otherwise`` says which other names the caller takes.
    """
    wanted = _parsed(device, otherwise)
    if wanted.type == "gpu":
        reason = unavailable()
        if reason:
            raise RuntimeError(f"device = {device!r}: {reason}; stay on the CPU with use_cpu()")
        count = engine().device_count()
        if wanted.index >= count:
            raise RuntimeError(f"device = {device!r}: this machine has {count} GPUs, from 0 on")
    return wanted


def _parsed(device: Device | str, otherwise: str = "") -> Device:
    wanted = device
    if type(device).__module__ == "torch":  # its own devices
        device = str(device)
    if isinstance(device, str):
        kind, _, index = device.partition(":")
        if kind == "cpu" and not index:
            wanted = CPU
        elif kind in ("gpu", "cuda") and (index.isdigit() or device == kind):
            wanted = Device("gpu", int(index or 0))
    if not isinstance(wanted, Device) or not _is_named(wanted):
        raise ValueError(
            f"device = {device!r}, expected 'cpu', 'gpu' or a GPU's index as 'gpu:0'{otherwise}"
        )
    return wanted


def _is_named(device: Device) -> bool:
    """Whether there may be such a device: a CPU, which is one, or a GPU of any index."""
    if device.type not in ("cpu", "gpu") or not isinstance(device.index, int | np.integer):
        return False
    return 0 <= device.index < (1 if device.type == "cpu" else sys.maxsize)


def current_device() -> Device:
    """Where arrays that are built from host data go."""
    return _current


def use_cpu() -> Device:
    """Put arrays that are built from host data into the CPU's memory from now on.

    Where MLX is imported, the CPU becomes its default device too.
    """
    return use_device(CPU)


def use_gpu() -> Device:
    """Put arrays that are built from host data into the memory of the first GPU from now on.

    They become arrays of CuPy or PyTorch, whichever is there. Where MLX is imported and has a GPU,
    as on Apple's processors, that becomes its default device; then no other GPU is asked for, and
    arrays of NumPy stay where they are.

    Raises
    ------
    RuntimeError
        If this build or this machine lacks something; the message says what.
    """
    return use_device("gpu")


def use_device(device: Device | str) -> Device:
    """`use_cpu` or `use_gpu`, by a `Device` or by a name such as "cpu", "gpu" or "gpu:1".

    Raises
    ------
    ValueError
        For any other name.
    RuntimeError
        As `use_gpu` does.
    """
    global _current
    wanted = _parsed(device)
    mx = sys.modules.get("mlx.core")
    has_mlx = mx is not None and mx.is_available(getattr(mx, wanted.type))
    if wanted.type == "gpu" and not (has_mlx and unavailable()):
        named_device(wanted)
        default_memory()
        _current = wanted
    else:
        _current = CPU
    if mx is not None and has_mlx:
        mx.set_default_device(mx.Device(getattr(mx, wanted.type), wanted.index))
    return wanted


def show_config() -> dict[str, Any]:
    """Print what was built and what this machine has, and return it as a dictionary."""
    from importlib.metadata import version
    from importlib.util import find_spec

    frameworks = ("numpy", "scipy", "torch", "cupy", "mlx", "jax")
    config = {
        "gossamer": version("gossamer"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": _engine.num_threads(),
        "simd_target": _engine.simd_target(),
        "supported_simd_targets": list(_engine.supported_simd_targets()),
        "cuda": _gpus(),
        "jax": "jax.ffi" if _engine.xla_handlers() else "callbacks",
        "frameworks": [name for name in frameworks if name in sys.modules or find_spec(name)],
    }
    for key, value in config.items():
        text = ", ".join(value) if isinstance(value, list) else value
        print(f"{key + ':':24}{text}")
    return config


def _gpus() -> list[str] | str:
    """Names of the GPUs, or why there are none."""
    reason = unavailable()
    if reason:
        return reason
    return [engine().device_name(index) for index in range(engine().device_count())]
