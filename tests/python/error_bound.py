# SPDX-License-Identifier: Apache-2.0
"""The componentwise error bound that every product and sum is held to.

|ŷ − y| ≤ γ₍ₖ₊c₎ · (|A||x|) + u_out · |y| + underflow, with γₙ = n·u / (1 − n·u), u the unit
roundoff of the accumulator, u_out that of the result's dtype, and k the number of terms. The
reference y is summed in double precision, of 64-bit types in long double. A complex sum is two real
ones of 2k terms each.
"""

import math
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

#: Terms beside the row's own.
C = 2


@dataclass
class Reference:
    """Exact sums, sums of moduli, the same over finite terms only, and the number of terms."""

    value: Any
    scale: Any
    finite: Any
    terms: Any


def wide(dtype: np.dtype) -> np.dtype:
    """The dtype that references are computed in."""
    if dtype in (np.float64, np.complex128):
        return np.dtype(np.clongdouble if dtype.kind == "c" else np.longdouble)
    return np.dtype(np.complex128 if dtype.kind == "c" else np.float64)


def real(dtype: np.dtype) -> np.dtype:
    return np.empty(0, dtype).real.dtype


def accumulator(dtype: np.dtype) -> np.dtype:
    return np.dtype(np.float32) if dtype.itemsize == 2 else real(dtype)


def sum_terms(target, terms, count) -> Reference:
    """Sum the rows of terms (of a wide dtype) that belong to one of `count` targets."""
    shape = (count, *terms.shape[1:])
    flat = terms.reshape(len(terms), math.prod(shape[1:]))
    value = np.zeros((count, flat.shape[1]), terms.dtype)
    scale = np.zeros_like(value.real)
    finite = np.zeros_like(scale)
    for k in range(flat.shape[1]):
        modulus = np.abs(flat[:, k])
        with np.errstate(all="ignore"):
            np.add.at(value[:, k], target, flat[:, k])
        np.add.at(scale[:, k], target, modulus)
        np.add.at(finite[:, k], target, np.where(np.isfinite(modulus), modulus, 0))
    number = np.bincount(target, minlength=count).reshape(-1, *[1] * (len(shape) - 1))
    return Reference(*(x.reshape(shape) for x in (value, scale, finite)), number)


def assert_within(result, reference: Reference, dtype: np.dtype, extra=0) -> None:
    """Hold a result of operands of a dtype to the bound.

    extra is the modulus of what was rounded to the result's dtype on the way.

    Where an operand is not finite the result must not be either, and of a real dtype must be the
    same infinity or a NaN. Where finite terms may overflow, nothing can be said.
    """
    result = np.asarray(result)
    assert result.shape == reference.value.shape
    out = np.finfo(real(result.dtype)) if result.dtype != BFLOAT16 else ml_dtypes.finfo(BFLOAT16)
    unit = np.finfo(accumulator(dtype))
    n = reference.terms * (2 if dtype.kind == "c" else 1) + C
    u = wide(dtype).type(float(unit.eps)).real / 2
    gamma = n * u / (1 - n * u)
    with np.errstate(all="ignore"):
        bound = (
            gamma * reference.scale
            + (np.abs(reference.value) + extra) * (float(out.eps) / 2)
            + n * unit.smallest_subnormal
            + float(out.smallest_subnormal)
        )
        got = result.astype(reference.value.dtype)
        limit = min(float(unit.max), float(out.max)) * (1 - 2.0**-7)
        regular = reference.scale <= limit
        for part in (np.real, np.imag):
            error = np.abs(part(got) - part(reference.value))
            assert (error <= bound)[regular].all(), (
                f"error {np.nanmax((error / bound)[regular])} bounds"
            )
        wild = ~np.isfinite(reference.scale)
        assert not np.isfinite(got[wild]).any()
        if dtype.kind != "c":
            settled = wild & (reference.finite <= limit)
            np.testing.assert_array_equal(got[settled], reference.value[settled])
