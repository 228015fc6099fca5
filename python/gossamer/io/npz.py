# SPDX-License-Identifier: Apache-2.0
"""The ``.npz`` layout of ``scipy.sparse.save_npz``, both ways."""

from __future__ import annotations

import math
import os
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy

from ..arrays import to_host
from ..construct import check_shape, from_parts
from ..containers import SparseArray
from ..dtypes import check_value_dtype, dtype_name
from .atomic import replacing

#: Deflate never shrinks by more (https://zlib.net/zlib_tech.html).
_DEFLATE_RATIO = 1032


def save_npz(path: str | os.PathLike[str], matrix: SparseArray, compressed: bool = True) -> None:
    """Write a container so that ``scipy.sparse.load_npz`` and `load_npz` read it.

    Values of every framework are written alike, without gradients. A file that was there before is
    replaced in one step.

    Parameters
    ----------
    path
        Its name gets ``.npz`` appended unless it ends so.
    compressed
        Deflate the arrays.

    Raises
    ------
    TypeError
        For what is no container, and bfloat16, which the format has no name for.
    """
    if not isinstance(matrix, SparseArray):
        raise TypeError(f"save_npz: matrix is {type(matrix).__name__}, expected a sparse array")
    name = matrix._arrays.dtype_name(matrix.dtype)
    if name == "bfloat16":
        raise TypeError("save_npz: .npz has no bfloat16; cast it, as matrix.astype('float32')")
    keys = ("row", "col") if matrix.format == "coo" else ("indices", "indptr")
    indices = map(to_host, matrix._index_arrays())
    arrays: dict[str, Any] = dict(zip(keys, indices, strict=True))
    arrays |= {
        "format": np.array(matrix.format.encode()),
        "shape": np.array(matrix.shape),
        "data": to_host(matrix.data),
        "_is_array": np.array(True),
    }
    save = np.savez_compressed if compressed else np.savez
    with replacing(_with_extension(path)) as beside, beside.open("wb") as file:
        save(file, **arrays)


def _with_extension(path: str | os.PathLike[str]) -> str:
    """Return the name that `save_npz` writes to, as SciPy's does."""
    name = os.fspath(path)
    return name if name.endswith(".npz") else name + ".npz"


def load_npz(path: str | os.PathLike[str]) -> SparseArray:
    """Read a CSR, CSC or COO matrix that `save_npz` or ``scipy.sparse.save_npz`` wrote.

    Where there is no file of that name, the one that `save_npz` makes of it is read.

    No pickle is ever loaded, and nothing is read before the sizes that the file declares agree with
    each other, with the file's size and with this machine's memory.

    Raises
    ------
    ValueError
        For a file that is malformed, or holds another format.
    TypeError
        For values of a dtype that is not supported.
    """
    path = path if os.path.exists(path) else _with_extension(path)
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _load(archive, os.fstat(file.fileno()).st_size)
        except MemoryError:
            raise
        except TypeError as error:
            raise TypeError(f"{os.fspath(path)}: {error}") from error
        except Exception as error:  # whatever the parsers of a malformed file stumble over
            raise ValueError(f"{os.fspath(path)}: {error}") from error


def _load(archive: zipfile.ZipFile, size: int) -> SparseArray:
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    _check_sizes(members, size)

    def read(name: str) -> Any:
        if name not in members:
            raise ValueError(f"it holds no array {name!r}, but {', '.join(sorted(members))}")
        return _read(archive, members[name])

    kind = read("format").item()
    kind = kind.decode() if isinstance(kind, bytes) else str(kind)
    shape = check_shape("shape", read("shape").tolist())
    if kind == "coo":
        row, col = read("coords") if "coords" in members else (read("row"), read("col"))
        indices = row, col
    elif kind in ("csr", "csc"):
        indices = read("indices"), read("indptr")
    else:
        raise ValueError(
            f"format = {kind!r}, expected 'csr', 'csc' or 'coo'; read it with "
            f"scipy.sparse.load_npz and convert it with gossamer.from_scipy"
        )
    data = read("data")
    advice = "read it with scipy.sparse.load_npz, and give gossamer.from_scipy dtype=, as 'float32'"
    check_value_dtype(dtype_name(data.dtype), "data", how=advice)
    return from_parts(kind, data, indices, shape)


def _check_sizes(members: dict[str, zipfile.ZipInfo], size: int) -> None:
    """Refuse archives whose members cannot be as large as they say, or not fit into memory."""
    if sum(info.compress_size for info in members.values()) > size:
        raise ValueError("its members overlap")
    for name, info in members.items():
        ratio = {zipfile.ZIP_STORED: 1, zipfile.ZIP_DEFLATED: _DEFLATE_RATIO}.get(
            info.compress_type
        )
        if ratio is None:
            raise ValueError(
                f"{name} is compressed by method {info.compress_type}, expected deflate"
            )
        if info.file_size > ratio * info.compress_size:
            raise ValueError(
                f"{name} claims {info.file_size} bytes, which {info.compress_size} cannot hold"
            )
    declared = sum(info.file_size for info in members.values())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if declared > memory:
        raise ValueError(f"it claims {declared} bytes, but this machine has {memory}")


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Any:
    """Read one array, once its header is seen to describe exactly the bytes that follow."""
    with archive.open(info) as file:
        version = npy.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{info.filename} has .npy version {version}, expected 1.0 or 2.0")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read_header(file)
        if dtype.hasobject:
            raise ValueError(f"{info.filename} holds Python objects, expected numbers")
        expected = math.prod(shape) * dtype.itemsize
        if expected != info.file_size - file.tell():
            raise ValueError(
                f"{info.filename} has shape {shape} and dtype {dtype}, which take {expected} "
                f"bytes, but {info.file_size - file.tell()} follow"
            )
        return np.frombuffer(file.read(expected), dtype).reshape(shape)
