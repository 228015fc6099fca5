# SPDX-License-Identifier: Apache-2.0
"""Functions that make structure, inside a framework's compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ..structure.registry import pin_equal

F = TypeVar("F", bound=Callable[..., Any])


def structural(function: F) -> F:
    """Let a compiler that records Python code run a function as it is, and record its operations.

    What computes positions cannot be recorded; what happens to the values can. The function takes
    a container first, and returns a container or an array.
    """

    @wraps(function)
    def run(*arguments: Any, **options: Any) -> Any:
        result = function(*arguments, **options)
        structure = getattr(result, "_structure", None)
        if structure is None:
            return result
        return result._of(pin_equal(structure), result.data, result._arrays)

    @wraps(function)
    def either(a: Any, *arguments: Any, **options: Any) -> Any:
        if a._arrays.is_tracing():
            return a._arrays.opaque(run)(a, *arguments, **options)
        return function(a, *arguments, **options)

    return either  # type: ignore[return-value]
