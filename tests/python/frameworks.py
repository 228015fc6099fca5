# SPDX-License-Identifier: Apache-2.0
"""What the shared tests ask of an array framework; one class for each.

A framework that is not installed is skipped with that reason.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest


class Framework(ABC):
    """Arrays and transformations of functions of one array, real-valued where a gradient is."""

    name: str
    dtypes: tuple[str, ...]

    @abstractmethod
    def array(self, x: Any) -> Any:
        """An array of the framework from NumPy's."""

    @abstractmethod
    def numpy(self, x: Any) -> Any:
        """A NumPy array from one of the framework."""

    @abstractmethod
    def gradient(self, function: Callable[[Any], Any], x: Any) -> Any:
        """Gradient of a scalar function at x."""

    @abstractmethod
    def forward(self, function: Callable[[Any], Any], x: Any, tangent: Any) -> Any:
        """Derivative at x along the tangent, in forward mode."""

    @abstractmethod
    def jacobian(self, function: Callable[[Any], Any], x: Any) -> Any:
        """Jacobian of a function of rank 1 to rank 1, all rows at once in reverse mode."""

    @abstractmethod
    def batched(self, function: Callable[[Any], Any], x: Any) -> Any:
        """The function of each x[i], vectorized."""

    @abstractmethod
    def compiled(self, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The function as the framework's compiler makes it."""


class Torch(Framework):
    name = "torch"
    dtypes = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

    def __init__(self) -> None:
        self.torch = pytest.importorskip("torch", reason="PyTorch is not installed")

    def array(self, x):
        x = np.ascontiguousarray(x)
        if x.dtype == ml_dtypes.bfloat16:
            return self.torch.from_numpy(x.view(np.uint16)).view(self.torch.bfloat16)
        return self.torch.from_numpy(x.copy())

    def numpy(self, x):
        x = x.detach().resolve_conj()
        if x.dtype is self.torch.bfloat16:
            return x.view(self.torch.uint16).numpy().view(ml_dtypes.bfloat16)
        return x.numpy()

    def gradient(self, function, x):
        x = x if x.requires_grad else x.detach().requires_grad_()
        (gradient,) = self.torch.autograd.grad(function(x), x, create_graph=True)
        return gradient

    def forward(self, function, x, tangent):
        return self.torch.func.jvp(function, (x,), (tangent,))[1]

    def jacobian(self, function, x):
        return self.torch.func.jacrev(function)(x)

    def batched(self, function, x):
        return self.torch.func.vmap(function)(x)

    def compiled(self, function):
        self.torch.compiler.reset()
        return self.torch.compile(function, fullgraph=True, backend="aot_eager")


class MLX(Framework):
    name = "mlx"
    dtypes = ("float16", "bfloat16", "float32", "float64", "complex64")

    def __init__(self) -> None:
        self.mx = pytest.importorskip("mlx.core", reason="MLX is not installed")

    def array(self, x):
        if x.dtype == ml_dtypes.bfloat16:
            return self.mx.array(x.view(np.uint16)).view(self.mx.bfloat16)
        wide = {"float64": self.mx.float64}.get(x.dtype.name)
        return self.mx.array(x) if wide is None else self.mx.array(x, dtype=wide)

    def numpy(self, x):
        if x.dtype == self.mx.bfloat16:
            return np.asarray(x.view(self.mx.uint16)).view(ml_dtypes.bfloat16)
        return np.asarray(x)

    def gradient(self, function, x):
        return self.mx.grad(function)(x)

    def forward(self, function, x, tangent):
        return self.mx.jvp(function, [x], [tangent])[1][0]

    def jacobian(self, function, x):
        rows = self.mx.eye(function(x).shape[0], dtype=x.dtype)
        return self.mx.vmap(lambda row: self.mx.vjp(function, [x], [row])[1][0])(rows)

    def batched(self, function, x):
        return self.mx.vmap(function)(x)

    def compiled(self, function):
        return self.mx.compile(function)


class JAX(Framework):
    name = "jax"
    dtypes = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

    def __init__(self) -> None:
        self.jax = pytest.importorskip("jax", reason="JAX is not installed")
        self.jax.config.update("jax_enable_x64", True)

    def array(self, x):
        return self.jax.numpy.asarray(x)

    def numpy(self, x):
        return np.asarray(x)

    def gradient(self, function, x):
        return self.jax.grad(function)(x)

    def forward(self, function, x, tangent):
        return self.jax.jvp(function, (x,), (tangent,))[1]

    def jacobian(self, function, x):
        return self.jax.jacrev(function)(x)

    def batched(self, function, x):
        return self.jax.vmap(function)(x)

    def compiled(self, function):
        return self.jax.jit(function)


FRAMEWORKS = {framework.name: framework for framework in (Torch, MLX, JAX)}
every_framework = pytest.mark.parametrize("framework", FRAMEWORKS, indirect=True)
