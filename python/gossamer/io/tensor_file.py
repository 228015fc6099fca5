# SPDX-License-Identifier: Apache-2.0
"""Named arrays in a safetensors file, by the safetensors library."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from ..optional import installing
from .atomic import replacing


class TensorFile:
    """An open file; its header was checked against its size by the library.

    Attributes
    ----------
    metadata
        Texts by name, empty where the file has none.
    names
        Of the arrays.
    """

    def __init__(self, handle: Any) -> None:
        self._handle = handle
        self.metadata: dict[str, str] = handle.metadata() or {}
        self.names: list[str] = list(handle.keys())

    def describe(self, name: str) -> tuple[str, tuple[int, ...]]:
        """Dtype of an array, as safetensors writes it ("F16", "U8"), and its shape."""
        described = self._handle.get_slice(name)
        return described.get_dtype(), tuple(described.get_shape())

    def read(self, name: str) -> Any:
        """Read one array, into memory of its own.

        Raises
        ------
        ValueError
            If the file has no such array, or one of a dtype that NumPy does not read.
        """
        if name not in self.names:
            raise ValueError(f"it holds no tensor {name!r}")
        try:
            return self._handle.get_tensor(name)
        except AttributeError:
            dtype, _ = self.describe(name)
            raise ValueError(
                f"tensor {name!r} has dtype {dtype}, which NumPy does not read"
            ) from None


@contextmanager
def open_tensors(path: str | os.PathLike[str]) -> Iterator[TensorFile]:
    """Open a file for reading; errors in what it holds name the file.

    Raises
    ------
    OSError
        If it cannot be opened.
    ImportError
        Without safetensors.
    """
    library = _safetensors()
    path = Path(path)
    path.open("rb").close()  # says what is wrong with a folder, where safetensors does not
    try:
        with library.safe_open(path, framework="np") as handle:
            yield TensorFile(handle)
    except (library.SafetensorError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error
    except TypeError as error:
        raise TypeError(f"{path}: {error}") from error


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Any], metadata: Mapping[str, str]
) -> None:
    """Write NumPy arrays; a file that was there before is replaced in one step.

    Raises
    ------
    TypeError
        For a dtype that safetensors has no name for.
    ImportError
        Without safetensors.
    """
    library = _safetensors()
    arrays = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(path) as file:
        try:
            library.numpy.save_file(arrays, file, metadata=dict(metadata))
        except library.SafetensorError as error:
            if "dtype" not in str(error):
                raise OSError(f"{path}: {error}") from error
            raise TypeError(f"{path}: {error}") from error


def _safetensors() -> Any:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(f"these files need safetensors: {installing('io')}") from error
    return safetensors
