# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer prune``."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from gossamer.cli.console import console_of, table_of
from gossamer.cli.models.common import (
    bar,
    check_new,
    read_text,
    refusals,
    require_transformers,
)
from gossamer.cli.options import (
    JsonFlag,
    ModelDtype,
    ModelFolder,
    Overwrite,
    Seed,
    model_source,
    one_of,
    text_file,
)
from gossamer.io.atomic import check_keeps

#: As gossamer.prune.METHODS, which needs PyTorch.
METHODS = ("magnitude", "magnitude-row", "magnitude-global", "wanda", "sparsegpt")
CALIBRATED = ("wanda", "sparsegpt")


def prune(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            callback=model_source,
            help="Folder or hub name of a model, a GGUF file, or smollm2.",
        ),
    ],
    output: ModelFolder,
    method: Annotated[
        str,
        typer.Option(
            callback=one_of(*METHODS), help=f"{', '.join(METHODS[:-1])} or {METHODS[-1]}."
        ),
    ] = "wanda",
    sparsity: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the weights that become zero.")
    ] = 0.5,
    sparsity_of: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN=SHARE", help="Another share for layers: '\\*.mlp.\\*=0.6'."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Layers to leave as they are.")
    ] = None,
    text: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", callback=text_file, help="Calibration text, for wanda and sparsegpt."
        ),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Windows of the calibration text.")] = 128,
    length: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens of a window; 512, or as many as the model takes."),
    ] = None,
    seed: Seed = 0,
    dtype: ModelDtype = "auto",
    overwrite: Overwrite = False,
    as_json: JsonFlag = False,
) -> None:
    """Set weights of a causal language model to zero, and write it as a Hugging Face folder.

    Layers in the blocks are pruned; embeddings and the head are not. A run of wanda or sparsegpt
    that was interrupted goes on where it was when started again.
    """
    shares = _shares(sparsity_of)
    if method in CALIBRATED and text is None:
        raise typer.BadParameter(f"--method {method} needs a calibration text: --text FILE")
    calibration = read_text(text) if method in CALIBRATED and text else None
    with refusals():
        for read in [model] if calibration is None else [model, str(text)]:
            check_keeps(read, output)
        check_new(output, overwrite)
        require_transformers()
        reports = _prune(
            model, output, method, sparsity, shares, skip or [], calibration,
            {"samples": samples, "length": length, "seed": seed}, dtype,
        )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(reports, indent=1))
        return
    console = console_of(width=120)
    console.print(_table(reports))
    console.print(f"written: {output}")


def _prune(
    source: str,
    output: Path,
    method: str,
    sparsity: float,
    sparsity_of: dict[str, float],
    skip: list[str],
    calibration: str | None,
    draw: dict[str, Any],
    dtype: str,
) -> list[dict[str, Any]]:
    from gossamer.hf.checkpoints import load_model, load_tokenizer, save_checkpoint
    from gossamer.prune import calibration_windows, plan_pruning, prune_model
    from gossamer.prune.calibration import usual_window
    from gossamer.prune.finished import remove_finished

    tokenizer = load_tokenizer(source)
    model = load_model(source, dtype)
    draw = draw | {"length": draw["length"] or usual_window(model)}
    windows = None if calibration is None else calibration_windows(tokenizer, calibration, **draw)
    plan = plan_pruning(model, sparsity, sparsity_of, skip)
    beside = Path(os.path.realpath(output))
    unfinished = beside.with_name(f"{beside.name}.unfinished") if method in CALIBRATED else None
    try:
        with bar(f"{method}: blocks") as progress:
            done = prune_model(
                model, plan, method, windows, unfinished=unfinished, progress=progress
            )
        reports = [asdict(report) for report in done]
        record = json.dumps({"method": method, **draw, "layers": reports}, indent=1)
        save_checkpoint(output, model, tokenizer, {"pruning.json": record})
    except KeyboardInterrupt:
        if unfinished is not None and unfinished.exists():
            typer.echo(
                f"started again with the same settings it goes on from {unfinished}", err=True
            )
        raise
    if unfinished is not None:
        remove_finished(unfinished)
    return reports


def _shares(options: list[str] | None) -> dict[str, float]:
    shares = {}
    for option in options or []:
        pattern, _, share = option.rpartition("=")
        try:
            shares[pattern] = float(share)
        except ValueError:
            raise typer.BadParameter(
                f"--sparsity-of: {option!r} is not of the form '*.mlp.*=0.6'"
            ) from None
        if not 0 <= shares[pattern] <= 1:
            raise typer.BadParameter(
                f"--sparsity-of: {option!r} is {share}, expected a share from 0 to 1"
            )
    return shares


def _table(reports: list[dict[str, Any]]) -> Table:
    table = table_of(("layer", "shape"), ("sparsity", "density"))
    for report in reports:
        rows, cols = report["shape"]
        table.add_row(
            report["name"], f"{rows} × {cols}", f"{report['sparsity']:.1%}",
            f"{report['density']:.1%}",
        )  # fmt: skip
    sizes = [rows * cols for rows, cols in (report["shape"] for report in reports)]
    kept = sum(r["density"] * size for r, size in zip(reports, sizes, strict=True))
    table.add_section()
    table.add_row("in sum", "", "", f"{kept / sum(sizes):.1%}")
    return table
