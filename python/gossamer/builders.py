# SPDX-License-Identifier: Apache-2.0
"""Matrices made from a description."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from numbers import Number
from typing import Any

import numpy as np

from .arrays import Array, adapter_of, host_adapter
from .construct import cast, check_shape, coo_array
from .containers import CSRArray, SparseArray
from .containers.format import check_format
from .dtypes import GIVE_DTYPE, is_complex, requested_dtype
from .structure import integer, on_diagonals


def eye(
    m: int, n: int | None = None, k: int = 0, dtype: Any = float, format: str = "csr"
) -> SparseArray:
    """Matrix of shape (m, n) with ones on the diagonal (i, i + k); n is m unless given.

    Raises
    ------
    TypeError
        For a dtype that is not supported, a shape as m, and a k that is no integer.
    ValueError
        For a wrong shape, or another format than "csr", "csc" and "coo".
    """
    if np.ndim(m) > 0:
        raise TypeError(f"eye: m = {m!r}, expected an integer; write eye(*shape) for a shape")
    return _eye("eye", (m, m if n is None else n), k, dtype, format)


def identity(n: int, dtype: Any = float, format: str = "csr") -> SparseArray:
    """Identity matrix of shape (n, n); errors as of `eye`."""
    return _eye("identity", (n, n), 0, dtype, format)


def diags(
    diagonals: Any,
    offsets: int | Sequence[int] = 0,
    shape: tuple[int, int] | None = None,
    format: str = "csr",
    dtype: Any = None,
) -> SparseArray:
    """Build a matrix from its diagonals.

    Parameters
    ----------
    diagonals
        Arrays of rank 1, one for each offset; just one array where offsets is an integer. One of
        length 1, or a number, is repeated along its diagonal where shape is given.
        Lists of Python's integers, which have no dtype, are taken as float64.
    offsets
        Diagonal k holds the elements (i, i + k).
    shape
        Unless given, the square that the first diagonal fits.
    format
        "csr", "csc" or "coo".
    dtype
        Cast the diagonals to it, arrays of integers too, which are refused without.

    Raises
    ------
    TypeError
        For a dtype that is not supported, and offsets that are no integers.
    ValueError
        For diagonals that do not fit, an offset twice, a wrong shape or another format.
    """
    check_format("diags", format)
    diagonals, offsets = _with_offsets(diagonals, offsets)
    arrays = adapter_of(diagonals[0]) or host_adapter()
    values = []
    for i, x in enumerate(diagonals):
        _, x = cast("diags", f"diags: diagonals[{i}]", x, dtype, GIVE_DTYPE)
        values.append(arrays.values(x, f"diags: diagonals[{i}]"))
    side = len(values[0]) + abs(offsets[0])
    m, n = check_shape("diags", (side, side) if shape is None else shape)
    described, count = [], 0
    for i, k in enumerate(offsets):
        length = max(0, min(m - max(-k, 0), n - max(k, 0)))
        if len(values[i]) not in (1, length):
            raise ValueError(
                f"diags: diagonals[{i}] has {len(values[i])} elements, expected {length} at "
                f"offset {k} in shape {(m, n)}"
            )
        if length > 0:
            described.append((k, count, int(len(values[i]) > 1)))
        count += len(values[i])
    if format == "csc":
        described = [(-k, first, step) for k, first, step in described]
    pattern, index_map = on_diagonals(
        (n, m) if format == "csc" else (m, n), sorted(described), count
    )
    data = arrays.freeze(arrays.gather(arrays.concatenate(values), index_map))
    csr = CSRArray(pattern, data, arrays)
    return csr.T if format == "csc" else csr.asformat(format)


def _with_offsets(diagonals: Any, offsets: Any) -> tuple[list[Any], list[int]]:
    """What `diags` was given, as lists: diagonals, and as many offsets that all differ."""
    if not isinstance(offsets, Sequence | np.ndarray):
        is_list = isinstance(diagonals, list | tuple) and len(diagonals) > 0
        if not is_list or isinstance(diagonals[0], Number):
            diagonals = [diagonals]
        offsets = [offsets]
    try:
        offsets = [operator.index(k) for k in offsets]
    except TypeError:
        raise TypeError(f"diags: offsets = {offsets!r}, expected integers") from None
    if len(set(offsets)) != len(offsets) or len(diagonals) != len(offsets):
        raise ValueError(
            f"diags: {len(diagonals)} diagonals at offsets {offsets}; "
            f"every diagonal needs an offset of its own"
        )
    if not offsets:
        raise ValueError("diags: there are no diagonals")
    return [_numbers(x) if _is_numbers(x) else x for x in diagonals], offsets


def _is_numbers(x: Any) -> bool:
    """Whether x is one of Python's numbers, or a list of them."""
    return all(isinstance(y, Number) for y in (x if isinstance(x, list | tuple) else [x]))


