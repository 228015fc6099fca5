# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench pruning``: what each way of pruning costs a model in perplexity."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gossamer.cli.bench.command import finish, parse_shares, progress
from gossamer.cli.console import table_of
from gossamer.cli.figures import save_figure
from gossamer.cli.models.common import read_text, refusals, require_transformers
from gossamer.cli.options import FigureFile, JsonFile, ModelDtype, input_file

METHODS = ("magnitude", "wanda", "sparsegpt")


def pruning(
    calibration: Annotated[
        Path, typer.Option(metavar="FILE", callback=input_file, help="Text to calibrate on.")
    ],
    text: Annotated[
        Path, typer.Option(metavar="FILE", callback=input_file, help="Text to predict, another.")
    ],
    model: Annotated[str, typer.Option(help="As of gossamer prune.")] = "smollm2",
    sparsities: Annotated[str, typer.Option(help="Separated by commas.")] = "0.3,0.5,0.6,0.7",
    samples: Annotated[int, typer.Option(help="Windows of the calibration text.")] = 64,
    length: Annotated[int, typer.Option(help="Tokens of a window, in both texts.")] = 512,
    dtype: ModelDtype = "bfloat16",
    json_file: JsonFile = None,
    plot: FigureFile = None,
) -> None:
    """Measure perplexity after pruning by magnitude, Wanda and SparseGPT, and time the pruning.

    Exits with 1 if Wanda does not beat magnitude at some sparsity.
    """
    shares = parse_shares("--sparsities", sparsities)
    require_transformers()
    with refusals(), progress() as say:
        results = _measure(model, calibration, text, shares, (samples, length), dtype, say)
    finish(results, json_file, _print, plot, _plot)


def _measure(
    source: str,
    calibration: Path,
    text: Path,
    sparsities: list[float],
    windows_of: tuple[int, int],
    dtype: str,
    say: Any,
) -> dict[str, Any]:
    from gossamer.cli.machine import describe_machine, source_commit
    from gossamer.hf import load_model, load_tokenizer, perplexity
    from gossamer.prune import calibration_windows, plan_pruning, prune_model
    from gossamer.prune.calibration import text_tokens

    samples, length = windows_of
    tokenizer = load_tokenizer(source)
    windows = calibration_windows(tokenizer, read_text(calibration), samples, length)
    tokens = text_tokens(tokenizer, read_text(text))
    dense = load_model(source, dtype)
    say("dense")
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "commit": source_commit(),
        "model": source,
        "dtype": dtype,
        "calibration": {"text": calibration.name, "samples": samples, "length": length},
        "text": {"text": text.name, "tokens": len(tokens), "length": length},
        "dense": perplexity(dense, tokens, length),
        "cases": [],
    }
    for sparsity in sparsities:
        for method in METHODS:
            say(f"{method}, {sparsity:.0%}")
            model = copy.deepcopy(dense)
            start = time.perf_counter()
            prune_model(model, plan_pruning(model, sparsity), method, windows)
            case = {
                "method": method,
                "sparsity": sparsity,
                "seconds": time.perf_counter() - start,
                "perplexity": perplexity(model, tokens, length),
            }
            results["cases"].append(case)
    found = {(case["method"], case["sparsity"]): case["perplexity"] for case in results["cases"]}
    results["wrong"] = [
        f"wanda, {sparsity:.0%}"
        for sparsity in sparsities
        if found["wanda", sparsity] >= found["magnitude", sparsity]
    ]
    return results


def _print(console: Console, results: dict[str, Any]) -> None:
    title = f"perplexity of {results['model']}, dense {results['dense']:.2f}"
    table = table_of(("zeros",), METHODS, title)
    for sparsity in sorted({case["sparsity"] for case in results["cases"]}):
        cases = [case for case in results["cases"] if case["sparsity"] == sparsity]
        table.add_row(
            f"{sparsity:.0%}",
            *(f"{case['perplexity']:.2f} ({case['seconds']:.0f} s)" for case in cases),
        )
    console.print(table)
    for case in results["wrong"]:
        console.print(f"not better than magnitude: {case}")


def _plot(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for method in METHODS:
        cases = [case for case in results["cases"] if case["method"] == method]
        axes.semilogy(
            [0, *(100 * case["sparsity"] for case in cases)],
            [results["dense"], *(case["perplexity"] for case in cases)],
            marker="o",
            label=method,
        )
    axes.axhline(results["dense"], color="0.6", linewidth=0.8)
    axes.set_xlabel("weights of the linear layers that are zero, %")
    axes.set_ylabel("perplexity")
    axes.set_title(f"{results['model']}, {results['text']['tokens']} tokens held out")
    axes.legend()
    save_figure(figure, path)
