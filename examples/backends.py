# SPDX-License-Identifier: Apache-2.0
"""The array frameworks that the examples run on, by the few functions that they need."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Backend:
    """Arrays of one framework.

    Attributes
    ----------
    array, numpy
        From a NumPy array and to one.
    gradient
        Gradient of a scalar function at an array, or None where the framework has none.
    """

    array: Callable[[Any], Any]
    numpy: Callable[[Any], Any]
    gradient: Callable[[Callable[[Any], Any], Any], Any] | None


def _numpy():
    return Backend(np.asarray, np.asarray, None)


def _torch():
    torch = importlib.import_module("torch")

    def gradient(function, x):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]

    return Backend(torch.from_numpy, lambda x: x.detach().numpy(), gradient)


def _mlx():
    mx = importlib.import_module("mlx.core")

    def array(x):
        return mx.array(x, dtype=mx.float64) if x.dtype == np.float64 else mx.array(x)

    return Backend(array, np.asarray, lambda function, x: mx.grad(function)(x))


def _jax():
    jax = importlib.import_module("jax")
    jax.config.update("jax_enable_x64", True)
    return Backend(jax.numpy.asarray, np.asarray, lambda function, x: jax.grad(function)(x))


BACKENDS = {"numpy": _numpy, "torch": _torch, "mlx": _mlx, "jax": _jax}


def load_backend(name):
    """Return the backend of that name; raises ImportError if its framework is not installed."""
    return BACKENDS[name]()