def _numbers(x: Any) -> Array:
    """Python's numbers as an array of rank 1; integers, which have no dtype there, as float64."""
    array = np.atleast_1d(np.asarray(x))
    return array.astype(float) if array.dtype.kind in "iu" else array


def random_array(
    shape: tuple[int, int],
    *,
    density: float = 0.01,
    format: str = "csr",
    dtype: Any = float,
    rng: np.random.Generator | int | None = None,
    data_sampler: Callable[[int], Array] | None = None,
    random_state: np.random.Generator | int | None = None,
) -> SparseArray:
    """Matrix with round(density * rows * columns) stored values at random positions.

    Parameters
    ----------
    density
        From 0 to 1. Every choice of that many positions is equally likely.
    rng
        Generator, or the seed of one.
    data_sampler
        Called with the number of values; by default they are uniform on [0, 1).
    random_state
        `rng`, by the name that SciPy gave it first.

    Raises
    ------
    TypeError
        For a dtype that is not supported, values that it does not hold, a generator of another
        kind, and both names of rng.
    ValueError
        For a density out of range, more than 2**63 - 1 positions, another format, or a
        data_sampler that returns other than that many values.
    """
    check_format("random_array", format)
    rows, cols = check_shape("random_array", shape)
    positions = rows * cols
    try:
        is_share = 0 <= density <= 1
    except (TypeError, ValueError):
        is_share = False
    if not is_share:
        raise ValueError(f"random_array: density = {density!r}, expected a number from 0 to 1")
    if positions >= 2**63:
        raise ValueError(f"random_array: shape = {shape}, expected up to 2**63 - 1 positions")
    if random_state is not None:
        if rng is not None:
            raise TypeError("random_array: rng and random_state are one argument; give rng")
        rng = random_state
    try:
        rng = np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        expected = "expected a numpy.random.Generator, or the seed of one"
        raise type(error)(f"random_array: rng = {rng!r}, {expected}: {error}") from None
    nnz = round(density * positions)
    try:
        np.empty(nnz, np.int64)  # NumPy's choice of more than there can be crashes
    except (MemoryError, ValueError):
        raise MemoryError(
            f"random_array: no memory for {nnz} positions, of shape = {shape} at density = "
            f"{density}"
        ) from None
    position = rng.choice(positions, nnz, replace=False, shuffle=False) if nnz else np.arange(0)
    position.sort()
    row, col = np.divmod(position, max(cols, 1))
    value_dtype = _value_dtype("random_array", dtype)
    data = np.asarray(rng.random(nnz) if data_sampler is None else data_sampler(nnz))
    if data.dtype.kind not in ("biufcV" if is_complex(value_dtype.name) else "biufV"):
        raise TypeError(
            f"random_array: data_sampler returned {data.dtype}, expected what dtype = "
            f"{value_dtype} holds"
        )
    if data.shape != (nnz,):
        raise ValueError(
            f"random_array: data_sampler returned shape {data.shape}, expected {(nnz,)}"
        )
    entries = data.astype(value_dtype), _coords(row, col, (rows, cols))
    return coo_array(entries, (rows, cols), copy=False).asformat(format)


def _eye(function: str, shape: tuple[int, int], k: int, dtype: Any, format: str) -> SparseArray:
    check_format(function, format)
    shape = check_shape(function, shape)
    k = integer(k, f"{function}: k")
    return diags([np.ones(1, _value_dtype(function, dtype))], [k], shape, format)


def _value_dtype(function: str, dtype: Any) -> np.dtype[Any]:
    """NumPy's dtype of a supported type; bfloat16 may be named."""
    name = requested_dtype(function, host_adapter(), dtype)
    made: np.dtype[Any] = host_adapter().empty((0,), name).dtype
    return made


def _coords(row: Any, col: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
    """Index arrays in the shortest dtype that fits the shape."""
    dtype = np.int32 if max(*shape, len(row)) < 2**31 else np.int64
    return row.astype(dtype), col.astype(dtype)
