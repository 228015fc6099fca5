# SPDX-License-Identifier: Apache-2.0
"""Files: round trips, other writers' files, and hostile ones."""

import gzip
import io
import os
import zipfile
from contextlib import suppress

import gossamer
import numpy as np
import pytest
from cases import build, every_format, every_index_dtype, named
from gossamer.io import load_npz, read_matrix_market, save_npz, write_matrix_market

NAMES = ["unsorted", "duplicates", "banded", "no_entries", "empty_0x0", "empty_5x0", "nan_inf"]
every_name = pytest.mark.parametrize("name", NAMES)


# ---- npz ---------------------------------------------------------------------------------------


@every_name
@every_format
@every_index_dtype
@pytest.mark.parametrize("compressed", [True, False])
def test_npz_round_trip(tmp_path, name, format, index_dtype, compressed):
    A = build(named(name), np.complex64, format, index_dtype)
    save_npz(tmp_path / "a.npz", A, compressed)
    B = load_npz(tmp_path / "a.npz")
    assert repr(B) == repr(A)
    np.testing.assert_array_equal(B.data, A.data)
    np.testing.assert_array_equal(B.tocoo().coords, A.tocoo().coords)


def test_npz_is_found_by_the_name_it_was_saved_under(tmp_path):
    A = gossamer.eye(3)
    save_npz(tmp_path / "matrix", A)
    assert (tmp_path / "matrix.npz").is_file()
    assert load_npz(tmp_path / "matrix").shape == A.shape
    with pytest.raises(FileNotFoundError, match=r"other\.npz"):
        load_npz(tmp_path / "other")
    save_npz(tmp_path / "two.npz", gossamer.eye(2))
    (tmp_path / "two.npz").rename(tmp_path / "matrix")
    assert load_npz(tmp_path / "matrix").shape == (2, 2)


@every_format
def test_npz_is_scipys(tmp_path, format):
    sparse = pytest.importorskip("scipy.sparse")
    A = build(named("random_0.1"), np.float64, format)
    save_npz(os.fspath(tmp_path / "ours"), A)
    S = sparse.load_npz(tmp_path / "ours.npz")
    assert S.format == format
    assert isinstance(S, sparse.sparray)
    np.testing.assert_array_equal(S.toarray(), A.todense())
    for kind in (S, getattr(sparse, f"{format}_matrix")(S)):
        sparse.save_npz(tmp_path / "theirs.npz", kind)
        np.testing.assert_array_equal(load_npz(tmp_path / "theirs.npz").todense(), A.todense())


def test_saving_replaces_in_one_step(tmp_path, monkeypatch):
    A = build(named("banded"), np.float64)
    path = tmp_path / "a.npz"
    save_npz(path, A)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez_compressed", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        save_npz(path, A * 2)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.npz"]
    (tmp_path / "link.npz").symlink_to(path)
    monkeypatch.undo()
    save_npz(tmp_path / "link.npz", A * 2)
    assert (tmp_path / "link.npz").is_symlink()
    np.testing.assert_array_equal(load_npz(path).data, 2 * A.data)


def test_npz_refuses_bfloat16(tmp_path):
    with pytest.raises(TypeError, match="bfloat16"):
        save_npz(tmp_path / "a.npz", build(named("full"), "float32").astype("bfloat16"))


def npy(array) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def parts(**changed):
    arrays = {
        "format": np.array(b"csr"),
        "shape": np.array([2, 3]),
        "data": np.array([1.0, 2.0]),
        "indices": np.array([0, 2], np.int32),
        "indptr": np.array([0, 1, 2], np.int32),
    }
    return {k: v for k, v in (arrays | changed).items() if v is not None}


def archive(path, method=zipfile.ZIP_DEFLATED, **changed):
    with zipfile.ZipFile(path, "w", method) as file:
        for name, array in parts(**changed).items():
            raw = array if isinstance(array, bytes) else npy(array)
            file.writestr(f"{name}.npy", raw)
    return path


