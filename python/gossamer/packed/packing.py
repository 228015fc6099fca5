# SPDX-License-Identifier: Apache-2.0
"""Packs dense and sparse matrices."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import _engine
from ..arrays import Adapter, adapter_of, host_adapter
from ..construct import check_not_tracing, check_threshold
from ..containers import SparseArray
from ..cuda import Memory, memory_of
from ..devices import current_device
from ..dtypes import VALUE_DTYPES, numpy_name
from ..scipy_interop import is_scipy_sparse, take_over
from ..structure import Pattern, freeze
from .array import PackedArray
from .dense import DenseStorage
from .dtypes import (
    DENSE_DTYPES,
    bits,
    check_source_dtype,
    has_scales,
    numpy_dtype,
    packed_dtype_name,
)
from .selection import DENSE_VALUES, FORMATS, PACKED_FORMATS, choose_format, offset_dtype
from .storage import PackedStorage, Storage

#: Least modulus that rounds to infinity: the largest number and half a unit in its last place.
_ROUNDED_TO_INFINITY = {
    "float32": (2 - 2.0**-24) * 2.0**127,
    "float16": 65520.0,
    "bfloat16": (2 - 2.0**-8) * 2.0**127,
}


class _Source(NamedTuple):
    """A matrix to pack, as the first arguments of the engine's functions, and these functions.

    Attributes
    ----------
    values, pattern
        All elements, or those at the positions of the pattern.
    by_columns
        The pattern is that of the transpose.
    """

    arrays: Adapter
    shape: tuple[int, int]
    values: Any
    pattern: Pattern | None
    by_columns: bool
    arguments: tuple[Any, ...]
    dtype_name: str
    count: Any
    find_scales: Any
    pack: Any


def compress(
    W: Any, format: str = "auto", dtype: Any = None, threshold: float = 0.0, scale: Any = None
) -> PackedArray:
    """Pack a matrix of which 5 to 90% is nonzero: smaller than dense and CSR.

    Parameters
    ----------
    W
        Matrix of float32, float16 or bfloat16: a dense array of any strides, or CSR, CSC, COO, also
        SciPy's, or a PackedArray. With ``dtype`` also of float64, float8, integers or booleans,
        which are rounded to float32 first.
    format
        "bitmap", "gap4", "gap8" or "dense". "auto" counts the bytes of each exactly, in one pass,
        and takes the smallest (the fastest of those within 2% of it); float32 stays "dense" where
        nothing is smaller. ``P.format`` and ``repr(P)`` tell which.
    dtype
        Type of the stored values: float32, float16, bfloat16, int8 or float8_e4m3 (as ml_dtypes'
        float8_e4m3fn); by default W's. Values are rounded to the nearest, ties to even.
    threshold
        Elements of larger modulus are kept, and every NaN.
    scale
        For the 8-bit dtypes: what a stored 1 means, one number or one for each row, positive.
        Values beyond the dtype's range saturate. By default each row's largest modulus over the
        dtype's largest value.

    Returns
    -------
    PackedArray

    Raises
    ------
    TypeError
        If W's dtype is another and no dtype is given (nothing is cast silently), if W is complex,
        or dtype is not supported.
    ValueError
        For another rank than 2, an unknown format, a negative threshold, a scale that does not fit,
        infinite and NaN values where the dtype is an 8-bit one, or a number that the dtype would
        round to infinity.

    Examples
    --------
    >>> P = compress(np.eye(256, dtype=np.float32))
    >>> P.format, P.nbytes
    ('gap8', 2308)
    """
    if format not in ("auto", *FORMATS):
        raise ValueError(f"compress: format = {format!r}, expected auto, {', '.join(FORMATS)}")
    threshold = check_threshold("compress", threshold)
    check_not_tracing("compress", adapter_of(W) or host_adapter())
    W = readable(W, dtype)
    memory = memory_of(W)
    if memory is not None:
        return _compress_on_device(memory, W, format, dtype, threshold, scale)
    source = _source(W)
    dtype_name = _value_type(format, source.dtype_name, dtype)
    rows, cols = source.shape
    counts = np.empty((len(PACKED_FORMATS), rows), np.int64)
    source.count(*source.arguments, threshold, counts.reshape(-1))
    slots = dict(zip(PACKED_FORMATS, counts.sum(axis=1).tolist(), strict=True))
    if format == "auto":
        format = choose_format(dtype_name, source.shape, slots)
    scales = _scales(source, dtype_name, threshold, scale)

    packed_as = "bitmap" if format == "dense" else format
    row_offsets = np.zeros(rows + 1, offset_dtype(source.shape, slots[packed_as]))
    np.cumsum(counts[PACKED_FORMATS.index(packed_as)], out=row_offsets[1:])
    lengths = _engine.packed_layout(packed_as, rows, cols, slots[packed_as])
    values = np.empty(lengths[0], numpy_dtype(dtype_name))
    positions = np.empty(lengths[1], np.uint8)
    source.pack(
        *source.arguments, threshold, packed_as, dtype_name, row_offsets, bits(values), positions,
        scales,
    )  # fmt: skip
    if _is_narrowed(source.dtype_name, dtype_name) and np.isinf(values).any():
        check_range(source.values, dtype_name, threshold, source.pattern, source.by_columns)
    for part in (values, positions, row_offsets):
        part.flags.writeable = False
    storage: Storage = PackedStorage(
        packed_as, dtype_name, source.shape, values, positions, row_offsets, scales
    )
    if format == "dense":
        dense = storage.todense(DENSE_VALUES)
        dense.flags.writeable = False
        storage = DenseStorage(host_adapter(), dense)
    packed = PackedArray(_over(source.arrays, storage))
    if source.arrays is host_adapter():
        return packed.to(current_device())
    return _tracked(packed, W, threshold)


def _tracked(packed: PackedArray, W: Any, threshold: float) -> PackedArray:
    """Let the gradient reach what was packed, where the framework may ask for it."""
    sparse = W if isinstance(W, SparseArray) else None
    data, arrays = (W, adapter_of(W)) if sparse is None else (sparse.data, sparse._arrays)
    if arrays is None or not arrays.tracks(data):
        return packed
    stored = packed._storage
    if has_scales(stored.dtype_name):
        if getattr(data, "requires_grad", False):
            raise TypeError(
                f"compress: W has a gradient, which does not reach values rounded to "
                f"{stored.dtype_name}; pack W.detach(), or as float32, float16 or bfloat16"
            )
        return packed
    if sparse is None:
        pattern, values = arrays.fromdense(W, threshold)
    else:
        csr = sparse.tocsr(canonical=True)
        pattern, values = csr._pattern, csr.data
    kept = ~(np.abs(arrays.tonumpy(values)) <= threshold)
    values = arrays.astype(values, stored.dtype_name)
    if packed.format == "dense":
        index_map = np.where(kept, np.arange(len(kept)), -1)
        values = arrays.gather(values, index_map)
        return packed.with_data(arrays.todense(pattern, values, transposed=False))
    stored.slots.keep(pattern.on_host(), kept)
    selection = stored.slots.spread(np.flatnonzero(kept), len(kept))
    return PackedArray(stored.with_values(arrays.select(values, selection)), packed.nnz)


def _value_type(format: str, source: str, dtype: Any) -> str:
    """Engine's name of the stored type: what is asked for, by default the source's."""
    name = source if dtype is None else packed_dtype_name(dtype, "compress: dtype")
    if format == "dense" and name != DENSE_VALUES:
        raise ValueError(
            f"compress: format = 'dense' with values of {name}; dense products are of "
            f"{DENSE_VALUES}: ask for that dtype, or for another format"
        )
    return name


def _is_narrowed(source: str, dtype_name: str) -> bool:
    """Whether a number of the source may be beyond the dtype's range, of those without scales."""
    return dtype_name in ("float16", "bfloat16") and dtype_name != source


