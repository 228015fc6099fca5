# SPDX-License-Identifier: Apache-2.0
"""One adapter for each array framework, found by looking at ``sys.modules``.

No framework is imported here: an array of a framework that was never imported cannot exist.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import Any

from .adapter import Adapter, Array

#: Root module of a framework, its array type in it, and the module that adapts it.
_FRAMEWORKS = (
    ("numpy", "ndarray", "gossamer.arrays.numpy"),
    ("torch", "Tensor", "gossamer.arrays.torch"),
    ("cupy", "ndarray", "gossamer.arrays.cupy"),
    ("mlx.core", "array", "gossamer.arrays.mlx"),
    ("jax", "Array", "gossamer.arrays.jax"),
)

#: Names that `named_adapter` knows, as errors list them.
FRAMEWORKS = "'numpy', 'torch', 'cupy', 'mlx' or 'jax'"

#: How an array of each framework becomes NumPy's, and how that becomes one of the framework.
_TO_NUMPY = {
    "numpy": "{}",
    "torch": "{}.numpy(force=True)",
    "cupy": "{}.get()",
    "mlx": "numpy.asarray({})",
    "jax": "numpy.asarray({})",
}
_FROM_NUMPY = {
    "numpy": "{}",
    "torch": "torch.from_numpy({})",
    "cupy": "cupy.asarray({})",
    "mlx": "mlx.core.array({})",
    "jax": "jax.numpy.asarray({})",
}

# For CuPy the package depends on CUDA's version.
_INSTALL = {name: f"pip install {name}" for name in _FROM_NUMPY} | {
    "cupy": "pip install cupy-cuda12x, of your CUDA's version"
}

_adapters: dict[type, Adapter] = {}


def adapter_of(array: Any) -> Adapter | None:
    """Adapter of the framework that an array belongs to, or None if it is no array."""
    kind = type(array)
    if kind not in _adapters:
        for root, name, module in _FRAMEWORKS:
            if root in sys.modules and isinstance(array, getattr(sys.modules[root], name)):
                _adapters[kind] = import_module(module).adapter
                break
    return _adapters.get(kind)


def framework_of(array: Any) -> str:
    """Name, one of FRAMEWORKS, of the framework that an array belongs to; "" if it is no array."""
    for root, name, _ in _FRAMEWORKS:
        if root in sys.modules and isinstance(array, getattr(sys.modules[root], name)):
            return root.partition(".")[0]
    return ""


def of_another_framework(argument: str, x: Any, name: str, kept: Any) -> TypeError:
    """Error for a dense x beside a container of that name, which keeps another framework's arrays.

    It says how to convert either.
    """
    source, target = framework_of(x), framework_of(kept)
    given = argument.rpartition(": ")[2]
    converted = _FROM_NUMPY[target].format(_TO_NUMPY[source].format(given))
    return TypeError(
        f"{argument} is a {type(x).__module__}.{type(x).__qualname__} and {name} holds "
        f"{type(kept).__module__} arrays; convert one of them: {given} by {converted}, or {name} "
        f"by {name}.to({source!r})"
    )


def named_adapter(framework: Any) -> Adapter | None:
    """Adapter of one of FRAMEWORKS, or None for what is no such name.

    Raises ImportError if the framework is not installed.
    """
    for root, _, module in _FRAMEWORKS:
        if root.partition(".")[0] == framework:
            try:
                adapter: Adapter = import_module(module).adapter
            except ModuleNotFoundError as error:
                missing = (error.name or framework).partition(".")[0]
                raise ImportError(
                    f"{framework} arrays need {missing}: {_INSTALL[framework]}"
                ) from error
            return adapter
    return None


@cache
def host_adapter() -> Adapter:
    """Adapter of what is no array yet, such as a list: NumPy's."""
    adapter: Adapter = import_module("gossamer.arrays.numpy").adapter
    return adapter


def to_host(part: Any) -> Any:
    """Return an array of any framework as NumPy's, without its gradient."""
    adapter = adapter_of(part)
    assert adapter is not None
    return adapter.tonumpy(part)


__all__ = [
    "FRAMEWORKS",
    "Adapter",
    "Array",
    "adapter_of",
    "framework_of",
    "host_adapter",
    "named_adapter",
    "of_another_framework",
    "to_host",
]
