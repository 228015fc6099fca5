# SPDX-License-Identifier: Apache-2.0
"""Packed, sparse and dense arrays in safetensors files."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..arrays import FRAMEWORKS, adapter_of, named_adapter, to_host
from ..construct import from_parts
from ..containers import SparseArray
from ..packed import PackedArray
from ..packed.construct import packed_array, part_names
from ..packed.dtypes import PACKED_DTYPES, numpy_dtype
from ..packed.selection import FORMATS
from ..scipy_interop import is_scipy_sparse
from .tensor_file import TensorFile, open_tensors, write_tensors

#: Version of the layout, in the metadata under _VERSION_KEY.
VERSION = 1

_VERSION_KEY, _ARRAYS_KEY = "gossamer.version", "gossamer.arrays"
_RESERVED = "gossamer."
# Names the array of a file that holds one array which was saved alone.
_LONE_KEY = "gossamer.lone"
_SPARSE_PARTS = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
}


def save_safetensors(
    path: str | os.PathLike[str], arrays: Any, metadata: Mapping[str, str] | None = None
) -> None:
    """Write packed, sparse and dense arrays into one file.

    Each part of an array is a tensor, such as ``name.values``; the layout is in docs/packed.md. A
    file that was there before is replaced in one step.

    Parameters
    ----------
    arrays
        PackedArrays, CSR, CSC, COO and dense arrays by name, or a single one. Arrays of every
        framework are written alike, without gradients; reading gives NumPy's.
    metadata
        Texts of the caller's, by names that do not begin with "gossamer.".

    Raises
    ------
    TypeError
        For an object of another kind, a name that is no text, or values that safetensors has no
        dtype for, as dense complex128; that of sparse arrays is written as pairs of float64.
    ValueError
        For a name that is taken by a part of another array, or by this layout.
    ImportError
        Without safetensors.
    """
    if isinstance(arrays, str | os.PathLike):  # as in safetensors' own function
        raise TypeError(
            f"save_safetensors: path is a {type(path).__name__} and arrays is {arrays!r}; the path "
            f"comes first: save_safetensors(path, arrays)"
        )
    texts = dict(metadata or {})
    reserved = [name for name in texts if name.startswith(_RESERVED)]
    if reserved:
        raise ValueError(
            f"save_safetensors: metadata has {reserved[0]!r}; what begins with {_RESERVED!r} is "
            f"written by Gossamer"
        )
    if not isinstance(arrays, Mapping):
        arrays = {"array": arrays}
        texts[_LONE_KEY] = "array"
    tensors: dict[str, Any] = {}
    layout: dict[str, dict[str, Any]] = {}
    for name, array in arrays.items():
        described, parts = _describe(name, array)
        if described is not None:
            layout[name] = described
        for part in parts:
            if part in tensors:
                raise ValueError(f"save_safetensors: two arrays want to write the tensor {part!r}")
        tensors |= parts
    texts |= {_VERSION_KEY: str(VERSION), _ARRAYS_KEY: json.dumps(layout)}
    write_tensors(path, tensors, texts)


def load_safetensors(path: str | os.PathLike[str], framework: str = "numpy") -> Any:
    """Read what `save_safetensors` wrote, or any safetensors file as dense arrays.

    Everything in the file is checked before it is used.

    Parameters
    ----------
    framework
        "numpy", "torch", "cupy", "mlx" or "jax": whose arrays are read, or held by what is read.

    Returns
    -------
    dict or array
        Arrays by name; the array itself where one was saved alone.

    Raises
    ------
    ValueError
        For a file that is malformed, or of a newer version of the layout, or another framework.
    TypeError
        For values of a dtype that the format cannot hold, or that the framework has not.
    ImportError
        Without safetensors, or the framework.
    """
    arrays_of = named_adapter(framework)
    if arrays_of is None:
        raise ValueError(f"load_safetensors: framework = {framework!r}, expected {FRAMEWORKS}")
    with open_tensors(path) as file:
        layout = read_layout(file)
        claimed = {f"{name}.{part}" for name, entry in layout.items() for part in entry["parts"]}
        arrays = {name: file.read(name) for name in file.names if name not in claimed}
        for name, entry in layout.items():
            arrays[name] = load_entry(file, name, entry)
        if framework != "numpy":
            for name, array in arrays.items():
                is_dense = isinstance(array, np.ndarray)
                arrays[name] = arrays_of.fromnumpy(array) if is_dense else array.to(framework)
        lone = file.metadata.get(_LONE_KEY)
        return arrays[lone] if lone is not None and list(arrays) == [lone] else arrays


def read_layout(file: TensorFile) -> dict[str, dict[str, Any]]:
    """Formats, shapes and parts of the arrays that a file's metadata describe, checked."""
    if _VERSION_KEY not in file.metadata and _ARRAYS_KEY not in file.metadata:
        return {}
    version = file.metadata.get(_VERSION_KEY)
    if version != str(VERSION):
        raise ValueError(
            f"it has layout version {version}, and this Gossamer reads version {VERSION}; a newer "
            f"one may read it"
        )
    try:
        layout = json.loads(file.metadata.get(_ARRAYS_KEY, ""))
    except (RecursionError, ValueError) as error:
        raise ValueError(f"its metadata {_ARRAYS_KEY!r} is not JSON: {error}") from None
    if not (isinstance(layout, dict) and all(isinstance(e, dict) for e in layout.values())):
        raise ValueError(f"its metadata {_ARRAYS_KEY!r} is not a table of tables")
    return {name: _checked(name, entry) for name, entry in layout.items()}


