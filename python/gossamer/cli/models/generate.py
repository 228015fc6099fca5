# SPDX-License-Identifier: Apache-2.0
"""The command ``gossamer generate``."""

from __future__ import annotations

import gc
import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.table import Table

from gossamer.cli.console import console_of, table_of
from gossamer.cli.models.common import check_device, load_on, refusals, require_transformers
from gossamer.cli.options import JsonFlag, ModelDevice, ModelDtype, Seed, model_source
from gossamer.quantities import duration_text, size_text


def generate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            callback=model_source,
            help="Folder or hub name of a model, packed or not.",
        ),
    ],
    prompt: Annotated[str, typer.Option(help="Question, or beginning of the text.")],
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Tokens to generate.")] = 64,
    temperature: Annotated[float, typer.Option(min=0, help="0 takes the likeliest token.")] = 0.0,
    seed: Seed = 0,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Compile the step of one token.")
    ] = False,
    compare: Annotated[
        bool,
        typer.Option("--compare", help="Do the same with the layers unpacked, both warmed up."),
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Continue the text; no question to a chat model.")
    ] = False,
    dtype: ModelDtype = "auto",
    device: ModelDevice = "cpu",
    as_json: JsonFlag = False,
) -> None:
    """Generate text with a model, and print how fast that was."""
    require_transformers()
    check_device(device)
    lines: list[dict[str, Any]] = []
    try:
        with refusals():
            from gossamer.hf import generate as generate_tokens
            from gossamer.hf import load_tokenizer, unpack_model
            from gossamer.hf.layout import packed_layers

            tokenizer = load_tokenizer(model)
            ids = _prompt_ids(tokenizer, prompt, raw)
            options = {"temperature": temperature, "seed": seed, "compiled": compiled}
            for unpacked in (False, True)[: 1 + compare]:
                loaded = load_on(device, model, dtype)
                name = "packed" if packed_layers(loaded) else "dense"
                if compare and name == "dense":
                    raise typer.BadParameter(f"--compare: {model} has no packed layers")
                if unpacked:
                    unpack_model(loaded)
                    name = "unpacked"
                if compare:  # the first product of a process, and of a model, takes longer
                    generate_tokens(loaded, ids[:1], 1)
                lines.append(
                    _generate(name, loaded, tokenizer, ids, max_new_tokens, options, not as_json)
                )
                del loaded
                gc.collect()
    finally:  # also where there is memory for the packed model only
        if lines:
            _print(lines, as_json)


def _prompt_ids(tokenizer: Any, prompt: str, raw: bool) -> Any:
    import torch

    if raw or not tokenizer.chat_template:
        ids = tokenizer(prompt)["input_ids"]
    else:
        messages = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)[
            "input_ids"
        ]
    return torch.tensor(ids, dtype=torch.int64)


def _generate(
    name: str,
    model: Any,
    tokenizer: Any,
    ids: Any,
    max_new_tokens: int,
    options: dict[str, Any],
    stream: bool,
) -> dict[str, Any]:
    import torch
    from transformers import TextStreamer

    import gossamer.hf
    from gossamer.hf.memory import model_bytes

    streamer = TextStreamer(tokenizer, skip_special_tokens=True)

    def show(token: int) -> None:
        if stream:
            streamer.put(torch.tensor([token]))

    done = gossamer.hf.generate(model, ids, max_new_tokens, on_token=show, **options)
    if stream:
        streamer.end()
    facts = {
        "model": name,
        "text": tokenizer.decode(done.tokens, skip_special_tokens=True),
        **asdict(done),
        "tokens_per_second": done.tokens_per_second,
        "model_bytes": model_bytes(model),
    }
    if len(done.tokens) == 1:  # JSON has no NaN
        facts |= {"step_seconds": None, "tokens_per_second": None}
    return facts


def _print(lines: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(lines, indent=1))
        return
    console_of(width=100).print(_table(lines))


def _table(lines: list[dict[str, Any]]) -> Table:
    numbers = "tokens", "tokens/s", "first token", "weights", "peak memory"
    table = table_of(("model",), numbers)
    for line in lines:
        peak, rate = line["peak_bytes"], line["tokens_per_second"]
        table.add_row(
            line["model"],
            str(len(line["tokens"])),
            "–" if rate is None else f"{rate:.1f}",
            duration_text(line["first_seconds"]),
            size_text(line["model_bytes"]),
            "–" if peak is None else size_text(peak),
        )
    return table
