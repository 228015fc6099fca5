# SPDX-License-Identifier: Apache-2.0
"""The element types that Gossamer computes with, by their NumPy names, and how they mix."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .arrays import Adapter

#: Supported value dtypes: the list that drives the engine's dispatch (gossamer/dtype.hpp).
VALUE_DTYPES = ("float16", "bfloat16", "float32", "float64", "complex64", "complex128")

#: Advice of functions that cast by a parameter ``dtype``.
GIVE_DTYPE = "give dtype=, as 'float32'"

#: What NumPy's names of dtypes that hold no numbers begin with.
_NO_NUMBERS = ("bytes", "datetime", "str", "timedelta", "void")

#: Bits of the real part.
_PRECISION = {
    "float16": 16,
    "bfloat16": 16,
    "float32": 32,
    "float64": 64,
    "complex64": 32,
    "complex128": 64,
}
_COMPLEX = {"float32": "complex64", "float64": "complex128"}
_REAL = {"complex64": "float32", "complex128": "float64"}


def is_complex(name: str) -> bool:
    """Whether the dtype is complex."""
    return name in _REAL


def real_dtype(name: str) -> str:
    """Dtype of the absolute value: float32 for complex64, float64 for complex128, else itself."""
    return _REAL.get(name, name)


def accumulator(name: str) -> str:
    """Dtype that sums are computed in: float32 for the 16-bit dtypes, else itself."""
    return "float32" if _PRECISION[name] == 16 else name


def promote(a: str, b: str) -> str:
    """Dtype of a product or sum of two value dtypes.

    NumPy's rule among floating and complex types; the two 16-bit dtypes meet in float32.
    """
    if a == b:
        return a
    precision = max(32, _PRECISION[a], _PRECISION[b])
    real = "float32" if precision == 32 else "float64"
    return _COMPLEX[real] if is_complex(a) or is_complex(b) else real


@cache
def numpy_name(dtype: Any) -> str:
    """Name of a dtype of NumPy, which puts it together from its parts each time."""
    name: str = np.dtype(dtype).name
    return name


def dtype_name(dtype: Any) -> str:
    """Name of a dtype of NumPy or of another framework, which says it after its last dot."""
    if isinstance(dtype, np.dtype | type):
        return numpy_name(dtype)
    return str(dtype).rpartition(".")[2]


def requested_dtype(function: str, arrays: Adapter, dtype: Any) -> str:
    """Return the NumPy name of a dtype that a function of that name was asked for.

    Raises TypeError for what is no dtype of the framework, and for one that is not supported.
    """
    try:
        name = arrays.dtype_name(dtype)
    except TypeError:
        name = repr(dtype)
    if name not in VALUE_DTYPES:
        raise TypeError(
            f"{function}: dtype = {name}, expected one of {', '.join(VALUE_DTYPES)}, by name or "
            f"as a dtype of the framework that holds the values"
        )
    return name


def check_value_dtype(
    name: str,
    argument: str,
    supported: tuple[str, ...] | None = VALUE_DTYPES,
    how: str | None = None,
) -> None:
    """Raise TypeError unless the dtype is supported, with advice how to cast.

    None supports every dtype of numbers.
    """
    if supported is not None and name in supported:
        return
    if name.startswith(_NO_NUMBERS):
        raise TypeError(f"{argument} has dtype {name}, which holds no numbers")
    if supported is None:
        return
    common = ("complex64", "complex128") if name.startswith("complex") else ("float32", "float64")
    wide = " or ".join(wide for wide in common if wide in supported)
    if wide:
        advice = f"cast it, for instance to {wide}"
    else:
        advice = "take real and imaginary part apart; sparse arrays, as CSR, may be complex"
    raise TypeError(
        f"{argument} has dtype {name}, expected one of {', '.join(supported)}; "
        f"nothing is cast silently: {how or advice}"
    )