def load_entry(file: TensorFile, name: str, entry: Mapping[str, Any]) -> Any:
    """Build the array that an entry of `read_layout` describes."""
    try:
        parts = {part: file.read(f"{name}.{part}") for part in entry["parts"]}
        shape = entry["shape"]
        if entry["format"] in _SPARSE_PARTS:
            if entry["dtype"] == "complex128":
                parts["data"] = _complex(parts["data"])
            data, *indices = parts.values()
            return from_parts(entry["format"], data, (indices[0], indices[1]), shape)
        if entry["dtype"] == "float8_e4m3":
            parts["values"] = parts["values"].view(numpy_dtype("float8_e4m3"))
        packed = packed_array(entry["format"], entry["dtype"], shape, parts, copy=False)
        return packed.T if entry["transposed"] else packed
    except (TypeError, ValueError) as error:
        raise type(error)(f"array {name!r}: {error}") from error


def _describe(name: str, array: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Entry of the layout, None for a dense array, and the tensors by their names."""
    if not isinstance(name, str):
        raise TypeError(
            f"save_safetensors: the name {name!r} is no text; arrays are named by texts"
        )
    if isinstance(array, SparseArray):
        arrays = array.data, *array._index_arrays()
        parts = dict(zip(_SPARSE_PARTS[array.format], arrays, strict=True))
        entry: dict[str, Any] = {"format": array.format, "shape": array.shape}
    elif isinstance(array, PackedArray):
        stored = array._storage
        parts = stored.parts()
        entry = {
            "format": array.format,
            "shape": (stored.rows, stored.cols),
            "dtype": stored.dtype_name,
            "transposed": array._transposed,
        }
    elif adapter_of(array) is not None:
        dense = to_host(array)
        if dense.dtype == np.complex128:
            raise TypeError(
                f"save_safetensors: {name!r} has dtype complex128, for which safetensors has no "
                f"name; save it as x.view(numpy.float64), or cast it to complex64"
            )
        return None, {name: dense}
    else:
        advice = "; gossamer.from_scipy makes a container of it" if is_scipy_sparse(array) else ""
        raise TypeError(
            f"save_safetensors: {name!r} is {type(array).__name__}, expected a PackedArray, a "
            f"sparse container or a dense array{advice}"
        )
    host = {part: to_host(stored) for part, stored in parts.items()}
    if isinstance(array, SparseArray) and host["data"].dtype == np.complex128:
        # safetensors has no name for it.
        host["data"] = host["data"].view(np.float64).reshape(-1, 2)
        entry["dtype"] = "complex128"
    if entry.get("dtype") == "float8_e4m3":
        # safetensors does not give float8 back to NumPy.
        host["values"] = host["values"].view(np.uint8)
    return entry, {f"{name}.{part}": stored for part, stored in host.items()}


def _checked(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """Entry of the layout with the names of its parts, once it is well formed."""
    format, shape, dtype = entry.get("format"), entry.get("shape"), entry.get("dtype")
    lengths = shape if isinstance(shape, list) else []
    if len(lengths) != 2 or not all(type(length) is int for length in lengths):
        raise ValueError(f"array {name!r} has shape {shape!r}, expected two integers")
    if format in tuple(_SPARSE_PARTS):
        parts = _SPARSE_PARTS[format]
        return {"format": format, "shape": tuple(lengths), "dtype": dtype, "parts": parts}
    if format not in FORMATS or dtype not in PACKED_DTYPES:
        raise ValueError(f"array {name!r} has format {format!r} and dtype {dtype!r}: unknown here")
    return {
        "format": format,
        "shape": tuple(lengths),
        "dtype": dtype,
        "transposed": entry.get("transposed") is True,
        "parts": part_names(format, dtype),
    }


def _complex(pairs: Any) -> Any:
    """Numbers from their real and imaginary parts, shape (nnz, 2) in float64."""
    if pairs.dtype != np.float64 or pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(
            f"its data have dtype {pairs.dtype} and shape {pairs.shape}, expected pairs of float64"
        )
    return pairs.view(np.complex128).reshape(-1)
