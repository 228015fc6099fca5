# SPDX-License-Identifier: Apache-2.0
"""The console command: what it prints, and what it refuses."""

import json
import os
import subprocess
import sys

import gossamer
import numpy as np
import pytest
import typer

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
from commands import invoke, refusal
from gossamer.cli import console, machine, matrices, options
from gossamer.cli.bench.command import settle_threads
from gossamer.cli.bench.peers import open_libraries
from gossamer.cli.console import say_if_busy
from gossamer.cli.demo import pruned
from gossamer.cli.demo.report import plot_demo
from gossamer.cli.figures import save_figure
from matplotlib.figure import Figure

QUICK = ["bench", "csr", "--quick", "--peers", "scipy"]


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout == f"gossamer {gossamer.__version__}\n"


def test_the_package_runs_as_the_command():
    run = [sys.executable, "-m", "gossamer", "--help"]
    result = subprocess.run(run, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "python -m gossamer [OPTIONS] COMMAND" in result.stdout


def test_importing_gossamer_leaves_the_command_alone():
    script = "import gossamer, sys; print([m for m in sys.modules if 'typer' in m or '.cli' in m])"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stdout == "[]\n", result.stderr


def test_missing_extra_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = invoke("demo")
    assert result.exit_code == 2
    assert "pip install '.[demo]' in a clone" in result.stderr


# gossamer bench csr


def test_bench_prints_pure_json():
    result = invoke(*QUICK, "--only", "^(banded-100|tall-20k)/", "--threads", "1,2", "--json", "-")
    assert result.exit_code == 0, result.stderr
    results = json.loads(result.stdout)
    measured = {(case["matrix"], case["operation"], case["threads"]) for case in results["cases"]}
    assert ("banded-100", "spmv", 1) in measured
    assert ("tall-20k", "spgemm", 2) in measured
    assert results["wrong"] == []
    for case in results["cases"]:
        assert set(case["seconds"]) == {"gossamer", "scipy"}
        ratio = case["seconds"]["scipy"] / case["seconds"]["gossamer"]
        assert case["speedup"]["scipy"] == pytest.approx(ratio)
    assert results["machine"]["cores"] >= 1
    assert results["startup"]["gossamer_seconds_above_numpy"] > 0


def test_bench_writes_file_and_plot(tmp_path):
    json_file, plot = tmp_path / "out.json", tmp_path / "out.svg"
    files = ["--json", str(json_file), "--plot", str(plot)]
    result = invoke(*QUICK, "--only", "^ising-12/float32/spm", "--threads", "1", *files)
    assert result.exit_code == 0, result.stderr
    assert "geometric mean" in result.stdout
    operations = [case["operation"] for case in json.loads(json_file.read_text())["cases"]]
    assert operations == ["spmv", "spmm-16"]
    assert plot.read_text().count("<svg") == 1


def test_bench_resumes_where_it_stopped(tmp_path):
    json_file = tmp_path / "out.json"
    options = [*QUICK, "--only", "^(banded-100|ising-12)/float32/spmv", "--json", str(json_file)]
    assert invoke(*options, "--threads", "1").exit_code == 0
    results = json.loads(json_file.read_text())
    kept, lost = results["cases"]
    kept["seconds"]["gossamer"] = 1234.5
    results["cases"] = [kept | {"commit": "an earlier one"}]
    json_file.write_text(json.dumps(results))

    refused = invoke(*options, "--threads", "2", "--resume")
    assert refused.exit_code == 2
    assert "threads was [1]" in " ".join(refused.stderr.replace("│", " ").split())
    assert invoke(*options, "--threads", "1", "--resume").exit_code == 0
    first, second = json.loads(json_file.read_text())["cases"]
    assert first == kept | {"commit": "an earlier one"}
    assert (second["matrix"], second["operation"]) == (lost["matrix"], lost["operation"])
    assert second["commit"] == results["commit"]


def test_bench_resumes_with_every_number_of_threads(tmp_path):
    json_file = tmp_path / "out.json"
    options = [*QUICK, "--only", "^banded-100/float32/spmv$", "--json", str(json_file)]
    assert invoke(*options, "--threads", "2,1").exit_code == 0
    results = json.loads(json_file.read_text())
    kept = results["cases"].pop(0)
    del kept["commit"]
    json_file.write_text(json.dumps(results | {"cases": [kept], "commit": "an earlier one"}))

    assert invoke(*options, "--threads", "2,1", "--resume").exit_code == 0
    first, second = json.loads(json_file.read_text())["cases"]
    assert first == kept | {"commit": "an earlier one"}
    assert (first["threads"], second["threads"]) == (2, 1)
    assert second["commit"] == results["commit"]


@pytest.mark.parametrize("suite", ["csr", "packed"])  # pytest-benchmark has a fixture "benchmark"
def test_bench_does_not_resume_on_another_processor(suite, tmp_path):
    json_file = tmp_path / "out.json"
    quick = {"benchmark": suite, "quick": True, "threads": [1], "cases": []}
    json_file.write_text(json.dumps(quick | {"machine": {"cpu": "another"}}))
    options = ["--quick", "--threads", "1", "--resume", "--json", str(json_file)]
    refused = invoke("bench", suite, *options)
    assert refused.exit_code == 2
    assert "cpu was 'another'" in " ".join(refused.stderr.replace("│", " ").split())


@pytest.mark.parametrize("suite", ["csr", "packed"])
def test_bench_does_not_resume_with_other_kernels_of_openblas(suite, tmp_path, monkeypatch):
    json_file = tmp_path / "out.json"
    settings = {"benchmark": suite, "quick": True, "threads": [1], "cases": []}
    settings["environment"] = settle_threads() | {"OPENBLAS_CORETYPE": "Haswell"}
    settings["machine"] = {"cpu": machine.processor_name()}
    json_file.write_text(json.dumps(settings))
    monkeypatch.setenv("OPENBLAS_CORETYPE", "SkylakeX")
    options = ["--quick", "--threads", "1", "--resume", "--json", str(json_file)]
    refused = invoke("bench", suite, *options)
    assert refused.exit_code == 2
    assert "environment was" in " ".join(refused.stderr.replace("│", " ").split())


def test_bench_multiplies_grids_by_interpolations():
    result = invoke(*QUICK, "--only", "/galerkin$", "--threads", "1", "--json", "-")
    assert result.exit_code == 0, result.stderr
    cases = json.loads(result.stdout)["cases"]
    assert [(case["matrix"], case["dtype"]) for case in cases] == [
        ("fem2d-1k", "float32"),
        ("fem2d-1k", "float64"),
    ]


def test_bench_reports_a_wrong_result(monkeypatch):
    monkeypatch.setattr(
        "gossamer.cli.bench.peers.gossamer_library.Gossamer.product",
        lambda self, A, X, transposed=False: lambda: A @ X + 1e-3,
    )
    result = invoke(*QUICK, "--only", "^banded-100/float64/spmv", "--threads", "1", "--json", "-")
    assert result.exit_code == 1
    results = json.loads(result.stdout)
    assert results["cases"] == []
    assert "more than rounding explains" in results["wrong"][0]


def test_bench_notes_a_peer_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    libraries, notes = open_libraries(["scipy", "torch"])
    assert [library.name for library in libraries] == ["gossamer", "scipy"]
    assert len(notes) == 1
    assert "torch was left out" in notes[0]


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--peers", "eigen", "'eigen' is not one of scipy"),
        ("--threads", "1,two", "'1,two' is not a list of counts"),
        ("--threads", "0", "'0' is not a list of counts"),
        ("--only", "[", "'[' is not a regular expression"),
        ("--only", "^spmv", "matches no case. There are: banded-100, fem2d-1k"),
        ("--only", "^spmv", "/ float32, float64 / spmv, spmm-16"),
        ("--device", "tpu", "'tpu' is not one of cpu, cuda"),
        ("--plot", "no/folder/a.png", "there is no folder no/folder"),
        ("--json", "no/folder/a.json", "there is no folder no/folder"),
        ("--json", ".", "is a folder, expected a file to write"),
        ("--json", os.devnull, "is no regular file, which could be replaced"),
    ],
)
def test_bench_refuses_bad_options(option, value, message):
    assert message in refusal(invoke("bench", "csr", "--quick", option, value))


