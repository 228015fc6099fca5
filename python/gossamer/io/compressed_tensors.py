# SPDX-License-Identifier: Apache-2.0
"""The ``sparse-bitmask`` layout of compressed-tensors checkpoints, both ways.

Each weight is four tensors: ``<name>.shape``, ``<name>.compressed`` (the nonzeros, row by row),
``<name>.bitmask`` (one bit a position, little bit order, rows of whole bytes) and
``<name>.row_offsets`` (int64, where each row begins among the nonzeros).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..packed import PackedArray, compress
from ..packed.construct import packed_array
from ..packed.dtypes import DENSE_DTYPES
from ..packed.selection import offset_dtype
from .tensor_file import TensorFile, open_tensors, write_tensors

#: Tensors of one weight.
PARTS = ("shape", "compressed", "bitmask", "row_offsets")


def read_compressed_tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint's weights as "bitmap" arrays, and its other tensors as dense ones.

    Raises
    ------
    ValueError
        For a file or a weight that is malformed.
    TypeError
        For weights of another dtype than float32, float16 and bfloat16.
    ImportError
        Without safetensors.
    """
    with open_tensors(path) as file:
        weights = weight_names(file)
        claimed = {f"{name}.{part}" for name in weights for part in PARTS}
        arrays = {name: file.read(name) for name in file.names if name not in claimed}
        for name in weights:
            arrays[name] = load_weight(file, name)
        return arrays


def write_compressed_tensors(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write packed arrays, repacked where they are no bitmaps, and NumPy arrays as they are.

    A file that was there before is replaced in one step.

    Parameters
    ----------
    metadata
        Texts for the file's header; by default ``{"format": "pt"}``, which readers ask for.

    Raises
    ------
    TypeError
        For an object of another kind, or 8-bit values, whose scales the layout has no place for.
    ImportError
        Without safetensors.
    """
    tensors: dict[str, Any] = {}
    for name, array in arrays.items():
        if isinstance(array, PackedArray):
            parts = _bitmask_parts(name, array)
            tensors |= {f"{name}.{part}": tensor for part, tensor in parts.items()}
        elif isinstance(array, np.ndarray):
            tensors[name] = array
        else:
            raise TypeError(
                f"write_compressed_tensors: {name!r} is {type(array).__name__}, expected a "
                f"PackedArray or a NumPy array"
            )
    write_tensors(path, tensors, {"format": "pt"} if metadata is None else metadata)


def weight_names(file: TensorFile) -> list[str]:
    """Names of the weights of which a file holds all four tensors."""
    tensors = set(file.names)
    names = [name.removesuffix(".bitmask") for name in file.names if name.endswith(".bitmask")]
    return [name for name in names if tensors.issuperset(f"{name}.{part}" for part in PARTS)]


def load_weight(file: TensorFile, name: str) -> PackedArray:
    """Read one weight; errors as those of `read_compressed_tensors`."""
    try:
        return _from_bitmask(*(file.read(f"{name}.{part}") for part in PARTS))
    except (TypeError, ValueError) as error:
        raise type(error)(f"weight {name!r}: {error}") from error


def _from_bitmask(shape: Any, values: Any, bitmask: Any, row_offsets: Any) -> PackedArray:
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise ValueError(f"shape is {shape.dtype} of shape {shape.shape}, expected two integers")
    rows, cols = (int(length) for length in shape)
    if bitmask.dtype != np.uint8 or bitmask.shape != (rows, -(-cols // 8)):
        raise ValueError(
            f"bitmask is {bitmask.dtype} of shape {bitmask.shape}, expected uint8 of shape "
            f"{(rows, -(-cols // 8))}"
        )
    if row_offsets.dtype != np.int64 or row_offsets.size != rows:
        raise ValueError(
            f"row_offsets is {row_offsets.dtype} with {row_offsets.size} elements, expected int64 "
            f"with {rows}"
        )
    if rows and not 0 <= row_offsets.min() <= row_offsets.max() <= values.size:
        raise ValueError(
            f"row_offsets run from {row_offsets.min()} to {row_offsets.max()}, expected 0 to the "
            f"{values.size} nonzeros"
        )
    offsets = np.append(row_offsets.reshape(-1), values.size)
    positions = np.zeros((rows, -(-cols // 32) * 4), np.uint8)
    positions[:, : bitmask.shape[1]] = bitmask
    parts = {
        "values": values.reshape(-1),
        "positions": positions.reshape(-1),
        "row_offsets": offsets.astype(offset_dtype((rows, cols), values.size)),
    }
    return packed_array("bitmap", values.dtype, (rows, cols), parts, copy=False)


def _bitmask_parts(name: str, array: PackedArray) -> dict[str, Any]:
    if array.dtype.name not in DENSE_DTYPES:
        raise TypeError(
            f"write_compressed_tensors: {name!r} has dtype {array.dtype}, expected one of "
            f"{', '.join(DENSE_DTYPES)}: the layout has no place for scales"
        )
    if array.format != "bitmap" or array._transposed:
        array = compress(array, "bitmap")
    rows, cols = array.shape
    stored = array._storage.parts()
    bitmask = stored["positions"].reshape(rows, -(-cols // 32) * 4)[:, : -(-cols // 8)]
    return {
        "shape": np.array([rows, cols], np.int64),
        "compressed": stored["values"],
        "bitmask": bitmask,
        "row_offsets": stored["row_offsets"][:-1].astype(np.int64),
    }
