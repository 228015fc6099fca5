# SPDX-License-Identifier: Apache-2.0
"""Value types of packed matrices, and the dense types that they are made from and multiply."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..dtypes import GIVE_DTYPE, check_value_dtype, dtype_name, promote

#: Value types by the engine's names; the 8-bit ones have a scale for each row.
PACKED_DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")
#: Types of dense sources, operands and results.
DENSE_DTYPES = ("float32", "float16", "bfloat16")
#: What the names of dtypes begin with that float32 holds the range of.
_CAST = ("bool", "int", "uint", "float8")

_SCALED = ("int8", "float8_e4m3")
# What frameworks and checkpoints call the one that has no infinities.
_FLOAT8 = ("float8_e4m3fn", "float8", "fp8", "fp8_e4m3")
_ML_DTYPES = {"bfloat16": "bfloat16", "float8_e4m3": "float8_e4m3fn"}


def has_scales(name: str) -> bool:
    """Whether each row of such values has a scale."""
    return name in _SCALED


def product_dtype(values: str, x: str) -> str:
    """Dtype of the product of packed values with an operand, all by name."""
    return x if has_scales(values) else promote(values, x)


def numpy_dtype(name: str) -> np.dtype[Any]:
    """NumPy's dtype for an engine's name; ml_dtypes is imported where it has it."""
    if name in _ML_DTYPES:
        import ml_dtypes

        named: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _ML_DTYPES[name]))
        return named
    return np.dtype(name)


def packed_dtype_name(dtype: Any, argument: str) -> str:
    """Engine's name of a value type given by name, as a dtype or as a scalar type.

    Raises
    ------
    TypeError
        If packed matrices cannot hold it.
    """
    name = dtype_name(dtype)
    if name in _FLOAT8:
        return "float8_e4m3"
    # ml_dtypes' own float8_e4m3 has infinities: another encoding under the engine's name.
    if name not in PACKED_DTYPES or (name == "float8_e4m3" and not isinstance(dtype, str)):
        expected = f"{', '.join(PACKED_DTYPES)} or fp8"
        raise TypeError(f"{argument} = {dtype!r}, expected one of {expected}")
    return name


def check_dense_dtype(name: str, argument: str) -> None:
    """Raise TypeError with advice unless a packed product takes the dtype."""
    check_value_dtype(name, argument, DENSE_DTYPES)


def check_source_dtype(name: str, argument: str, dtype: Any) -> None:
    """Raise TypeError unless a matrix of that dtype is packed, into another if one is given."""
    is_cast = name == "float64" or name.startswith(_CAST)
    if dtype is None or not is_cast:
        advice = f"{GIVE_DTYPE}, or cast it" if is_cast else None
        check_value_dtype(name, argument, DENSE_DTYPES, advice)


def bits(array: Any) -> Any:
    """View an array as the engine takes it: types that NumPy does not know as their bits."""
    if array.dtype.kind in "fi":
        return array
    return array.view(np.uint16 if array.itemsize == 2 else np.uint8)