def test_bench_refuses_a_link_into_a_folder_that_is_not_there(tmp_path):
    link = tmp_path / "a.json"
    link.symlink_to(tmp_path / "no/a.json")
    said = refusal(invoke("bench", "csr", "--quick", "--only", "none", "--json", link))
    assert f"there is no folder {tmp_path / 'no'} to write to" in said


def test_bench_spmm_takes_the_device_that_it_needs(monkeypatch):
    def require_gpu():
        raise typer.BadParameter("asked for a GPU")

    monkeypatch.setattr("gossamer.cli.bench.spmm.require_gpu", require_gpu)
    assert "asked for a GPU" in refusal(invoke("bench", "spmm", "--device", "cuda"))
    refused = refusal(invoke("bench", "spmm", "--device", "cpu"))
    assert "--device: these products are measured on a GPU" in refused


@pytest.mark.parametrize("command", [("demo",), ("bench", "csr"), ("bench", "spmm")])
@pytest.mark.parametrize("name", ["a.gif", "a", "a.pngx"])
def test_figures_are_refused_before_anything_is_measured(command, name):
    refused = refusal(invoke(*command, "--plot", name))
    assert f"{name}: expected a name that ends in .png, .svg, .pdf" in refused


@pytest.mark.parametrize("name", options.FIGURE_ENDINGS)
def test_every_ending_of_a_figure_can_be_drawn(tmp_path, name):
    file = options.figure_file(tmp_path / f"a{name}")
    save_figure(Figure(), file)
    assert file.stat().st_size > 100
    assert os.listdir(tmp_path) == [file.name]


