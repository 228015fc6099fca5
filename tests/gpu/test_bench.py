# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on a GPU."""

import json
import sys
from types import SimpleNamespace

import gossamer as gs
from gossamer.cli.main import app
from typer.testing import CliRunner


def test_bench_packed_goes_on_from_cases_that_are_there(tmp_path):
    file = tmp_path / "packed.json"

    def cases(pattern):
        options = ["--device", "cuda", "--quick", "--resume", "--json", str(file)]
        result = CliRunner().invoke(app, ["bench", "packed", *options, "--only", pattern])
        assert result.exit_code == 0, result.output
        return json.loads(file.read_text())["cases"]

    (first,) = cases("^4096x4096/0.1/float16/1$")
    assert first["dense_speedup"] > 0
    before, kept = cases("^4096x4096/0.(05|1)/float16/1$")
    assert kept == first
    assert before["density"] == 0.05


def test_bench_packed_measures_the_published_macko_kernel_where_it_is(tmp_path, monkeypatch):
    stand_in = SimpleNamespace(multiply=gs.macko.multiply)
    monkeypatch.setitem(sys.modules, "macko_spmv", stand_in)
    file = tmp_path / "packed.json"
    options = [
        "--device",
        "cuda",
        "--quick",
        "--json",
        str(file),
        "--only",
        "^4096x4096/0.1/.*/[12]$",
    ]
    result = CliRunner().invoke(app, ["bench", "packed", *options])
    assert result.exit_code == 0, result.output
    results = json.loads(file.read_text())
    assert not results["notes"]
    peers = {case["name"]: "macko" in case["peer_us"] for case in results["cases"]}
    assert peers == {name: name.endswith("/float16/1") for name in peers}
