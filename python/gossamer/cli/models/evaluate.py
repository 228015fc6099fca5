# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer eval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gossamer.cli.models.common import (
    bar,
    check_device,
    load_on,
    read_text,
    refusals,
    require_transformers,
)
from gossamer.cli.options import JsonFlag, ModelDevice, ModelDtype, model_source, text_file


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            callback=model_source,
            help="Folder or hub name of a model, packed or not, GGUF file, or smollm2.",
        ),
    ],
    text: Annotated[
        Path, typer.Option(metavar="FILE", callback=text_file, help="Text to predict.")
    ],
    length: Annotated[
        int | None,
        typer.Option(min=2, help="Tokens of a window; 512, or as many as the model takes."),
    ] = None,
    tokens: Annotated[int | None, typer.Option(min=2, help="Only the first of the text.")] = None,
    dtype: ModelDtype = "auto",
    device: ModelDevice = "cpu",
    as_json: JsonFlag = False,
) -> None:
    """Measure how well a model predicts a text: perplexity, lower is better.

    The text is taken in windows that do not overlap.
    """
    words = read_text(text)
    require_transformers()
    check_device(device)
    with refusals():
        from gossamer.hf import load_tokenizer, perplexity
        from gossamer.prune.calibration import text_tokens, usual_window

        ids = text_tokens(load_tokenizer(model), words)[:tokens]
        loaded = load_on(device, model, dtype)
        length = length or usual_window(loaded)
        with bar("windows") as progress:
            result = perplexity(loaded, ids, length, progress)
    if as_json:
        typer.echo(json.dumps({"perplexity": result, "tokens": len(ids), "length": length}))
    else:
        typer.echo(f"perplexity {result:.3f} on {len(ids)} tokens in windows of {length}")