HOSTILE_NPZ = {
    "unknown format": {"format": np.array(b"bsr")},
    "no format": {"format": None},
    "format is an array": {"format": np.array([b"csr", b"csc"])},
    "no data": {"data": None},
    "shape of three": {"shape": np.array([2, 3, 4])},
    "negative shape": {"shape": np.array([-2, 3])},
    "shape of one number": {"shape": np.array(2)},
    "fractions in the shape": {"shape": np.array([2.5, 3])},
    "huge shape": {"shape": np.array([2**62, 2**62])},
    "index out of range": {"indices": np.array([0, 3], np.int32)},
    "offsets fall": {"indptr": np.array([0, 3, 2], np.int32)},
    "too few indices": {"indices": np.array([0], np.int32)},
    "pickled objects": {"data": np.array([object(), 1])},
    "truncated header": {"data": b"\x93NUMPY\x01\x00"},
    "not npy": {"data": b"hello"},
    "header is cut": {"data": npy(np.zeros(2))[:60]},
    "header claims too much": {"data": npy(np.zeros(2)).replace(b"(2,), }     ", b"(2000000,), }")},
    "trailing bytes": {"data": npy(np.zeros(2)) + b"x"},
    "missing bytes": {"data": npy(np.zeros(2))[:-1]},
    "a code object as header": {
        "data": b"\x93NUMPY\x01\x00\x20\x00" + b"__import__('os').abort()".ljust(31) + b"\n"
    },
}


@pytest.mark.parametrize("case", HOSTILE_NPZ)
def test_hostile_npz(tmp_path, case):
    path = archive(tmp_path / "bad.npz", **HOSTILE_NPZ[case])
    with pytest.raises(ValueError, match=r"bad\.npz: "):
        load_npz(path)


def test_integer_values_are_refused(tmp_path):
    path = archive(tmp_path / "a.npz", data=np.array([1, 2]))
    with pytest.raises(
        TypeError, match=r"a\.npz: data has dtype int64, .*give gossamer.from_scipy"
    ):
        load_npz(path)


def test_unknown_compression(tmp_path):
    path = archive(tmp_path / "bad.npz", zipfile.ZIP_LZMA)
    with pytest.raises(ValueError, match="compressed by method 14"):
        load_npz(path)


def test_sizes_that_cannot_be_true(tmp_path):
    """The directory of the archive claims 2**40 bytes for one member."""
    path = archive(tmp_path / "bad.npz", zipfile.ZIP_STORED)
    raw = bytearray(path.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 24 : at + 28] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(raw)
    with pytest.raises(ValueError, match="claims 4294967280 bytes"):
        load_npz(path)


def test_truncated_and_flipped_npz(tmp_path):
    raw = archive(tmp_path / "good.npz").read_bytes()
    path = tmp_path / "bad.npz"
    rng = np.random.default_rng(0)
    for cut in range(0, len(raw), 7):
        path.write_bytes(raw[:cut])
        with pytest.raises(ValueError, match=r"bad\.npz: "):
            load_npz(path)
    for _ in range(300):
        changed = bytearray(raw)
        changed[rng.integers(len(raw))] ^= 1 << rng.integers(8)
        path.write_bytes(changed)
        try:
            A = load_npz(path)
        except (ValueError, TypeError):
            continue
        assert A.shape == (2, 3)


# ---- MatrixMarket ------------------------------------------------------------------------------

pytest.importorskip("fast_matrix_market")


@pytest.mark.parametrize("name", [n for n in NAMES if n != "nan_inf"])
@every_format
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128", "bfloat16"])
@pytest.mark.parametrize("file", ["a.mtx", "a.mtx.gz"])
def test_matrix_market_round_trip(tmp_path, name, format, dtype, file):
    A = build(named(name), np.float64, format).astype(dtype)
    write_matrix_market(tmp_path / file, A)
    B = read_matrix_market(tmp_path / file)
    assert B.shape == A.shape
    if A.nnz:
        assert B.dtype == ("complex128" if dtype.startswith("complex") else "float64")
    coo = A.tocoo()
    np.testing.assert_array_equal(B.astype(dtype).data, coo.data)
    np.testing.assert_array_equal(B.coords, coo.coords)


