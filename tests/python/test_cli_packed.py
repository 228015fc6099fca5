# SPDX-License-Identifier: Apache-2.0
"""The console commands around packed arrays: info, the benchmark, the demonstration."""

import json

import gossamer
import ml_dtypes
import numpy as np
import pytest
from gossamer.cli.info import Entry
from gossamer.cli.main import app
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
