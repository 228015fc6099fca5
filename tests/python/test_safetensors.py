# SPDX-License-Identifier: Apache-2.0
"""Files of packed arrays: round trips, other layouts, and files that are damaged or hostile."""

import json
import re
import struct

import gossamer
import ml_dtypes
import numpy as np
import pytest
from gossamer import io, macko

safetensors = pytest.importorskip("safetensors")
from safetensors.numpy import load_file, save_file  # noqa: E402

FORMATS = ("bitmap", "gap4", "gap8", "dense")
DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")
KINDS = [(format, dtype) for format in FORMATS[:3] for dtype in DTYPES] + [("dense", "float32")]


def matrix(rows=24, cols=70, density=0.4):
    rng = np.random.default_rng(0)
    mask = rng.random((rows, cols)) < density
    return np.where(mask, rng.standard_normal((rows, cols)), 0).astype(np.float32)


def assert_same(a, b):
    assert type(a) is type(b)
    assert (a.shape, a.dtype) == (b.shape, b.dtype)
    if isinstance(a, gossamer.PackedArray):
        assert (a.format, a.nnz, a.nbytes) == (b.format, b.nnz, b.nbytes)
        np.testing.assert_array_equal(a.decompress(), b.decompress())
    elif gossamer.issparse(a):
        assert a.format == b.format
        np.testing.assert_array_equal(a.todense(), b.todense())
    else:
        np.testing.assert_array_equal(a, b)


# Our own files


def test_a_file_has_the_permissions_of_any_new_one(tmp_path):
    (tmp_path / "new").touch()
    io.save_safetensors(tmp_path / "a", {"W": gossamer.compress(matrix())})
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "new").stat().st_mode


@pytest.mark.parametrize(("format", "dtype"), KINDS)
def test_packed_round_trip(tmp_path, format, dtype):
    file = tmp_path / "one.safetensors"
    for P in (
        gossamer.compress(matrix(), format, dtype),
        gossamer.compress(matrix(), format, dtype).T,
    ):
        gossamer.save_safetensors(file, P)
        assert_same(gossamer.load_safetensors(file), P)
    assert [path.name for path in tmp_path.iterdir()] == ["one.safetensors"]


def test_many_arrays_round_trip(tmp_path):
    W = matrix()
    arrays = {
        "packed": gossamer.compress(W),
        "model.layers.0.weight": gossamer.compress(W, "gap8", "int8"),
        "empty": gossamer.compress(np.zeros((0, 5), np.float32), "bitmap"),
        "no nonzeros": gossamer.compress(np.zeros((3, 5), np.float16), "gap4"),
        "csr": gossamer.fromdense(W),
        "csc": gossamer.fromdense(W.astype(np.complex64), format="csc"),
        "coo": gossamer.fromdense(W.astype(np.float64), format="coo"),
        "dense": W.astype(ml_dtypes.bfloat16)[::-1],
        "bias": np.arange(3),
    }
    file = tmp_path / "many.safetensors"
    gossamer.save_safetensors(file, arrays, metadata={"made by": "a test"})
    loaded = gossamer.load_safetensors(file)
    assert set(loaded) == set(arrays)
    for name, array in arrays.items():
        assert_same(loaded[name], array)
    with safetensors.safe_open(file, framework="np") as opened:
        assert opened.metadata()["made by"] == "a test"
        assert "csr.indptr" in opened.keys()  # noqa: SIM118


def test_single_name_stays_a_table_and_plain_files_are_read(tmp_path):
    file = tmp_path / "file.safetensors"
    gossamer.save_safetensors(file, {"array": matrix()})
    assert list(gossamer.load_safetensors(file)) == ["array"]
    gossamer.save_safetensors(file, matrix())
    np.testing.assert_array_equal(gossamer.load_safetensors(file), matrix())
    save_file({"w": matrix()}, file)
    np.testing.assert_array_equal(gossamer.load_safetensors(file)["w"], matrix())