def mtx(tmp_path, text, name="a.mtx"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


HEAD = "%%MatrixMarket matrix coordinate real general\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "% note\n2 2 2\n1 1 1.5\n2 1 -2e3\n", [[1.5, 0], [-2000, 0]]),
        (HEAD.replace("real", "integer") + "2 2 1\n1 2 7\n", [[0, 7], [0, 0]]),
        (HEAD.replace("real", "pattern") + "2 2 1\n1 2\n", [[0, 1], [0, 0]]),
        (HEAD.replace("general", "symmetric") + "2 2 2\n1 1 1\n2 1 5\n", [[1, 5], [5, 0]]),
        (HEAD.replace("general", "skew-symmetric") + "2 2 1\n2 1 5\n", [[0, -5], [5, 0]]),
        (
            HEAD.replace("real", "complex").replace("general", "hermitian") + "2 2 1\n2 1 5 1\n",
            [[0, 5 - 1j], [5 + 1j, 0]],
        ),
        ("%%MatrixMarket matrix array real general\n2 2\n1\n0\n3\n4\n", [[1, 3], [0, 4]]),
        ("%%MatrixMarket matrix array real general\n0 3\n", []),
        ("%%MatrixMarket matrix array complex general\n2 0\n", [[], []]),
    ],
)
def test_matrix_market_fields(tmp_path, text, expected):
    assert read_matrix_market(mtx(tmp_path, text)).todense().tolist() == expected
    compressed = mtx(tmp_path, gzip.compress(text.encode()), "a.mtx.gz")
    assert read_matrix_market(compressed).todense().tolist() == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "%%MatrixMarket",
        "%%MatrixMarket matrix coordinate real\n",
        HEAD,
        HEAD + "2 2\n",
        HEAD + "a b c\n",
        HEAD + "2 2 2\n1 1 1\n",
        HEAD + "2 2 1\n1 1\n",
        HEAD + "2 2 1\n1 1 x\n",
        HEAD + "2 2 1\n3 1 1\n",
        HEAD + "2 2 1\n0 1 1\n",
        HEAD + "2 2 1\n-1 1 1\n",
        HEAD + "2 2 1\n1 99999999999999999999 1\n",
        HEAD + "2 2 1000000000000\n1 1 1\n",
        HEAD + "2 2 -1\n1 1 1\n",
        HEAD + "-2 2 1\n1 1 1\n",
        HEAD + "99999999999999999999 2 1\n1 1 1\n",
        HEAD + "2 2 1\n1 1 1\n1 2 1\n",
        HEAD + "0 2 1\n1 1 1\n",
        HEAD.replace("general", "symmetric") + "2 3 1\n2 1 5\n",
        HEAD + "%" + "x" * 2**21 + "\n2 2 1\n1 1 1\n",
        "%%MatrixMarket matrix array real general\n100000000 100000000\n1\n",
        "%%MatrixMarket matrix array real general\n4294967296 4294967296\n1\n",
        "%%MatrixMarket matrix array real symmetric\n100000 100000\n1\n",
        "%%MatrixMarket matrix array real general\n2 2\n1\n2\n",
    ],
)
def test_hostile_matrix_market(tmp_path, text):
    with pytest.raises(ValueError, match=r"a\.mtx: "):
        read_matrix_market(mtx(tmp_path, text))


def test_truncated_and_flipped_matrix_market(tmp_path):
    path = tmp_path / "a.mtx"
    write_matrix_market(path, build(named("random_0.5"), np.float64)[:6, :6])
    raw = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        changed = bytearray(raw)
        for _ in range(rng.integers(1, 4)):
            changed[rng.integers(len(raw))] = rng.integers(256)
        mtx(tmp_path, bytes(changed[: rng.integers(len(raw) + 1)]))
        try:
            A = read_matrix_market(path)
        except ValueError:
            continue
        assert A.nnz <= len(raw)


def test_damaged_gzip(tmp_path):
    path = tmp_path / "a.mtx.gz"
    write_matrix_market(path, build(named("random_0.5"), np.float64)[:6, :6])
    raw = path.read_bytes()
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 0xFF
        mtx(tmp_path, bytes(changed), path.name)
        with suppress(ValueError):
            read_matrix_market(path)
    changed = raw[:-8] + bytes(8)  # where gzip keeps the sum and the length of what it holds
    with pytest.raises(ValueError, match=r"a\.mtx\.gz: CRC check failed"):
        read_matrix_market(mtx(tmp_path, changed, path.name))


def test_other_files(tmp_path):
    for write, name in ((save_npz, "a.npz"), (write_matrix_market, "a.mtx")):
        with pytest.raises(FileNotFoundError, match=rf"none/{name}'"):
            write(tmp_path / "none" / name, gossamer.eye(2))
        (tmp_path / "file").touch()
        with pytest.raises(NotADirectoryError, match=rf"file/{name}'$"):
            write(tmp_path / "file" / name, gossamer.eye(2))
    with pytest.raises(TypeError, match="write_matrix_market: matrix is ndarray, expected"):
        write_matrix_market(tmp_path / "a.mtx", np.eye(2))
    with pytest.raises(FileNotFoundError):
        read_matrix_market(tmp_path / "none.mtx")
    with pytest.raises(FileNotFoundError):
        load_npz(tmp_path / "none.npz")
    assert gossamer.io.load_npz is load_npz
