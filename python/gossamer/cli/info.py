# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer info``: what a file of arrays holds."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

import gossamer
from gossamer.cli.console import console_of, table_of
from gossamer.cli.options import JsonFlag, input_file
from gossamer.io import compressed_tensors, macko_checkpoint, packed_checkpoint, safetensors
from gossamer.io.tensor_file import TensorFile, open_tensors
from gossamer.quantities import size_text

_ENDINGS = (".safetensors", ".npz", ".mtx", ".mtx.gz", ".pt", ".pth", ".bin")


@dataclass(frozen=True)
class Entry:
    """One array of a file.

    Attributes
    ----------
    nnz
        Stored nonzeros; None where the values cannot be read.
    nbytes
        Of all its parts.
    value_bits
        Of one value.
    """

    name: str
    format: str
    shape: tuple[int, ...]
    dtype: str
    nnz: int | None
    nbytes: int
    value_bits: int

    @property
    def density(self) -> float | None:
        """Share of the elements that are not zero; None where there is none, or not known."""
        size = math.prod(self.shape)
        return None if self.nnz is None or size == 0 else self.nnz / size

    @property
    def dense_bytes(self) -> int:
        """Bytes of a dense array of the same values."""
        return math.prod(self.shape) * self.value_bits // 8

    @property
    def bits_per_nonzero(self) -> float | None:
        """All bits over the nonzeros."""
        return 8 * self.nbytes / self.nnz if self.nnz else None

    @property
    def entropy_floor(self) -> float | None:
        """Bits a nonzero takes at least where the nonzeros are anywhere with equal probability.

        The value's, and the entropy of a position, H(d) / d at density d: Shannon (1948).
        """
        density = self.density
        if not density:
            return None
        rest = 1 - density
        entropy = -density * math.log2(density) - (rest * math.log2(rest) if rest else 0)
        return self.value_bits + entropy / density


def info(
    files: Annotated[
        list[Path],
        typer.Argument(
            callback=lambda paths: [file for path in paths for file in _input_files(path)],
            help=f"Files ending in {', '.join(_ENDINGS)}, or folders of safetensors files.",
        ),
    ],
    as_json: JsonFlag = False,
) -> None:
    """List the arrays of files, or of a model's folder: format, shape, density, memory.

    Reads what Gossamer, SciPy, compressed-tensors (sparse-bitmask) and MACKO write, the files of
    packed language models, and plain safetensors and MatrixMarket files. Everything is validated.
    """
    try:
        entries = {file: list(read_entries(file)) for file in files}
    except (ImportError, OSError, TypeError, ValueError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(2) from None
    if as_json:
        records = [_record(file, entry) for file in entries for entry in entries[file]]
        typer.echo(json.dumps(records, indent=1))
        return
    console = console_of(width=1000)  # more than the table takes
    for file in entries:
        console.print(_table(file, entries[file]))
    if len(entries) > 1:
        every = [entry for found in entries.values() for entry in found]
        memory = sum(entry.nbytes for entry in every)
        dense = sum(entry.dense_bytes for entry in every)
        console.print(f"all {len(entries)} files: {size_text(memory)}, as dense {size_text(dense)}")


def _input_files(path: Path) -> list[Path]:
    if not path.is_dir():
        input_file(path)
        return [path]
    files = sorted(path.glob("*.safetensors"))
    if not files:
        raise typer.BadParameter(f"{path}: there is no safetensors file in this folder")
    return files


def read_entries(path: Path) -> Iterator[Entry]:
    """Yield what a file holds, one array in memory at a time where its layout permits.

    Raises
    ------
    ValueError
        If its name has another ending, or its content is malformed.
    """
    name = path.name
    if name.endswith(".safetensors"):
        with open_tensors(path) as file:
            yield from _tensor_entries(path, file)
    elif name.endswith(".npz"):
        yield _entry(path.stem, gossamer.io.load_npz(path))
    elif name.endswith((".mtx", ".mtx.gz")):
        yield _entry(name.partition(".mtx")[0], gossamer.io.read_matrix_market(path))
    elif name.endswith((".pt", ".pth", ".bin")):
        for key, array in macko_checkpoint.read_macko_checkpoint(path).items():
            yield _entry(key, array)
    else:
        raise ValueError(f"{path}: expected a file that ends in one of {', '.join(_ENDINGS)}")


def _tensor_entries(path: Path, file: TensorFile) -> Iterator[Entry]:
    layout = safetensors.read_layout(file)
    if not layout and macko_checkpoint.is_compressed(file.names):
        state = {name: file.read(name) for name in file.names}
        yield from (_entry(*item) for item in macko_checkpoint.from_state_dict(state).items())
        return
    weights = [] if layout else compressed_tensors.weight_names(file)
    claimed = {f"{name}.{part}" for name, entry in layout.items() for part in entry["parts"]}
    claimed |= {f"{name}.{part}" for name in weights for part in compressed_tensors.PARTS}
    layers = {} if layout or weights else packed_checkpoint.layouts_beside(path, file)
    for item in layers.items():
        claimed.update(packed_checkpoint.tensor_names(*item).values())
    for name, entry in layout.items():
        yield _entry(name, safetensors.load_entry(file, name, entry))
    for name in weights:
        yield _entry(name, compressed_tensors.load_weight(file, name))
    for name, layer in layers.items():
        yield _entry(name, packed_checkpoint.load_layer(file, name, layer))
    for name in file.names:
        if name not in claimed:
            yield _dense_entry(file, name)


def _dense_entry(file: TensorFile, name: str) -> Entry:
    try:
        return _entry(name, file.read(name))
    except ValueError:
        dtype, shape = file.describe(name)
        bits = int("".join(filter(str.isdigit, dtype.partition("_")[0])) or 8)
        return Entry(name, "dense", shape, dtype, None, math.prod(shape) * bits // 8, bits)


def _entry(name: str, array: Any) -> Entry:
    array = array if hasattr(array, "nbytes") else np.asarray(array)
    dense = isinstance(array, np.ndarray)
    return Entry(
        name,
        "dense" if dense else array.format,
        tuple(array.shape),
        array.dtype.name,
        int(np.count_nonzero(array)) if dense else array.nnz,
        array.nbytes,
        8 * array.dtype.itemsize,
    )


def _record(file: Path, entry: Entry) -> dict[str, Any]:
    return (
        {"file": str(file)}
        | asdict(entry)
        | {
            name: getattr(entry, name)
            for name in ("density", "dense_bytes", "bits_per_nonzero", "entropy_floor")
        }
    )


def _table(path: Path, entries: list[Entry]) -> Table:
    numbers = "density", "memory", "as dense", "bits a nonzero", "entropy floor"
    title = f"{path.name}, {size_text(path.stat().st_size)}"
    table = table_of(("name", "format", "shape", "dtype"), numbers, title)
    table.columns[0].overflow = "fold"
    for entry in entries:
        table.add_row(
            entry.name,
            entry.format,
            " × ".join(map(str, entry.shape)) or "scalar",
            entry.dtype,
            _text(entry.density, ".1%"),
            size_text(entry.nbytes),
            size_text(entry.dense_bytes),
            _text(entry.bits_per_nonzero, ".1f"),
            _text(entry.entropy_floor, ".1f"),
        )
    table.add_section()
    total = size_text(sum(entry.nbytes for entry in entries))
    dense = size_text(sum(entry.dense_bytes for entry in entries))
    table.add_row("in sum", "", "", "", "", total, dense)
    return table


def _text(value: float | None, format: str) -> str:
    return "–" if value is None else f"{value:{format}}"