@pytest.mark.parametrize(
    ("arrays", "metadata", "error", "message"),
    [
        ({"a": [1.0]}, None, TypeError, "'a' is list, expected a PackedArray"),
        ({1: np.ones(1)}, None, TypeError, "the name 1 is no text"),
        ({"a": np.ones(1, np.complex128)}, None, TypeError, "complex128"),
        (np.ones(1), {"gossamer.version": "9"}, ValueError, "begins with 'gossamer.'"),
        (
            lambda: {"a": gossamer.compress(matrix()), "a.values": np.ones(3)},
            None,
            ValueError,
            "two arrays want to write the tensor 'a.values'",
        ),
    ],
)
def test_save_refuses_and_keeps_the_old_file(tmp_path, arrays, metadata, error, message):
    file = tmp_path / "file.safetensors"
    file.write_bytes(b"old")
    with pytest.raises(error, match=message):
        gossamer.save_safetensors(file, arrays() if callable(arrays) else arrays, metadata)
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_save_says_that_the_path_comes_first_and_who_takes_scipys_over(tmp_path):
    file = tmp_path / "file.safetensors"
    for path in (file, str(file)):
        with pytest.raises(TypeError, match=r"path is a dict .*; the path comes first"):
            gossamer.save_safetensors({"a": matrix()}, path)
    S = pytest.importorskip("scipy.sparse").eye_array(3)
    with pytest.raises(TypeError, match=r"'S' is dia_array, .*; gossamer.from_scipy makes"):
        gossamer.save_safetensors(file, {"S": S})
    assert not file.exists()


# Damaged and hostile files


def saved(tmp_path, format="bitmap", dtype="float32"):
    """A file with one packed and one sparse array, its tensors and its metadata."""
    file = tmp_path / "file.safetensors"
    P = gossamer.compress(matrix(), format, dtype)
    gossamer.save_safetensors(file, {"p": P, "s": gossamer.fromdense(matrix())})
    with safetensors.safe_open(file, framework="np") as opened:
        return file, load_file(file), opened.metadata()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"format": "gap5"}, "format 'gap5'"),
        ({"format": ["bitmap"]}, "format \\['bitmap'\\]"),
        ({"dtype": "float64"}, "dtype 'float64'"),
        ({"dtype": "int8"}, "no tensor 'p.scales'"),
        ({"dtype": "float16"}, "values has dtype float32, expected float16"),
        ({"format": "gap8"}, "positions has rank"),
        ({"format": "dense"}, "values has shape"),
        ({"format": "csr"}, "no tensor 'p.data'"),
        ({"shape": [24]}, "has shape \\[24\\], expected two integers"),
        ({"shape": "24"}, "has shape '24'"),
        ({"shape": [24, 70.0]}, "expected two integers"),
        ({"shape": [True, 70]}, "expected two integers"),
        ({"shape": [-24, 70]}, "shape = \\(-24, 70\\)"),
        ({"shape": [2**70, 70]}, "fewer than 2\\*\\*63"),
        ({"shape": [2**62, 1]}, "shape|rows"),
        ({"shape": [24, 2**40]}, "columns"),
        ({"shape": [25, 70]}, "row_offsets has rank 1 and 25 elements"),
        ({"shape": [24, 69]}, "sets column 69|values"),
    ],
)
def test_wrong_layout(tmp_path, entry, message):
    file, tensors, metadata = saved(tmp_path)
    layout = json.loads(metadata["gossamer.arrays"])
    layout["p"] |= entry
    save_file(tensors, file, metadata | {"gossamer.arrays": json.dumps(layout)})
    with pytest.raises((TypeError, ValueError), match=rf"file\.safetensors: .*({message})"):
        gossamer.load_safetensors(file)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gossamer.version": "2"}, "layout version 2, and this Gossamer reads version 1"),
        ({"gossamer.version": "x"}, "layout version x"),
        ({"gossamer.arrays": "{"}, "is not JSON"),
        ({"gossamer.arrays": "[" * 100_000}, "is not JSON"),
        ({"gossamer.arrays": "[]"}, "not a table of tables"),
        ({"gossamer.arrays": '{"p": 1}'}, "not a table of tables"),
        ({"gossamer.arrays": '{"q": {}}'}, "'q' has shape None"),
    ],
)
def test_wrong_metadata(tmp_path, changed, message):
    file, tensors, metadata = saved(tmp_path)
    save_file(tensors, file, metadata | changed)
    with pytest.raises(ValueError, match=message):
        gossamer.load_safetensors(file)


