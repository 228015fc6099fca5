# SPDX-License-Identifier: Apache-2.0
"""Reading elements, rows and columns."""

import threading
from contextlib import suppress

import gossamer
import numpy as np
import pytest
from cases import build, every_format, every_index_dtype, named

NAMES = ["unsorted", "duplicates", "banded", "stored_zeros", "empty_rows", "one_by_one_thrice"]
every_name = pytest.mark.parametrize("name", NAMES)


@every_name
@every_format
@every_index_dtype
def test_elements(name, format, index_dtype):
    matrix = named(name)
    A = build(matrix, np.complex128, format, index_dtype)
    D = A.todense()
    rng = np.random.default_rng(0)
    picked = rng.integers(-min(A.shape), min(A.shape), (50, 2)).tolist()
    stored = np.stack([matrix.row, matrix.col], 1)[:: max(1, A.nnz // 20)].tolist()
    for i, j in picked + stored:
        # Sums of duplicates may associate differently.
        assert A[i, j] == pytest.approx(D[i, j], rel=1e-13)
    assert A[np.int8(0), np.uint16(0)].dtype == np.complex128


SLICES = [
    slice(None),
    slice(2, 9),
    slice(-5, None),
    slice(0, 0),
    slice(7, 3),
    slice(None, None, 2),
    slice(None, None, -1),
    slice(10, 1, -3),
    slice(3, 10_000),
    slice(-10_000, 4),
    0,
    -1,
]


def expected(D, key):
    rows, cols = key if isinstance(key, tuple) else (key, slice(None))
    as_slice = [slice(k, k + 1 or None) if isinstance(k, int) else k for k in (rows, cols)]
    return D[as_slice[0]][:, as_slice[1]]


@every_name
@every_format
def test_slices(name, format):
    A = build(named(name), np.float64, format)
    D = A.todense()
    for rows in SLICES:
        part = A[rows]
        assert part.format == format
        np.testing.assert_allclose(part.todense(), expected(D, rows), rtol=1e-13)
        for cols in SLICES:
            if isinstance(rows, int) and isinstance(cols, int):
                continue
            part = A[rows, cols]
            assert part.ndim == 2
            np.testing.assert_allclose(part.todense(), expected(D, (rows, cols)), rtol=1e-13)


@pytest.mark.parametrize("step", [2**32, 2**32 + 1, -(2**32) - 1, 2**70, -(2**70)])
@every_format
def test_steps_beyond_any_index(format, step):
    A = build(named("banded"), np.float64, format)
    D = A.todense()
    np.testing.assert_array_equal(A[::step].todense(), D[::step])
    np.testing.assert_array_equal(A[:, 2::step].todense(), D[:, 2::step])


@every_index_dtype
@pytest.mark.parametrize("name", ["random_0.1", "power_law_unsorted", "duplicates", "wide"])
def test_picked_columns_are_sorted_and_leave_no_transposed_copy(name, index_dtype):
    A = build(named(name), np.float64, index_dtype=index_dtype)
    cols = [3, 1, A.shape[1] - 1, 3, -2, 0]
    picked = A[:, cols]
    assert A._pattern._transpose is None
    assert picked.has_sorted_indices
    assert picked.index_dtype == index_dtype
    np.testing.assert_allclose(picked.todense(), A.todense()[:, cols], rtol=1e-13)


@pytest.mark.parametrize("columns", [[1, 1], [0, 1, 1, 3], [3, 1], [0, 1], [1, 1, 0]])
def test_columns_with_duplicates_come_sorted(columns):
    A = gossamer.csr_array(([1.0, 2, 3, 4], [0, 1, 1, 3], [0, 4]), (1, 4))
    B = A[:, columns]
    assert B.has_sorted_indices
    assert (np.diff(B.indices) >= 0).all()
    assert not B.has_canonical_format
    np.testing.assert_array_equal(B.todense(), A.todense()[:, columns])


def test_consecutive_rows_share_the_values():
    A = build(named("banded"), np.float64)
    assert np.shares_memory(A[10:20].data, A.data)
    assert A[10:20].has_canonical_format
    assert A.T[:, 10:20].has_canonical_format
    assert A[5].shape == (1, A.shape[1])


@every_format
def test_iteration_gives_rows(format):
    A = build(named("unsorted"), np.float64, format)
    rows = [row.todense() for row in A]
    np.testing.assert_allclose(np.concatenate(rows), A.todense(), rtol=1e-13)


@pytest.mark.parametrize("key", [(19, 0), (-20, 0), (0, 23), (0, -24), 19, -20])
def test_out_of_range(key):
    with pytest.raises(IndexError, match="is out of range for"):
        build(named("full"), np.float32)[key]


@pytest.mark.parametrize(
    "key",
    [1.0, "a", None, [0.5], [[0, 1]], np.eye(2, dtype=bool), True, (0, None), ["a"]],
)
def test_other_keys_are_refused(key):
    with pytest.raises(TypeError, match=r"expected (an integer, a slice|one axis of integers)"):
        build(named("full"), np.float32)[key]


@every_name
@every_format
def test_rows_and_columns_by_number(name, format):
    A = build(named(name), np.float64, format)
    D = A.todense()
    rng = np.random.default_rng(0)
    for axis, length in enumerate(A.shape):
        numbers = rng.integers(-length, length, 2 * length)
        for key in (numbers, numbers.tolist(), numbers.astype(np.int16), D.any(1 - axis), []):
            part = A[key] if axis == 0 else A[1:, key]
            expected = D[np.asarray(key, None if len(key) else int)] if axis == 0 else D[1:, key]
            if axis == 1 and not len(key):
                expected = D[1:, :0]
            assert part.format == format
            np.testing.assert_allclose(part.todense(), expected, rtol=1e-13)
    with pytest.raises(IndexError, match=rf"row {A.shape[0]} is out of range"):
        A[[0, A.shape[0]]]
    with pytest.raises(IndexError, match="2 booleans, expected one for each of"):
        A.T[:, [True] * 2] if A.shape[0] != 2 else A[[True] * 3]
    with pytest.raises(TypeError, match="both given by number"):
        A[[0], [0]]


def unaligned(numbers):
    return np.frombuffer(b"\0" + numbers.tobytes(), numbers.dtype, offset=1)


@every_format
@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(6)[::2],
        np.arange(6)[::-1],
        np.broadcast_to(np.int64(3), 4),
        unaligned(np.arange(4)),
        np.arange(6, dtype=">i8"),
        np.arange(-3, 3).reshape(3, 2)[:, 1],
    ],
    ids=["stepped", "reversed", "repeated", "unaligned", "byteswapped", "column"],
)
def test_numbers_lie_anyhow_in_memory(numbers, format):
    A = build(named("random_0.5"), np.float32, format)
    D = A.todense()
    np.testing.assert_array_equal(A[numbers].todense(), D[numbers])
    np.testing.assert_array_equal(A[:, numbers].todense(), D[:, numbers])