@pytest.mark.filterwarnings("ignore:No artists")
def test_a_figure_that_cannot_be_drawn_leaves_the_old_one(tmp_path, monkeypatch):
    def begin(figure, path, **options):
        path.write_text("half")
        raise OSError("no space left")

    file = tmp_path / "a.png"
    file.write_text("old")
    monkeypatch.setattr(Figure, "savefig", begin)
    with pytest.raises(OSError, match="no space left"):
        plot_demo([], np.zeros((2, 2)), "", file)
    assert file.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.png"]


# The commands on language models, where their libraries are missing too


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("prune", "m", "-o", "out"), "--method wanda needs a calibration text: --text FILE"),
        (("prune", "m", "-o", "out", "--method", "best"), "'best' is not one of magnitude"),
        (("prune", "m", "-o", "out", "--sparsity", "2"), "Invalid value for '--sparsity'"),
        (("prune", "m", "-o", "out", "--sparsity-of", "0.5x"), "'0.5x' is not of the form"),
        (("prune", "m", "-o", "out", "--text", "none.txt"), "none.txt: there is no such file"),
        (("eval", "m", "--text", os.devnull), f"{os.devnull} is empty"),
        (("prune", "m", "-o", "."), "is no model's folder"),
        (("compress", "m", "-o", "out", "--dtype", "int4"), "'int4', expected one of float32"),
        (("compress", "m", "-o", "out", "--shard", "many"), "'many' is no size such as 500MB"),
        (("eval", "m", "--text", "."), ".: is a folder, expected a file"),
        (("eval", "m", "--text", "empty.txt"), "empty.txt is empty"),
        (("generate", "m", "--prompt", "a", "--device", "tpu"), "'tpu' is not one of cpu, cuda"),
        (("generate", "m", "--prompt", "a", "--max-new-tokens", "0"), "'--max-new-tokens'"),
        (("bench", "llm", "--shape", "gpt"), "'gpt' is not one of llama-2-7b"),
        (("bench", "llm", "--densities", "5"), "--densities: '5' is not a list of shares"),
    ],
)
def test_models_commands_refuse_bad_arguments_first(monkeypatch, tmp_path, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text(" ")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert message in refusal(invoke(*arguments))


def test_models_commands_name_the_missing_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused = refusal(invoke("generate", "m", "--prompt", "a"))
    assert "missing: torch, transformers, safetensors; pip install '.[llm]' in a clone" in refused


# gossamer demo


def test_demo_prints_a_table_and_draws_a_figure(tmp_path, monkeypatch):
    monkeypatch.setattr(pruned, "_PAUSE", 0)  # nothing is read off the times
    plot = tmp_path / "demo.png"
    result = invoke("demo", "--quick", "--plot", str(plot))
    assert result.exit_code == 0, result.output
    assert "conjugate gradients" in result.stdout
    assert "exact -12.381490" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("load", "usable", "note"),
    [
        ("3.10 2.00 1.00 1/100 7", 2, None),
        ("0.00 0.00 0.00 2/100 7", 2, "note: 1 other thread runs on 2 cores: timings will be off"),
        ("0.00 0.00 0.00 4/100 7", 2, "note: 3 other threads run on 2 cores: timings will be off"),
        ("0.00 0.00 0.00 2/100 7", 1, None),
        ("", 2, None),
        ("0.00 0.00 0.00 ?/? 7", 2, None),
    ],
)
def test_what_else_runs_is_said_before_timings(load, usable, note, tmp_path, monkeypatch, capsys):
    (tmp_path / "loadavg").write_text(load)
    monkeypatch.setattr(machine, "_LOAD", tmp_path / "loadavg")
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(machine, "usable_cores", lambda: usable)
    say_if_busy()
    assert capsys.readouterr().err == ("" if note is None else f"{note}\n")