def test_missing_metadata(tmp_path):
    file, tensors, metadata = saved(tmp_path)
    for gone in ("gossamer.version", "gossamer.arrays"):
        save_file(tensors, file, {key: text for key, text in metadata.items() if key != gone})
        with pytest.raises(ValueError, match=r"version None|not JSON"):
            gossamer.load_safetensors(file)


def test_missing_tensor(tmp_path):
    file, tensors, metadata = saved(tmp_path)
    for gone in ("p.values", "p.row_offsets", "s.indptr"):
        save_file({name: t for name, t in tensors.items() if name != gone}, file, metadata)
        with pytest.raises(ValueError, match=f"no tensor '{gone}'"):
            gossamer.load_safetensors(file)


def test_wrong_version_names_the_file(tmp_path):
    file, tensors, metadata = saved(tmp_path)
    save_file(tensors, file, metadata | {"gossamer.version": "7"})
    with pytest.raises(ValueError, match=r"file\.safetensors: it has layout version 7"):
        gossamer.load_safetensors(file)


@pytest.mark.parametrize("format", FORMATS[:3])
def test_truncated_files(tmp_path, format):
    file, _, _ = saved(tmp_path, format, "int8")
    content = file.read_bytes()
    for length in [0, 1, 7, 8, 9, 100, len(content) // 2, len(content) - 1]:
        file.write_bytes(content[:length])
        with pytest.raises(ValueError, match=r"file\.safetensors"):
            gossamer.load_safetensors(file)


@pytest.mark.parametrize("header", [0, 1, 2**31, 2**63 - 1, 2**64 - 1])
def test_wrong_header_length(tmp_path, header):
    file, _, _ = saved(tmp_path)
    file.write_bytes(struct.pack("<Q", header) + file.read_bytes()[8:])
    with pytest.raises(ValueError, match=r"file\.safetensors"):
        gossamer.load_safetensors(file)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("seed", range(25))
def test_mutated_files_are_refused_or_harmless(tmp_path, format, seed):
    rng = np.random.default_rng(seed)
    dtype = "int8" if seed % 2 and format != "dense" else "float32"
    file, _, _ = saved(tmp_path, format, dtype)
    content = bytearray(file.read_bytes())
    for _ in range(rng.integers(1, 5)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(content)
    try:
        arrays = gossamer.load_safetensors(file)
    except (TypeError, ValueError):
        return
    with np.errstate(all="ignore"):
        for array in arrays.values():
            if not isinstance(array, np.ndarray):
                assert len(array @ np.ones(array.shape[1], np.float32)) == array.shape[0]


@pytest.mark.parametrize("format", FORMATS[:3])
@pytest.mark.parametrize("part", ["positions", "row_offsets", "scales", "values"])
@pytest.mark.parametrize("seed", range(5))
def test_mutated_tensors_are_refused_or_harmless(tmp_path, format, part, seed):
    rng = np.random.default_rng(seed)
    file, tensors, metadata = saved(tmp_path, format, "int8")
    tensors[f"p.{part}"] = tensors[f"p.{part}"].copy()
    bits = tensors[f"p.{part}"].view(np.uint8)
    bits[rng.integers(bits.size)] ^= 1 << rng.integers(8)
    save_file(tensors, file, metadata)
    try:
        P = gossamer.load_safetensors(file)["p"]
    except ValueError:
        return
    assert (P @ np.ones(70, np.float32)).shape == (24,)


# compressed-tensors


def bitmask_tensors(W):
    """The layout written down anew: rows of whole bytes, offsets without the last."""
    counts = np.count_nonzero(W, axis=1)
    return {
        "w.shape": np.array(W.shape),
        "w.compressed": W[W != 0],
        "w.bitmask": np.packbits(W != 0, axis=1, bitorder="little"),
        "w.row_offsets": np.cumsum(counts) - counts,
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("shape", [(24, 70), (3, 8), (5, 33), (0, 4), (1, 1)])
def test_compressed_tensors(tmp_path, dtype, shape):
    W = matrix(*shape).astype(dtype)
    file = tmp_path / "model.safetensors"
    save_file({**bitmask_tensors(W), "norm": np.ones(3)}, file)
    arrays = io.read_compressed_tensors(file)
    assert_same(arrays["w"], gossamer.compress(W, "bitmap"))
    assert_same(arrays["norm"], np.ones(3))

    other = tmp_path / "other.safetensors"
    io.write_compressed_tensors(other, {"w": gossamer.compress(W, "gap8"), "norm": np.ones(3)})
    written, expected = load_file(other), load_file(file)
    assert set(written) == set(expected)
    for name, tensor in expected.items():
        assert_same(written[name], tensor)


def test_transposed_views_are_repacked(tmp_path):
    file = tmp_path / "model.safetensors"
    io.write_compressed_tensors(file, {"w": gossamer.compress(matrix(), "bitmap").T})
    np.testing.assert_array_equal(io.read_compressed_tensors(file)["w"].decompress(), matrix().T)


def test_write_compressed_tensors_refuses(tmp_path):
    P = gossamer.compress(matrix(), dtype="int8")
    for array, message in ((P, "no place for scales"), ([1.0], "'w' is list")):
        with pytest.raises(TypeError, match=message):
            io.write_compressed_tensors(tmp_path / "w.safetensors", {"w": array})


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("shape", lambda t: t + 1, "bitmask is uint8 of shape"),
        ("shape", lambda t: np.array([24, 2**62]), "bitmask is uint8"),
        ("shape", lambda t: np.array([-1, 70]), "bitmask is uint8"),
        ("shape", lambda t: t.astype(float), "shape is float64"),
        ("shape", lambda t: t[:1], "expected two integers"),
        ("compressed", lambda t: t[:-1], "bits set|values"),
        ("compressed", lambda t: t.astype(np.float64), "dtype"),
        ("bitmask", lambda t: t[:, :-1], "bitmask is uint8 of shape"),
        ("bitmask", lambda t: t.astype(np.int8), "bitmask is int8"),
        ("bitmask", lambda t: t | np.uint8(255), "sets column|bits set"),
        ("row_offsets", lambda t: t[1:], "row_offsets is int64 with 23"),
        ("row_offsets", lambda t: t.astype(np.int32), "row_offsets is int32"),
        ("row_offsets", lambda t: t + 1, r"row_offsets\[0\] = 1|bits set|run from"),
        ("row_offsets", lambda t: t[::-1].copy(), "row_offsets"),
        ("row_offsets", lambda t: t - 2**62, "run from"),
        ("row_offsets", lambda t: t * 2**33, "run from"),
    ],
)
def test_wrong_bitmask_weights(tmp_path, name, change, message):
    file = tmp_path / "model.safetensors"
    tensors = bitmask_tensors(matrix())
    tensors[f"w.{name}"] = np.ascontiguousarray(change(tensors[f"w.{name}"]))
    save_file(tensors, file)
    with pytest.raises((TypeError, ValueError), match=message):
        io.read_compressed_tensors(file)


# MACKO's state dicts


def state_dict(W):
    values, deltas, row_indices, rows, cols = macko.compress(W)
    return {
        "model.layers.0.mlp.up_proj.c_0": values,
        "model.layers.0.mlp.up_proj.c_1": deltas,
        "model.layers.0.mlp.up_proj.c_2": row_indices,
        "model.layers.0.mlp.up_proj.c_3": np.array(rows),
        "model.layers.0.mlp.up_proj.c_4": np.array([cols]),
        "model.norm.weight": np.ones(3, np.float16),
    }


def test_macko_checkpoint_in_safetensors(tmp_path):
    W = matrix().astype(np.float16)
    file = tmp_path / "model.safetensors"
    save_file(state_dict(W), file)
    arrays = io.read_macko_checkpoint(file)
    assert set(arrays) == {"model.layers.0.mlp.up_proj.weight", "model.norm.weight"}
    assert_same(arrays["model.layers.0.mlp.up_proj.weight"], gossamer.compress(W, "gap4"))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_macko_checkpoint_of_torch(tmp_path, dtype):
    torch = pytest.importorskip("torch", reason="needs PyTorch")
    W = matrix().astype(np.float16)
    state = {name: torch.from_numpy(np.array(tensor)) for name, tensor in state_dict(W).items()}
    name = "model.layers.0.mlp.up_proj"
    state[f"{name}.c_0"] = state[f"{name}.c_0"].to(getattr(torch, dtype))
    state[f"{name}.c_3"] = 24
    torch.save(state, tmp_path / "model.pt")
    weight = io.read_macko_checkpoint(tmp_path / "model.pt")[f"{name}.weight"]
    assert weight.dtype.name == dtype
    np.testing.assert_allclose(weight.decompress("float32"), W, rtol=2**-7)

    (tmp_path / "evil.pt").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ValueError, match=r"evil\.pt: it is no file of tensors"):
        io.read_macko_checkpoint(tmp_path / "evil.pt")
    for i, content in enumerate((b"", b"hello world\n", b"x" * 100, bytes(range(256)))):
        (tmp_path / f"{i}.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"it is no file of tensors"):
            io.read_macko_checkpoint(tmp_path / f"{i}.pt")


def test_a_folder_is_no_file(tmp_path):
    for read in (io.load_safetensors, io.read_compressed_tensors):
        with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
            read(tmp_path)


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("c_3", None, "lacks c_3"),
        ("c_0", lambda t: t[:-8], "row 23|values has rank"),
        ("c_1", lambda t: t | np.uint8(0x0F), "column|padding|gap"),
        ("c_2", lambda t: t[::-1].copy(), "values has rank"),
        ("c_3", lambda t: np.array(23), "row_offsets has rank"),
        ("c_3", lambda t: np.array([24, 24]), "expected an integer"),
        ("c_4", lambda t: t - 60, "column|slots"),
        ("c_4", lambda t: t * 1.0, "expected an integer"),
    ],
)
def test_wrong_macko_checkpoints(tmp_path, part, change, message):
    state = state_dict(matrix().astype(np.float16))
    name = f"model.layers.0.mlp.up_proj.{part}"
    tensor = state.pop(name)
    if change is not None:
        state[name] = change(tensor)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=message):
        io.read_macko_checkpoint(tmp_path / "model.safetensors")


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_sparse_complex128_is_written_as_pairs(tmp_path, format):
    file = tmp_path / "complex.safetensors"
    A = gossamer.fromdense(matrix() * (1 + 2j), format=format).astype("complex128")
    gossamer.save_safetensors(file, A)
    loaded = gossamer.load_safetensors(file)
    assert (loaded.dtype, loaded.format) == (np.complex128, format)
    np.testing.assert_array_equal(loaded.todense(), A.todense())


def test_pairs_that_are_none_are_refused(tmp_path):
    file = tmp_path / "complex.safetensors"
    gossamer.save_safetensors(file, {"a": gossamer.eye(3).astype("complex128")})
    with io.tensor_file.open_tensors(file) as opened:
        metadata, parts = opened.metadata, {name: opened.read(name) for name in opened.names}
    io.tensor_file.write_tensors(file, parts | {"a.data": np.ones((3, 3))}, metadata)
    with pytest.raises(ValueError, match=r"shape \(3, 3\), expected pairs of float64"):
        gossamer.load_safetensors(file)


def test_unknown_framework(tmp_path):
    file = tmp_path / "a.safetensors"
    gossamer.save_safetensors(file, gossamer.eye(3))
    with pytest.raises(
        ValueError, match=r"framework = 'pytorch', expected 'numpy', 'torch', 'cupy'"
    ):
        gossamer.load_safetensors(file, framework="pytorch")