def test_numbers_may_be_overwritten_meanwhile():
    A = build(named("random_0.5"), np.float32, "csr")
    numbers = np.zeros(100_000, np.int64)
    done = threading.Event()

    def overwrite():
        while not done.is_set():
            numbers[:] = 2**40
            numbers[:] = 1

    thread = threading.Thread(target=overwrite)
    thread.start()
    try:
        for _ in range(50):
            with suppress(IndexError):
                assert A[numbers].shape == (len(numbers), A.shape[1])
    finally:
        done.set()
        thread.join()


@every_format
def test_ranges_ellipses_and_meshes_of_numbers(format):
    A = build(named("banded"), np.float64, format)
    D = A.todense()
    rows, cols = [5, 2, 5], np.array([1, 0, 3])
    for taken, expected in (
        (A[range(1, 7, 2)], D[1:7:2]),
        (A[:, range(3)], D[:, :3]),
        (A[...], D),
        (A[..., 2:4], D[..., 2:4]),
        (A[3, ...], D[3:4]),
        (A[np.ix_(rows, cols)], D[np.ix_(rows, cols)]),
    ):
        assert taken.format == format
        np.testing.assert_array_equal(taken.todense(), expected)
    with pytest.raises(IndexError, match=r"column index has shape \(2, 2\), expected one axis"):
        A[np.ix_(rows, cols)[0], np.zeros((2, 2), int)]


def test_columns_by_number_take_no_memory_for_empty_ones():
    """An array of all 2**50 columns does not fit; what is wanted is found, repeats included."""
    columns = np.array([7, 2**49, 7, 2**50 - 1, 3])
    A = gossamer.csr_array(([1.0, 2, 3, 4, 5], columns, [0, 2, 2, 5]), (3, 2**50))
    picked = [2**50 - 1, 7, 8, 7, -(2**49)]
    expected = [[0, 1, 0, 1, 2], [0, 0, 0, 0, 0], [4, 3, 0, 3, 0]]
    for found in (A[:, picked], A.T[picked].T):
        assert (found.has_canonical_format, found.index_dtype) == (True, np.int64)
        np.testing.assert_array_equal(found.todense(), expected)
    assert A[:, np.array([], np.int64)].shape == (3, 0)
    assert gossamer.csr_array(([], [], [0, 0]), (1, 2**50))[:, picked].nnz == 0
