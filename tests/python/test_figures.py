# SPDX-License-Identifier: Apache-2.0
"""The tables of the pages show what the committed results hold."""

import json
import math
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LARGE = ([4096, 4096], [11008, 4096], [4096, 11008], [8192, 8192])


def cases(results, **wanted):
    text = (ROOT / f"bench/results/{results}.json").read_text(encoding="utf-8")
    found = json.loads(text)["cases"]
    return [case for case in found if all(case[key] == wanted[key] for key in wanted)]


def mean(figures):
    logs = [math.log(figure) for figure in figures]
    return math.exp(sum(logs) / len(logs))


def table(page, heading, number=0):
    """Rows of a table of a page, the number-th of those that begin with a heading."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = re.findall(rf"^\| {re.escape(heading)} \|.*\n(?:\|.*\n)+", text, re.MULTILINE)
    lines = found[number].splitlines()
    del lines[1]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def assert_shows(cell, figure):
    """The cell is the figure, rounded to the digits that it has."""
    shown, decimals = re.match(r"(\d+(?:\.(\d+))?)", cell).groups()
    half_a_digit = 0.5 * 10.0 ** -len(decimals or "")
    assert abs(float(shown) - figure) <= 1.001 * half_a_digit, (cell, figure)


@pytest.mark.parametrize(
    ("results", "heading", "number"),
    [
        ("cpu/packed", "nonzero", 0),
        ("cpu/packed-smollm2", "nonzero, float32", 0),
        ("cpu-zen5/packed", "nonzero", 1),
    ],
)
def test_packed_products(results, heading, number):
    head, *rows = table("docs/packed.md", heading, number)
    for title, *cells in rows:
        dtype = "float32" if "," in heading else title.partition(",")[0]
        batch = 1 if "one vector" in title else int(re.search(r"(\d+) columns", title)[1])
        found = cases(results, dtype=dtype, batch=batch, threads=2)
        for density, cell in zip(head[1:], cells, strict=True):
            share = float(density.rstrip("%")) / 100
            of_density = [case for case in found if case["density"] == share]
            large = [case for case in of_density if case["shape"] in LARGE]
            assert_shows(cell, mean(case["dense_speedup"] for case in large or of_density))


@pytest.mark.parametrize(("dtype", "alone"), [("float16", ""), ("float16", "_alone"), ("int8", "")])
def test_packed_products_on_a_gpu(dtype, alone):
    head, *rows = table("docs/gpu.md", "nonzero")
    (cells,) = [row[1:] for row in rows if row[0] == dtype + (", alone" if alone else "")]
    for density, cell in zip(head[1:], cells, strict=True):
        found = cases("h200/packed", dtype=dtype, batch=1, density=float(density[:-1]) / 100)
        if cell:
            six = [case for case in found if case["shape"] != [49152, 12288]]
            assert_shows(cell, mean(case[f"dense_speedup{alone}"] for case in six))


@pytest.mark.parametrize(
    ("number", "model"), [(0, "llama-2-7b"), (1, "llama-3-8b"), (2, "qwen-2.5-14b")]
)
def test_language_models(number, model):
    _, *rows = table("docs/language-models.md", "density", number)
    for density, batch, _, tokens, speedup, step, linear, attention, peak, _ in rows:
        share = None if density == "dense" else float(density[:-1]) / 100
        (case,) = cases(f"h200/{model}", density=share, batch=int(batch))
        figures = (
            (tokens, case["tokens_per_second"]),
            (speedup, case["speedup"]),
            (step, case["step_seconds"] * 1e3),
            (linear, case["split"]["linear"] * 1e3),
            (attention, case["split"]["attention"] * 1e3),
            (peak, case["peak_bytes"] / 1e9),
        )
        for cell, figure in figures:
            assert_shows(cell, figure)


@pytest.mark.parametrize(
    ("title", "operation", "beyond_cache"),
    [
        ("`A @ x` beyond the cache", "spmv", True),
        ("`A @ x` within the cache", "spmv", False),
        ("sparse × 64 columns", "spmm-64", False),
        ("batches of matrices", "batched_matrices", False),
        ("sparse × sparse", "spgemm", False),
        ("COO → CSR", "coo_to_csr", False),
    ],
)
def test_sparse_products(title, operation, beyond_cache):
    rows = table("README.md", "two threads, each case as of the commit that the figures name")
    ((over_scipy, over_mkl),) = [row[1:] for row in rows if row[0] == title]
    found = cases("cpu/csr", operation=operation, beyond_cache=beyond_cache, threads=2)
    for cell, peer in ((over_scipy, "scipy"), (over_mkl, "mkl")):
        speedups = [case["speedup"][peer] for case in found if peer in case["speedup"]]
        assert_shows(cell, mean(speedups))
        lowest = re.search(r"lowest (\S+)×", cell)
        if lowest:
            assert_shows(lowest[1], min(speedups))
