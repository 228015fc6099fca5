# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench llm``: tokens a second of whole language models, packed beside dense."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from gossamer.cli.bench.command import finish, parse_counts, parse_shares, progress, require_gpu
from gossamer.cli.console import table_of
from gossamer.cli.figures import save_figure
from gossamer.cli.models.common import refusals, require_transformers
from gossamer.cli.options import DeviceName, FigureFile, JsonFile, one_of
from gossamer.packed.dtypes import DENSE_DTYPES, PACKED_DTYPES
from gossamer.quantities import duration_text, size_text

#: As in llm_suite, which needs PyTorch.
SHAPES = ("llama-2-7b", "llama-3-8b", "qwen-2.5-14b", "smollm2-135m", "tiny")


def llm(
    shape: Annotated[
        str,
        typer.Option(callback=one_of(*SHAPES), help=f"{', '.join(SHAPES[:-1])} or {SHAPES[-1]}."),
    ] = "llama-2-7b",
    densities: Annotated[str, typer.Option(help="Separated by commas.")] = "0.9,0.5,0.1",
    batches: Annotated[str, typer.Option("--batch", help="Separated by commas.")] = "1",
    dtype: Annotated[
        str,
        typer.Option(callback=one_of(*DENSE_DTYPES), help="float32, float16 or bfloat16."),
    ] = "float16",
    value_dtype: Annotated[
        str | None,
        typer.Option(
            callback=one_of(*PACKED_DTYPES),
            help="Of the packed values, where another: int8, float8_e4m3.",
        ),
    ] = None,
    device: DeviceName = "cuda",
    steps: Annotated[int, typer.Option(min=1, help="Tokens that a measurement generates.")] = 32,
    compiled: Annotated[
        bool, typer.Option("--compile/--eager", help="Compile the step; on a GPU one graph.")
    ] = True,
    whole: Annotated[
        bool, typer.Option("--whole", help="On a GPU also compile the dense model as a whole.")
    ] = False,
    pack_on_cpu: Annotated[
        bool, typer.Option("--pack-on-cpu", help="Also measure packing by the CPU, once.")
    ] = False,
    json_file: JsonFile = None,
    plot: FigureFile = None,
) -> None:
    """Generate with a model of random weights, dense and packed at several densities, in one run.

    Speed and memory do not depend on the weights' values. Exits with 1 if the packed model's
    results are not those of the dense one.
    """
    shares, counts = parse_shares("--densities", densities), parse_counts("--batch", batches)
    if device == "cuda":
        require_gpu()
    require_transformers()
    with refusals(), progress() as say:
        import torch

        from gossamer.cli.bench.llm_suite import LlmCase, run_llm_benchmark

        case = LlmCase(
            shape,
            getattr(torch, dtype),
            torch.device(device),
            steps,
            compiled,
            value_dtype,
            whole,
            pack_on_cpu,
        )
        results = run_llm_benchmark(case, shares, counts, say)
    finish(results, json_file, _print, plot, _plot)


def _print(console: Console, results: dict[str, Any]) -> None:
    where = results["machine"].get("gpu", results["machine"]["cpu"])
    numbers = (
        "batch", "tokens/s", "over dense", "a step", "linear", "attention", "peak memory",
        "packed in",
    )  # fmt: skip
    table = table_of(("model",), numbers, f"{results['shape']}, {results['dtype']}, {where}")
    for case in results["cases"]:
        formats = ", ".join(case["formats"]) or "dense"
        name = f"{case['density'] or 1:.0%}: {formats}"
        if case["mode"] != "default":
            name += f", {case['mode']}"
        packed = case["compress_seconds"]
        table.add_row(
            name,
            str(case["batch"]),
            f"{case['tokens_per_second']:.1f}",
            f"{case['speedup']:.2f}×",
            duration_text(case["step_seconds"]),
            *(
                duration_text(case["split"][part]) if "split" in case else "–"
                for part in ("linear", "attention")
            ),
            "–" if case["peak_bytes"] is None else size_text(case["peak_bytes"]),
            "–" if packed is None else duration_text(packed),
        )
    console.print(table)
    for wrong in results["wrong"]:
        console.print(f"wrong: {wrong}")


def _plot(results: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.add_subplot()
    cases = [case for case in results["cases"] if case["density"] is not None]
    for batch in sorted({case["batch"] for case in cases}):
        points = sorted((c["density"], c["speedup"]) for c in cases if c["batch"] == batch)
        axes.plot(*zip(*points, strict=True), marker="o", label=f"batch {batch}")
    axes.axhline(1, color="0.6", linewidth=0.8)
    axes.set_xlabel("density of the linear layers")
    axes.set_ylabel("tokens a second, over dense")
    axes.set_title(f"{results['shape']}, {results['dtype']}")
    axes.legend()
    save_figure(figure, path)
