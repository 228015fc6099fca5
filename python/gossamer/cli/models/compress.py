# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer compress``."""

from __future__ import annotations

import json
import re
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gossamer.cli.console import console_of, table_of
from gossamer.cli.models.common import bar, check_new, refusals, require_transformers
from gossamer.cli.options import JsonFlag, ModelFolder, Overwrite, model_source
from gossamer.io.atomic import check_keeps
from gossamer.packed.dtypes import packed_dtype_name
from gossamer.quantities import duration_text, size_text


def _file_size(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]B", text, re.IGNORECASE):
        raise typer.BadParameter(f"{text!r} is no size such as 500MB or 5GB")
    return text


def _packed_dtype(name: str | None) -> str | None:
    try:
        return None if name is None else packed_dtype_name(name, "dtype")
    except TypeError as error:
        raise typer.BadParameter(str(error)) from None


def _bytes(size: str) -> int:
    return int(float(size[:-2]) * 1000 ** (1 + "KMGT".index(size[-2].upper())))


def compress(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", callback=model_source, help="Folder or hub name of a pruned model."
        ),
    ],
    output: ModelFolder,
    dtype: Annotated[
        str | None,
        typer.Option(
            callback=_packed_dtype,
            help="Of the packed values: float32, float16, bfloat16, int8, float8_e4m3 or fp8.",
        ),
    ] = None,
    min_gain: Annotated[
        float,
        typer.Option(min=0, help="Leave layers dense that would not be so many times smaller."),
    ] = 1.2,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Layers to leave dense.")
    ] = None,
    shard: Annotated[
        str, typer.Option(callback=_file_size, help="Size of the largest file: 500MB, 5GB.")
    ] = "5GB",
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Pack the linear layers of a pruned model, and write it as a Hugging Face folder.

    Each layer takes the format that is smallest, or stays dense. After `import gossamer.hf`
    transformers reads the folder like any other.
    """
    with refusals():
        check_keeps(model, output)
        check_new(output, overwrite)
        require_transformers()
        record = _compress(model, output, dtype, min_gain, skip or [], _bytes(shard))
    if all(layer["format"] == "dense" for layer in record["layers"]):
        typer.echo(
            f"nothing was packed: none of the layers would be {min_gain:g} times smaller, or all "
            f"are skipped; prune the model first, as gossamer prune does",
            err=True,
        )
    if as_json:
        typer.echo(json.dumps(record, indent=1))
        return
    console = console_of(width=120)
    console.print(_table(record))
    console.print(
        f"read, packed and written in {duration_text(record['seconds'])}: the linear layers take "
        f"{size_text(record['bytes'])} for {size_text(record['dense_bytes'])}\nwritten: {output}"
    )


def _compress(
    source: str, output: Path, dtype: str | None, min_gain: float, skip: list[str], shard: int
) -> dict[str, Any]:
    from gossamer.hf import compress_checkpoint

    start = time.perf_counter()
    with bar("tensors") as progress:
        layers = compress_checkpoint(
            source,
            output,
            dtype,
            min_gain=min_gain,
            skip=skip,
            max_shard_bytes=shard,
            progress=progress,
        )
    return {
        "seconds": time.perf_counter() - start,
        "bytes": sum(layer.bytes for layer in layers),
        "dense_bytes": sum(layer.dense_bytes for layer in layers),
        "layers": [asdict(layer) for layer in layers],
    }


def _table(record: dict[str, Any]) -> Table:
    """One line for each kind of layer: the last part of the name, format and type."""
    table = table_of(("layers", "format", "dtype"), ("number", "density", "memory", "as dense"))
    kinds: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for layer in record["layers"]:
        last = layer["name"].rpartition(".")[2]
        kinds.setdefault((last, layer["format"], layer["dtype"]), []).append(layer)
    for (last, format, dtype), layers in kinds.items():
        densities = [layer["density"] for layer in layers if layer["density"] is not None]
        mean = f"{sum(densities) / len(densities):.1%}" if densities else "–"
        table.add_row(
            last, format, dtype, str(len(layers)), mean,
            size_text(sum(layer["bytes"] for layer in layers)),
            size_text(sum(layer["dense_bytes"] for layer in layers)),
        )  # fmt: skip
    return table
