# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer eval``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gossamer.cli.models.common import bar, read_text, refusals, require_transformers


def evaluate(
    model: Annotated[
        str,
        typer.Argument(help="Folder or hub name of a model, packed or not, GGUF file, or smollm2."),
    ],
    text: Annotated[Path, typer.Option(metavar="FILE", help="Text to predict.")],
    length: Annotated[int, typer.Option(help="Tokens of a window.")] = 512,
    tokens: Annotated[int | None, typer.Option(help="Only the first of the text.")] = None,
    dtype: Annotated[str, typer.Option(help="To compute in; auto is the checkpoint's.")] = "auto",
    device: Annotated[str, typer.Option(help="To compute on: cpu, cuda.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure how well a model predicts a text: perplexity, lower is better.

    The text is taken in windows that do not overlap.
    """
    require_transformers()
    with refusals():
        from gossamer.hf import load_model, load_tokenizer, perplexity
        from gossamer.prune.calibration import text_tokens

        ids = text_tokens(load_tokenizer(model), read_text(text))[:tokens]
        loaded = load_model(model, dtype).to(device)
        with bar("windows") as progress:
            result = perplexity(loaded, ids, length, progress)
    if as_json:
        typer.echo(json.dumps({"perplexity": result, "tokens": len(ids), "length": length}))
    else:
        typer.echo(f"perplexity {result:.3f} on {len(ids)} tokens in windows of {length}")