def check_range(
    values: Any,
    dtype_name: str,
    threshold: float,
    pattern: Pattern | None = None,
    by_columns: bool = False,
) -> None:
    """Raise ValueError for a finite number to store that the dtype rounds to infinity.

    The values are all elements, or those at a pattern's positions, in an array of any framework;
    by columns the pattern is that of the transpose.
    """
    modulus = abs(values)
    beyond = (modulus >= _ROUNDED_TO_INFINITY[dtype_name]) & (modulus < np.inf)
    beyond = (beyond & (modulus > threshold)).reshape(-1)
    if not beyond.any():
        return
    first = int((beyond * 1).argmax())
    if pattern is None:
        row, col = divmod(first, values.shape[1])
    else:
        row, col = int(pattern.row_indices()[first]), int(pattern.indices[first])
        if by_columns:
            row, col = col, row
    raise ValueError(
        f"compress: W[{row}, {col}] = {float(values.reshape(-1)[first]):g} is out of range for "
        f"{dtype_name}; {'scale the matrix' if dtype_name == 'float32' else 'store it in float32'}"
    )


def _compress_on_device(
    memory: Memory, W: Any, format: str, dtype: Any, threshold: float, scale: Any
) -> PackedArray:
    """Pack a dense matrix that is in the memory of a GPU, there."""
    from ..cuda.packed import pack

    adapter = adapter_of(W)
    assert adapter is not None
    source = memory.dtype_name(W)
    rows, cols = W.shape
    dtype_name = _value_type(format, source, dtype)
    if _is_narrowed(source, dtype_name):
        check_range(W, dtype_name, threshold)
    given = _given_scales(dtype_name, rows, scale)
    try:
        format, packed = pack(memory, W, format, dtype_name, threshold, given)
    except ValueError as error:
        raise ValueError(f"compress: {error}") from None
    parts = {"values": packed} if format == "dense" else packed._asdict()
    present = {name: part for name, part in parts.items() if part is not None}
    stored = adapter.packed_storage(format, dtype_name, (rows, cols), present)
    return _tracked(PackedArray(stored), W, threshold)


