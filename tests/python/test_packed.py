# SPDX-License-Identifier: Apache-2.0
"""Packed arrays: what they keep and multiply, how their format is chosen, what they refuse."""

import copy
import pickle
import tracemalloc

import gossamer
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
from battery.battery import matrices
from error_bound import assert_within, sum_terms
from gossamer.packed.construct import packed_array

FORMATS = ("bitmap", "gap4", "gap8", "dense")
PACKED = FORMATS[:3]
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
FLOAT8 = np.dtype(ml_dtypes.float8_e4m3fn)
DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")
X_DTYPES = [np.dtype(np.float32), np.dtype(np.float16), BFLOAT16]

#: Dense is float32 only.
KINDS = [(format, dtype) for format in PACKED for dtype in DTYPES] + [("dense", "float32")]

every_format = pytest.mark.parametrize("format", FORMATS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
every_kind = pytest.mark.parametrize(("format", "dtype"), KINDS)


def random_matrix(rows=40, cols=70, density=0.4, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    mask = rng.random((rows, cols)) < density
    return np.where(mask, rng.standard_normal((rows, cols)), 0).astype(dtype)


def dense_of(matrix):
    """A matrix of the battery, real, float32, duplicates summed."""
    dense = np.zeros((matrix.rows, matrix.cols))
    with np.errstate(all="ignore"):
        np.add.at(dense, (matrix.row, matrix.col), matrix.data.real)
        return dense.astype(np.float32)


def reference(dense, x):
    """dense @ x in float64 over the nonzeros, which alone take part."""
    row, col = np.nonzero(dense)
    with np.errstate(all="ignore"):
        data = dense[row, col].astype(np.float64).reshape(-1, *[1] * (x.ndim - 1))
        return sum_terms(row, data * x.astype(np.float64)[col], len(dense))


# What is kept


@every_kind
@pytest.mark.parametrize(
    "source", ["C", "F", "strided", "float16", "bfloat16", "csr", "csc", "scipy"]
)
def test_decompress_returns_what_was_compressed(format, dtype, source):
    scipy = pytest.importorskip("scipy.sparse") if source == "scipy" else None
    W = np.round(random_matrix() * 4) / 4
    given = {
        "C": lambda: W,
        "F": lambda: np.asfortranarray(W),
        "strided": lambda: np.repeat(W[::-1], 3, axis=1)[::-1, ::3],
        "float16": lambda: W.astype(np.float16),
        "bfloat16": lambda: W.astype(BFLOAT16),
        "csr": lambda: gossamer.fromdense(W),
        "csc": lambda: gossamer.fromdense(W).tocsc(),
        "scipy": lambda: scipy.coo_matrix(W),
    }[source]()
    P = gossamer.compress(given, format, dtype, scale=1 / 4 if dtype in DTYPES[3:] else None)
    assert (P.format, P.shape, P.ndim) == (format, W.shape, 2)
    assert P.nnz == np.count_nonzero(W)
    assert P.density == P.nnz / W.size
    np.testing.assert_array_equal(P.decompress().astype(np.float32), W)
    np.testing.assert_array_equal(P.tocsr("float32").todense(), W)
    assert P.tocsr().has_canonical_format


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
@pytest.mark.parametrize("make", [lambda matrix: matrix, gossamer.from_scipy])
def test_sparse_matrices_are_packed_without_a_copy(format, make):
    sparse = pytest.importorskip("scipy.sparse")
    W = make(sparse.coo_array(random_matrix(1000, 1000, 0.5)).asformat(format))
    gossamer.compress(W, dtype="int8")  # checks once what it keeps
    tracemalloc.start()
    try:
        P = gossamer.compress(W, dtype="int8")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * P.nbytes


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_a_value_out_of_range_is_named_by_row_and_column(format):
    W = random_matrix(5, 8)
    W[3, 6] = 1e6
    sparse = getattr(gossamer.fromdense(W), f"to{format}")()
    with pytest.raises(ValueError, match=r"W\[3, 6\] = 1e\+06 is out of range for float16"):
        gossamer.compress(sparse, dtype="float16")


@every_dtype
def test_dtypes(dtype):
    P = gossamer.compress(random_matrix(), dtype=dtype)
    expected = {"bfloat16": BFLOAT16, "float8_e4m3": FLOAT8}.get(dtype) or np.dtype(dtype)
    assert P.dtype == expected
    assert gossamer.compress(random_matrix(), dtype=expected).dtype == expected
    wide = np.dtype(np.float32) if expected.itemsize == 1 else expected
    assert P.decompress().dtype == P.tocsr().dtype == wide
    assert P.decompress("float16").dtype == np.float16
    assert (P.scales is None) == (expected.itemsize > 1)


def test_default_dtype_is_the_sources():
    assert gossamer.compress(random_matrix(dtype=np.float16)).dtype == np.float16
    assert gossamer.compress(gossamer.fromdense(random_matrix())).dtype == np.float32


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3"])
def test_scales(dtype):
    W = random_matrix()
    largest = {"int8": 127, "float8_e4m3": 448}[dtype]
    P = gossamer.compress(W, dtype=dtype)
    np.testing.assert_allclose(P.scales, np.abs(W).max(axis=1) / largest, rtol=1e-6)
    error = np.abs(P.decompress() - W)
    # Half a step of int8; float8 has 3 bits of significand and subnormals of 2**-9.
    relative = np.maximum(np.abs(W) * 2.0**-4, P.scales[:, None] * 2.0**-10)
    assert (error <= (P.scales[:, None] * 0.5001 if dtype == "int8" else relative * 1.0001)).all()
    given = np.linspace(0.01, 0.02, len(W)).astype(np.float32)
    np.testing.assert_array_equal(gossamer.compress(W, dtype=dtype, scale=given).scales, given)
    np.testing.assert_array_equal(
        gossamer.compress(W, dtype=dtype, scale=0.5).scales, np.full(len(W), 0.5, np.float32)
    )
    saturated = gossamer.compress(W, "bitmap", dtype, scale=1e-4).decompress()
    assert np.abs(saturated).max() == pytest.approx(largest * 1e-4)


@every_format
def test_threshold_and_special_values(format):
    W = np.array([[0.5, -0.5, np.nan, 0], [np.inf, 0.25, -0.75, -0.0]], np.float32)
    P = gossamer.compress(W, format, threshold=0.5)
    expected = np.array([[0, 0, np.nan, 0], [np.inf, 0, -0.75, 0]], np.float32)
    np.testing.assert_array_equal(P.decompress(), expected)
    assert P.nnz == 3


@pytest.mark.parametrize("matrix", matrices(), ids=lambda m: m.name)
@pytest.mark.parametrize("format", PACKED)
def test_battery(matrix, format):
    dense = dense_of(matrix)
    if dense.size > 10**6:
        dense = dense[:, :3000]
    rng = np.random.default_rng(1)
    P = gossamer.compress(dense, format)
    np.testing.assert_array_equal(P.decompress(), dense)
    for x in (rng.standard_normal(dense.shape[1]), rng.standard_normal((dense.shape[1], 5))):
        x = x.astype(np.float32)
        assert_within(P @ x, reference(dense, x), np.dtype(np.float32))
    y = rng.standard_normal((dense.shape[0], 3)).astype(np.float32)
    assert_within(P.T @ y, reference(dense.T, y), np.dtype(np.float32))


# Products


@every_kind
@pytest.mark.parametrize("x_dtype", X_DTYPES, ids=str)
def test_products(format, dtype, x_dtype):
    rng = np.random.default_rng(2)
    P = gossamer.compress(random_matrix(), format, dtype)
    D = P.decompress().astype(np.float32)
    for shape in [(70,), (70, 1), (70, 9), (3, 70, 4), (2, 1, 70, 2), (0, 70, 2), (70, 0)]:
        x = rng.standard_normal(shape).astype(x_dtype)
        y = P @ x
        out = np.dtype(np.float32) if D.dtype == "float32" and dtype == "float32" else x_dtype
        if dtype in ("float16", "bfloat16") and x_dtype != P.dtype:
            out = np.dtype(np.float32)
        assert y.dtype == out
        wide = D.astype(np.float64) @ x.astype(np.float64)
        scale = np.abs(D.astype(np.float64)) @ np.abs(x.astype(np.float64))
        unit = float(ml_dtypes.finfo(out).eps) / 2
        assert y.shape == wide.shape
        assert (
            np.abs(y.astype(np.float64) - wide) <= 80 * 2.0**-24 * scale + unit * np.abs(wide)
        ).all()


@every_format
def test_views_and_sides_agree(format):
    rng = np.random.default_rng(3)
    W = random_matrix()
    P = gossamer.compress(W, format)
    for shape in [(40,), (5, 40), (2, 3, 40)]:
        x = rng.standard_normal(shape).astype(np.float32)
        np.testing.assert_allclose(x @ P, x @ W, rtol=1e-4, atol=1e-4)
    X = rng.standard_normal((140, 6)).astype(np.float32)
    np.testing.assert_array_equal(P @ X[::2], P @ X[::2].copy())
    np.testing.assert_array_equal(P @ np.asfortranarray(X[:70]), P @ X[:70])
    assert P.T.T.shape == W.shape
    assert P.T.shape == W.shape[::-1]
    np.testing.assert_array_equal(P.T.decompress(), W.T)
    np.testing.assert_array_equal(P.T.tocsr().todense(), W.T)
    np.testing.assert_array_equal(X[:70].T @ P.T, (P @ X[:70]).T)
    np.testing.assert_array_equal(gossamer.multiply(P, X[:70]), P @ X[:70])
    nine = rng.standard_normal((1,) * 7 + (70, 2)).astype(np.float32)
    assert (P @ nine).shape == (1,) * 7 + (40, 2)


@pytest.mark.parametrize("format", PACKED)
def test_what_the_matrix_does_not_touch_does_not_count(format):
    W = np.zeros((3, 600), np.float32)
    W[0, 599] = 2
    x = np.full(600, np.inf, np.float32)
    x[599] = 3
    np.testing.assert_array_equal(gossamer.compress(W, format) @ x, [6, 0, 0])


def test_results_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(4)
    W = random_matrix(700, 900)
    x, X = rng.standard_normal(900).astype(np.float32), rng.standard_normal((900, 33)).astype("f4")
    for format in PACKED:
        P = gossamer.compress(W, format)
        with gossamer.set_num_threads(1):
            one = P @ x, P @ X, P.T @ X[:700]
        with gossamer.set_num_threads(3):
            three = P @ x, P @ X, P.T @ X[:700]
        for a, b in zip(one, three, strict=True):
            np.testing.assert_array_equal(a, b)


# The choice of the format


def exact_bytes(W, format, dtype):
    """Bytes as the formats' descriptions add them up."""
    rows, cols = W.shape
    item = {"float32": 4, "float16": 2, "bfloat16": 2}.get(dtype, 1)
    scales = 4 * rows if item == 1 else 0
    if format == "dense":
        return rows * cols * item
    offsets = 4 * (rows + 1)
    if format == "bitmap":
        return np.count_nonzero(W) * item + rows * -(-cols // 32) * 4 + offsets + scales
    largest = 15 if format == "gap4" else 255
    slots = 0
    for row in W:
        columns = np.flatnonzero(row)
        gaps = np.diff(columns, prepend=-1) - 1
        slots += len(columns) + int((gaps // (largest + 1)).sum())
    slots = -(-slots // 8) * 8
    return slots * item + slots * (4 if format == "gap4" else 8) // 8 + offsets + scales


@every_dtype
@pytest.mark.parametrize("density", [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1])
def test_auto_counts_bytes(dtype, density):
    W = random_matrix(64, 2048, density)
    formats = FORMATS if dtype == "float32" else PACKED
    sizes = {name: exact_bytes(W, name, dtype) for name in formats}
    for name, size in sizes.items():
        assert gossamer.compress(W, name, dtype).nbytes == size
    auto = gossamer.compress(W, dtype=dtype)
    assert auto.nbytes <= 1.02 * min(sizes.values())
    assert (auto.format == "dense") == (dtype == "float32" and density == 1)


@pytest.mark.parametrize(
    ("density", "format", "bits"),
    [(0.5, "bitmap", 18.0), (0.3, "bitmap", 19.3), (0.2, "gap4", 20.6), (0.1, "gap8", 24.0)],
)
def test_bits_a_nonzero(density, format, bits):
    P = gossamer.compress(random_matrix(128, 4096, density), dtype="float16")
    offsets = P.shape[0] + 1
    assert 8 * (P.nbytes - 4 * offsets) / P.nnz == pytest.approx(bits, rel=0.02)
    assert P.format == format


def test_repr_tells_format_and_memory():
    W = np.zeros((100, 1000), np.float16)
    W[:, ::2] = 1
    P = gossamer.compress(W)
    assert repr(P) == (
        "PackedArray(shape=(100, 1000), format='bitmap', dtype=float16, nnz=50000, density=0.5; "
        "113 kB, against dense 200 kB, CSR 300 kB)"
    )
    assert "shape=(1000, 100)" in repr(P.T)
    assert "transposed view" in repr(P.T)
    assert "format='dense'" in repr(gossamer.compress(np.ones((4, 4), np.float32)))


# Immutable, copied, pickled


@every_kind
def test_copy_and_pickle(format, dtype):
    P = gossamer.compress(random_matrix(), format, dtype)
    assert copy.copy(P) is P
    assert copy.deepcopy(P) is P
    for array in (P, P.T):
        restored = pickle.loads(pickle.dumps(array))
        assert (restored.shape, restored.format, restored.dtype, restored.nnz) == (
            array.shape, array.format, array.dtype, array.nnz,
        )  # fmt: skip
        np.testing.assert_array_equal(restored.decompress(), array.decompress())


@every_format
def test_immutable(format):
    P = gossamer.compress(random_matrix(), format)
    for part in P._storage.parts().values():
        with pytest.raises(ValueError, match="read-only"):
            part[...] = 0
    with pytest.raises(AttributeError):
        P.format = "bitmap"
    with pytest.raises(AttributeError):
        P.colour = 1


def test_repacking():
    W = random_matrix()
    P = gossamer.compress(W, "gap8")
    np.testing.assert_array_equal(gossamer.compress(P, "bitmap").decompress(), W)
    np.testing.assert_array_equal(gossamer.compress(P.T, "gap4").decompress(), W.T)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int8", "fp8"])
def test_a_dtype_that_is_asked_for_casts_doubles_and_integers(dtype):
    W = random_matrix(dtype=np.float64)
    counts = np.rint(3 * W).astype(np.int64)
    for source in (W, counts, counts != 0):
        expected = gossamer.compress(source.astype(np.float32), dtype=dtype).decompress()
        given = source, source.tolist(), scipy.sparse.csc_array(source)
        given += (gossamer.coo_array(source, dtype="float64"),)
        for matrix in given:
            packed = gossamer.compress(matrix, dtype=dtype)
            np.testing.assert_array_equal(packed.decompress(), expected)


def test_what_is_cast_to_infinity_is_named():
    W = scipy.sparse.coo_array(([1e300, np.inf, 2.0], ([3, 1, 0], [2, 4, 0])), (5, 6))
    for matrix in (W, W.tocsc(), gossamer.from_scipy(W), W.toarray()):
        with pytest.raises(ValueError, match=r"W\[3, 2\] = 1e\+300 is out of range for float32"):
            gossamer.compress(matrix, dtype="float32")
        assert gossamer.compress(matrix * 1e-300, dtype="float32").decompress()[3, 2] == 1


# What is refused


@pytest.mark.parametrize(
    ("W", "options", "error", "message"),
    [
        (np.ones(3, np.float32), {}, ValueError, r"W has shape \(3,\), expected two axes"),
        (np.ones((2, 2)), {}, TypeError, "W has dtype float64, expected one of float32.*cast it"),
        (
            np.ones((2, 2), int),
            {},
            TypeError,
            "W has dtype int64, expected one of float32, float16",
        ),
        (
            [[1, 2]],
            {},
            TypeError,
            "W has dtype int64, .*, bfloat16; .* give dtype=, as 'float32', or cast it$",
        ),
        (np.ones((2, 2), np.complex64), {}, TypeError, "complex64.* parts? apart; sparse arrays"),
        (lambda: gossamer.eye(3), {}, TypeError, "float64"),
        (np.ma.ones((2, 2)), {}, TypeError, "masked"),
        (np.ones((2, 2), complex), {"dtype": "float32"}, TypeError, "complex128.* parts? apart"),
        (
            np.ones((2, 2), np.clongdouble),
            {"dtype": "float32"},
            TypeError,
            "complex.* parts? apart",
        ),
        (np.full((2, 2), np.longdouble("1e400")), {"dtype": "float32"}, TypeError, "W has dtype f"),
        (
            np.ones((2, 2), object),
            {"dtype": "float32"},
            TypeError,
            "W has dtype object, .* to float32$",
        ),
        (
            [[1e300, 1]],
            {"dtype": "float32", "threshold": 1e301},
            ValueError,
            r"W\[0, 0\] = 1e\+300",
        ),
        ([[0, -1e300]], {"dtype": "int8"}, ValueError, r"W\[0, 1\] = -1e\+300 is .* for float32"),
        (random_matrix(), {"format": "csr"}, ValueError, "format = 'csr', expected auto, bitmap"),
        (random_matrix(), {"format": "dense", "dtype": "int8"}, ValueError, "'dense' with values"),
        (random_matrix(), {"dtype": "float64"}, TypeError, "dtype = 'float64', expected one of"),
        (random_matrix(), {"dtype": ml_dtypes.float8_e4m3}, TypeError, "expected one of"),
        (random_matrix(), {"threshold": -1}, ValueError, "threshold = -1"),
        (random_matrix(), {"threshold": None}, TypeError, "compress: threshold = None, expected a"),
        (random_matrix(), {"threshold": np.nan}, ValueError, "threshold = "),
        (random_matrix(), {"scale": 1.0}, ValueError, "scale is given for float32"),
        (random_matrix(), {"dtype": "int8", "scale": 0}, ValueError, "scale.* 0; .*positive"),
        (random_matrix(), {"dtype": "int8", "scale": np.inf}, ValueError, "positive and finite"),
        (random_matrix(), {"dtype": "int8", "scale": np.ones(3)}, ValueError, r"shape \(3,\)"),
        (
            np.full((2, 2), np.inf, "f4"),
            {"dtype": "int8"},
            ValueError,
            r"W\[0, 0\] = inf; int8",
        ),
        (
            np.full((2, 2), np.nan, "f4"),
            {"dtype": "float8_e4m3", "scale": 1},
            ValueError,
            r"W\[0, 0\] = ",
        ),
    ],
)
def test_compress_refuses(W, options, error, message):
    with pytest.raises(error, match=message):
        gossamer.compress(W() if callable(W) else W, **options)


@pytest.mark.parametrize(
    ("dtype", "largest", "smallest_beyond"),
    [("float16", 65519.996, 65520.0), ("bfloat16", 3.396177e38, 3.3961776e38)],
)
@pytest.mark.parametrize("make", [np.asarray, gossamer.fromdense, gossamer.compress])
def test_numbers_out_of_range_are_refused(dtype, largest, smallest_beyond, make):
    W = np.zeros((5, 7), np.float32)
    W[1, 2], W[2, 1], W[3, 4] = np.inf, -largest, largest
    P = gossamer.compress(make(W), dtype=dtype)
    np.testing.assert_array_equal(P.decompress("float32") == np.inf, np.inf == W)
    for sign in (1, -1):
        W[3, 5] = sign * smallest_beyond
        with pytest.raises(ValueError, match=rf"W\[3, 5\] = .* out of range for {dtype}; store"):
            gossamer.compress(make(W), dtype=dtype)
    assert gossamer.compress(make(W), dtype=dtype, threshold=3.4e38).nnz == 1


@every_format
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones(69, np.float32), ValueError, r"P @ x: x has shape \(69,\), expected \(70,\)"),
        (np.ones((40, 2), np.float32), ValueError, r"shape \(40, 2\)"),
        (np.float32(1), ValueError, r"shape \(\)"),
        (np.ones(70), TypeError, "x has dtype float64, expected one of float32.*cast"),
        (
            np.ones(70, np.complex64),
            TypeError,
            "x has dtype complex64, .* float32, float16, bfloat16; .* imaginary part apart",
        ),
        (
            gossamer.eye(70),
            TypeError,
            r"packed array P and a CSRArray do not multiply.* P\.tocsr\(\)",
        ),
        ("x", TypeError, "x is a str, expected numbers"),
    ],
)
def test_products_refuse(format, x, error, message):
    P = gossamer.compress(random_matrix(), format)
    with pytest.raises(error, match=message):
        P @ x


def test_side_and_type_of_the_operand_are_named():
    P = gossamer.compress(random_matrix())
    with pytest.raises(ValueError, match=r"x @ P: x has shape \(70,\), expected \(40,\)"):
        np.ones(70, np.float32) @ P
    with pytest.raises(TypeError, match="packed is ndarray, expected a PackedArray"):
        gossamer.multiply(np.ones((2, 2)), np.ones(2))
    with pytest.raises(TypeError, match=r"P\.decompress\(\) or P\.tocsr\(\) for all else"):
        np.asarray(P)
    with pytest.raises(TypeError, match="ambiguous"):
        len(P)
    with pytest.raises(ValueError, match="ambiguous"):
        bool(P)
    with pytest.raises(TypeError, match="decompress: dtype"):
        P.decompress("float64")


def parts_of(format, dtype="float32"):
    P = gossamer.compress(random_matrix(), format, dtype)
    return {name: part.copy() for name, part in P._storage.parts().items()}


@pytest.mark.parametrize("format", PACKED)
@pytest.mark.parametrize("seed", range(20))
def test_mutated_parts_are_refused_or_harmless(format, seed):
    rng = np.random.default_rng(seed)
    parts = parts_of(format)
    for _ in range(rng.integers(1, 4)):
        array = parts[rng.choice(["positions", "row_offsets"])].view(np.uint8)
        array[rng.integers(array.size)] ^= 1 << rng.integers(8)
    try:
        P = packed_array(format, "float32", (40, 70), parts)
    except ValueError:
        return
    assert np.isfinite(P @ np.ones(70, np.float32)).all()
    assert P.nnz <= P.shape[0] * P.shape[1]


@pytest.mark.parametrize(
    ("format", "dtype", "shape", "change", "error", "message"),
    [
        ("csr", "float32", (40, 70), {}, ValueError, "format = 'csr'"),
        ("bitmap", "float64", (40, 70), {}, TypeError, "dtype = 'float64'"),
        ("bitmap", "int8", (40, 70), {}, ValueError, "consists of .*scales"),
        ("bitmap", "float32", (41, 70), {}, ValueError, "row_offsets has rank 1 and 41 elements"),
        ("bitmap", "float32", (-1, 70), {}, ValueError, "shape"),
        ("bitmap", "float32", (2**62, 4), {}, ValueError, "shape"),
        ("bitmap", "float32", (40, 2**40), {}, ValueError, "columns"),
        (
            "bitmap",
            "float16",
            (40, 70),
            {},
            TypeError,
            "values has dtype float32, expected float16",
        ),
        ("gap8", "float32", (40, 70), {"values": np.zeros(8, "f4")}, ValueError, "values has rank"),
        ("bitmap", "float32", (40, 64), {}, ValueError, "positions has rank"),
        ("bitmap", "float32", (40, 69), {}, ValueError, "sets column 69"),
        ("gap8", "float32", (40, 20), {}, ValueError, "slots = 1144 is not in 0..800"),
        ("dense", "float32", (70, 40), {}, ValueError, r"values has shape \(40, 70\)"),
        ("dense", "float16", (40, 70), {}, TypeError, "expected float32 for the format 'dense'"),
    ],
)
def test_wrong_parts_are_refused(format, dtype, shape, change, error, message):
    parts = parts_of(format if format in FORMATS else "bitmap") | change
    with pytest.raises(error, match=message):
        packed_array(format, dtype, shape, parts)


@pytest.mark.parametrize("format", PACKED)
def test_wrong_scales_are_refused(format):
    parts = parts_of(format, "int8")
    for wrong in (0, -1, np.inf, np.nan):
        parts["scales"][7] = wrong
        with pytest.raises(ValueError, match=r"scales\[7\] = .*positive and finite"):
            packed_array(format, "int8", (40, 70), parts)


@pytest.mark.parametrize(("format", "column"), [("gap4", 16), ("gap8", 256)])
def test_values_that_a_small_scale_makes_zero_are_no_fillers(format, column):
    W = np.zeros((1, 300), np.float32)
    W[0, [0, column]] = 448, 2.0**-9
    parts = gossamer.compress(W, format, "float8_e4m3", scale=np.ones(1, "f4"))._storage.parts()
    small = parts | {"scales": np.array([1e-44], np.float32)}  # times 2^-9 is zero
    P = packed_array(format, "float8_e4m3", W.shape, small)
    assert P.nnz == P.tocsr().nnz == 2
    np.testing.assert_array_equal(P.tocsr().todense(), P.decompress("float32"))


def test_lists_have_no_dtype():
    P = gossamer.compress(np.eye(3, dtype=np.float32), "bitmap")
    for listed in ([1, 2, 3], (1.0, 2.0, 3.0)):
        np.testing.assert_array_equal(P @ listed, np.array([1, 2, 3], np.float32))


@pytest.mark.parametrize(
    "use",
    [
        lambda P: P + P,
        lambda P: 2 * P,
        lambda P: P**2,
        lambda P: -P,
        abs,
        lambda P: P > 0,
        lambda P: P == P,
        lambda P: P != 0,
        lambda P: P[0],
        lambda P: np.ones(P.shape) - P,
        list,
    ],
)
def test_what_a_packed_array_is_not_tells_the_way(use):
    P = gossamer.compress(np.eye(4, dtype=np.float32), "bitmap")
    with pytest.raises(TypeError, match=r"packed arrays have products alone; .* use P.tocsr\(\)"):
        use(P)