def test_demo_and_bench_say_what_else_runs(monkeypatch):
    monkeypatch.setattr(console, "busy_note", lambda: "note: busy")
    result = invoke(*QUICK, "--only", "^ising-12/float32/spmv", "--threads", "1")
    assert result.stderr == "note: busy\n"
    monkeypatch.setattr("gossamer.cli.demo.command._solve_problems", None)
    assert invoke("demo", "--quick").stderr.startswith("note: busy\n")


def test_demo_multiplies_a_matrix_market_file(tmp_path):
    pytest.importorskip("fast_matrix_market")
    from scipy.io import mmwrite

    mmwrite(tmp_path / "small.mtx", matrices.poisson_2d(20))
    plot = tmp_path / "small.png"
    result = invoke("demo", "--matrix", str(tmp_path / "small.mtx"), "--plot", str(plot))
    assert result.exit_code == 0, result.output
    assert "A @ X, 16 columns" in result.stdout
    assert plot.exists()


def test_demo_refuses_a_file_that_is_not_there():
    refused = refusal(invoke("demo", "--matrix", "nope.mtx"))
    assert "Invalid value for '--matrix': nope.mtx: there is no such file" in refused
    assert "is no regular file" in refusal(invoke("demo", "--matrix", os.devnull))


def test_demo_refuses_a_file_that_is_no_matrix(tmp_path):
    pytest.importorskip("fast_matrix_market")
    file = tmp_path / "bad.mtx"
    file.write_text("not a matrix\n")
    result = invoke("demo", "--matrix", str(file), "--plot", str(tmp_path / "bad.png"))
    assert result.exit_code == 2
    assert result.stderr.startswith("--matrix: ")
    assert "bad.mtx" in result.stderr
    assert "Traceback" not in result.output
