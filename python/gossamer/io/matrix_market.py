# SPDX-License-Identifier: Apache-2.0
"""MatrixMarket files, parsed and printed by fast_matrix_market."""

from __future__ import annotations

import gzip
import os
import zlib
from pathlib import Path
from typing import IO, Any, cast

import numpy as np

from ..arrays import to_host
from ..construct import coo_array
from ..containers import COOArray, SparseArray
from ..optional import installing
from ..threads import get_num_threads
from .atomic import replacing

#: Shortest entries: "1 1" and a line break, and "0" and a line break in a dense file.
_COORDINATE_BYTES, _ARRAY_BYTES = 4, 2

#: Bytes that a line may have; the format's definition allows 1024. Parsers keep a line in memory.
_LINE_BYTES = 1 << 20

#: Deflate never shrinks by more (https://zlib.net/zlib_tech.html).
_GZIP_RATIO = 1032

#: What the parser, gzip and the constructor raise of a file's contents.
_MALFORMED = ArithmeticError, EOFError, RuntimeError, ValueError, gzip.BadGzipFile, zlib.error


def read_matrix_market(path: str | os.PathLike[str]) -> COOArray:
    """Read a ``.mtx`` or ``.mtx.gz`` file, sparse or dense.

    Real, integer and pattern (all ones) fields become float64, complex ones complex128; the other
    half of a symmetric, skew-symmetric or Hermitian matrix is filled in.

    Raises
    ------
    ValueError
        For a file that is malformed, or whose header promises more entries than it has bytes for.
    ImportError
        Without fast_matrix_market.
    """
    fmm = _fast_matrix_market()
    path = Path(path)
    compressed = path.suffix == ".gz"
    size = path.stat().st_size * (_GZIP_RATIO if compressed else 1)
    opened = gzip.open if compressed else open
    try:
        with cast("IO[bytes]", opened(path, "rb")) as file:
            header = fmm.read_header(_Text(file))
            _check_header(header, size)
            if header.format == "array" and 0 in header.shape:  # the parser divides by them
                values = np.empty(0, complex if header.field == "complex" else float)
                return coo_array((values, ([], [])), header.shape)
            file.seek(0)
            (data, coords), shape = fmm.read_coo(_Text(file), parallelism=get_num_threads())
        if data.dtype.kind in "iu":
            data = data.astype(float)
        return coo_array((data, coords), shape, copy=False)
    except _MALFORMED as error:
        raise ValueError(f"{path}: {error}") from error


def write_matrix_market(path: str | os.PathLike[str], matrix: SparseArray) -> None:
    """Write a container as a general coordinate file, with the digits that give every value back.

    It is compressed if its name ends in ``.gz``. 16-bit values are written as float32, those
    of every framework alike, without gradients. A file that was there before is replaced in one
    step.

    Raises
    ------
    TypeError
        For what is no container.
    ImportError
        Without fast_matrix_market.
    """
    if not isinstance(matrix, SparseArray):
        raise TypeError(
            f"write_matrix_market: matrix is {type(matrix).__name__}, expected a sparse array"
        )
    fmm = _fast_matrix_market()
    coo = matrix.tocoo()
    if coo.dtype.itemsize == 2:
        coo = coo.astype("float32")
    opened = gzip.open if os.fspath(path).endswith(".gz") else open
    # Given a name, the library would not notice a full disk.
    with replacing(path) as beside, cast("IO[bytes]", opened(beside, "wb")) as file:
        entries = to_host(coo.data), tuple(map(to_host, coo.coords))
        fmm.write_coo(file, entries, coo.shape, parallelism=get_num_threads())


class _Text:
    """A file of text that ends with a line break: the parser reads out of bounds in any other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = b"\n"
        self._unbroken = 0

    def read(self, size: int = -1) -> bytes:
        chunk = self._file.read(size)
        if b"\0" in chunk:
            raise ValueError("it holds a null byte; it is no text")
        self._check_line(chunk)
        if not chunk:
            chunk, self._end = self._end, b""
        return chunk

    def _check_line(self, chunk: bytes) -> None:
        end = chunk.rfind(b"\n")
        self._unbroken = len(chunk) - (end + 1) + (self._unbroken if end < 0 else 0)
        if self._unbroken > _LINE_BYTES:
            raise ValueError(f"it has a line of more than {_LINE_BYTES} bytes; it is no text")


def _check_header(header: Any, size: int) -> None:
    """Refuse a header that would make the parser allocate more than the file can hold."""
    if header.symmetry != "general" and header.nrows != header.ncols:
        raise ValueError(
            f"the header promises a {header.symmetry} matrix of {header.nrows} rows and "
            f"{header.ncols} columns; such are square"
        )
    if header.format == "array":
        # A symmetric file holds one half only.
        least = header.nrows * header.ncols // 2 * _ARRAY_BYTES
    else:
        least = header.nnz * _COORDINATE_BYTES
    if min(header.nrows, header.ncols, header.nnz) < 0 or least > size + 1:
        raise ValueError(
            f"the header promises {header.nrows} rows, {header.ncols} columns and {header.nnz} "
            f"entries, which take {least} bytes or more; the file has {size}"
        )


def _fast_matrix_market() -> Any:
    try:
        import fast_matrix_market
    except ImportError as error:
        raise ImportError(
            f"MatrixMarket files need fast_matrix_market: {installing('io')}"
        ) from error
    return fast_matrix_market