def _over(arrays: Adapter, storage: Storage) -> Storage:
    """Return what was packed over NumPy arrays as a matrix over a framework's arrays."""
    if arrays is storage.arrays:
        return storage
    shape = storage.rows, storage.cols
    return arrays.packed_storage(storage.format, storage.dtype_name, shape, storage.parts())


def readable(W: Any, dtype: Any) -> Any:
    """Return W as a container or dense matrix of a dtype that the engine packs.

    Where a dtype is asked for, others become float32. Raises what `compress` does.
    """
    if isinstance(W, PackedArray):
        return W.tocsr()
    if is_scipy_sparse(W):
        name = numpy_name(W.dtype)
        check_source_dtype(name, "compress: W", dtype)
        known = None if name in VALUE_DTYPES else "float64"
        W = take_over(W, "compress: W", copy=False, dtype=known)  # nothing of it is kept
    is_sparse = isinstance(W, SparseArray)
    arrays = W._arrays if is_sparse else adapter_of(W) or host_adapter()
    if not is_sparse:
        W = arrays.asarray(W, "compress: W", None)
    if W.ndim != 2:
        raise ValueError(f"compress: W has shape {tuple(W.shape)}, expected two axes")
    name = arrays.dtype_name(W.dtype)
    check_source_dtype(name, "compress: W", dtype)
    if name in DENSE_DTYPES:
        return W
    if is_sparse:
        W = W.tocsr(canonical=True)
    if name == "float64":
        values, pattern = (W.data, W._pattern) if is_sparse else (W, None)
        check_range(values, "float32", 0.0, pattern)
    return W.astype("float32") if is_sparse else arrays.astype(W, "float32")


def _source(W: Any) -> _Source:
    if isinstance(W, SparseArray):
        by_columns = W.format == "csc"
        sparse = W.tocsc(canonical=True) if by_columns else W.tocsr(canonical=True)
        pattern = sparse._structure
        assert isinstance(pattern, Pattern)
        data = sparse._arrays.tonumpy(sparse.data)
        return _Source(
            sparse._arrays,
            sparse.shape,
            data,
            pattern,
            by_columns,
            (pattern.handle, bits(data)),
            data.dtype.name,
            partial(_engine.packed_count_csr, transpose=by_columns),
            partial(_engine.packed_scales_csr, transpose=by_columns),
            partial(_engine.pack_csr, transpose=by_columns),
        )
    adapter = adapter_of(W) or host_adapter()
    dense = adapter.tonumpy(W)
    return _Source(
        adapter,
        dense.shape,
        dense,
        None,
        False,
        (bits(dense),),
        dense.dtype.name,
        _engine.packed_count,
        _engine.packed_scales,
        _engine.pack,
    )


def _scales(source: _Source, dtype_name: str, threshold: float, scale: Any) -> Any:
    """One scale for each row, float32, or None where the dtype has none."""
    rows = source.shape[0]
    given = _given_scales(dtype_name, rows, scale)
    if given is not None or not has_scales(dtype_name):
        return given
    scales = np.empty(rows, np.float32)
    source.find_scales(*source.arguments, threshold, dtype_name, scales)
    return freeze(scales)


def _given_scales(dtype_name: str, rows: int, scale: Any) -> Any:
    """Return the caller's scale as one for each row, or None if there is none."""
    if scale is None:
        return None
    if not has_scales(dtype_name):
        raise ValueError(f"compress: scale is given for {dtype_name}; the 8-bit dtypes take one")
    given = np.asarray(scale, np.float32)
    if given.shape not in ((), (rows,)):
        raise ValueError(f"compress: scale has shape {given.shape}, expected () or ({rows},)")
    return freeze(np.array(np.broadcast_to(given, (rows,))))
