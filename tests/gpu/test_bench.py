# SPDX-License-Identifier: Apache-2.0
"""Benchmarks on a GPU."""

import json

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
