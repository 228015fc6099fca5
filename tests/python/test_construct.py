# SPDX-License-Identifier: Apache-2.0
"""What constructors borrow, copy, check and choose."""

import gossamer
import numpy as np
import pytest
from cases import build, every_dtype, every_format, every_index_dtype, named

DATA, INDICES, INDPTR = np.array([1.0, 2.0, 3.0]), np.array([0, 2, 1]), np.array([0, 2, 3])


def parts(index_dtype=np.int32):
    return DATA.copy(), INDICES.astype(index_dtype), INDPTR.astype(index_dtype)


def test_repr():
    rng = np.random.default_rng(7)
    sparse = pytest.importorskip("scipy.sparse")
    S = sparse.random(512, 512, density=0.002, format="csr", dtype=np.float32, random_state=rng)
    A = gossamer.csr_array(
        (S.data, S.indices.astype(np.int32), S.indptr.astype(np.int32)),
        shape=S.shape,
        sorted_indices=True,
        canonical=True,
    )
    assert str(A) == (
        "CSRArray(shape=(512, 512), nnz=524, dtype=float32, index_dtype=int32, "
        "sorted_indices=True, has_canonical_format=True)"
    )


def test_values_are_borrowed_and_indices_copied():
    data, indices, indptr = parts()
    A = gossamer.csr_array((data, indices, indptr), (2, 3))
    assert A.data is data
    indices[:] = indptr[:] = 9
    assert A.indices.tolist() == INDICES.tolist()
    assert A.indptr.tolist() == INDPTR.tolist()


def test_index_arrays_are_read_only():
    for copy in (True, False):
        data, indices, indptr = parts()
        A = gossamer.csr_array((data, indices, indptr), (2, 3), copy=copy)
        for array in (A.indices, A.indptr):
            with pytest.raises(ValueError, match="read-only"):
                array[0] = 1
        assert np.shares_memory(A.indices, indices) is not copy
        assert indices.flags.writeable


def test_borrowed_index_arrays_may_be_unaligned():
    unaligned = [
        np.frombuffer(b"\0" + np.int32(x).tobytes(), "i4", offset=1) for x in ([1], [0, 1])
    ]
    A = gossamer.csr_array(([2.0], *unaligned), (1, 2), copy=False)
    assert (A @ np.array([0.0, 3.0])).tolist() == [6.0]


def test_read_only_index_arrays_are_not_copied():
    A = gossamer.csr_array(parts(), (2, 3))
    B = gossamer.csr_array((A.data, A.indices, A.indptr), (2, 3))
    assert np.shares_memory(A.indices, B.indices)
    data, indices, indptr = parts()
    view = indices[:]
    view.flags.writeable = False  # still writable through its base
    C = gossamer.csr_array((data, view, indptr), (2, 3))
    assert not np.shares_memory(C.indices, indices)


@pytest.mark.parametrize("name", ["shape", "data", "indices", "indptr", "dtype", "T", "new"])
def test_containers_are_immutable(name):
    A = gossamer.csr_array(parts(), (2, 3))
    with pytest.raises(AttributeError):
        setattr(A, name, None)


@every_index_dtype
@every_format
def test_the_callers_index_dtype_is_kept(index_dtype, format):
    assert build(named("random_0.1"), np.float32, format, index_dtype).index_dtype == index_dtype


@pytest.mark.parametrize("given", ["int8", "uint8", "int16", "uint16", "uint32", "uint64", ">i4"])
def test_other_integers_become_int32(given):
    A = gossamer.csr_array(parts(given), (2, 3))
    assert A.index_dtype == np.int32
    assert A.todense().tolist() == [[1, 0, 2], [0, 3, 0]]


def test_wide_shapes_need_int64():
    entries = [1.0], (np.array([5], np.int32), np.array([7], np.int32))
    assert gossamer.coo_array(entries, (2**31 - 1, 9)).index_dtype == np.int32
    assert gossamer.coo_array(entries, (2**31, 9)).index_dtype == np.int64
    A = gossamer.csr_array(([1.0], [2**40], [0, 1]), (1, 2**41))
    assert A.index_dtype == np.int64
    assert A[0, 2**40] == 1
    assert (A.tocoo() * 2).T.shape == (2**41, 1)


def test_mixed_index_dtypes_meet_in_int64():
    data, indices, indptr = parts()
    A = gossamer.csr_array((data, indices, indptr.astype(np.int64)), (2, 3))
    assert A.indices.dtype == A.indptr.dtype == np.int64


def test_shape_is_inferred():
    assert gossamer.csr_array(parts()).shape == (2, 3)
    assert gossamer.csc_array(parts()).shape == (3, 2)
    assert gossamer.coo_array((DATA, ([0, 4, 1], [2, 0, 0]))).shape == (5, 3)
    assert gossamer.csr_array(([], [], [0])).shape == (0, 0)


def test_flags_are_found():
    data, indices, indptr = parts()
    A = gossamer.csr_array((data, indices, indptr), (2, 3))
    assert A.has_sorted_indices
    assert A.has_canonical_format
    A = gossamer.csr_array((data, [2, 0, 1], indptr), (2, 3))
    assert not A.has_sorted_indices
    A = gossamer.csr_array((data, indices * 0, indptr), (2, 3))
    assert A.has_sorted_indices
    assert not A.has_canonical_format
    A = gossamer.csr_array((data, indices, indptr), (2, 3), validate="metadata")
    assert not A.has_sorted_indices
    A = gossamer.csr_array((data, indices, indptr), (2, 3), canonical=True, validate="none")
    assert A.has_sorted_indices
    assert A.has_canonical_format


@pytest.mark.parametrize("validate", ["full", "metadata", "none"])
def test_every_validation_gives_the_same_results(validate):
    for name in ("unsorted", "duplicates", "banded", "no_entries"):
        A = build(named(name), np.float64)
        B = gossamer.csr_array((A.data, A.indices, A.indptr), A.shape, validate=validate)
        x = np.arange(A.shape[1], dtype=float)
        np.testing.assert_array_equal(B @ x, A @ x)
        np.testing.assert_array_equal((B + B).data, (A + A).data)
        np.testing.assert_array_equal((B.T @ B).data, (A.T @ A).data)
        np.testing.assert_array_equal(
            B.T.tocsr(canonical=True).data, A.T.tocsr(canonical=True).data
        )


def test_data_that_is_not_contiguous_is_copied():
    data = np.arange(6.0)[::2]
    A = gossamer.csr_array((data, INDICES, INDPTR), (2, 3))
    assert A.data.flags.c_contiguous
    assert A.data.tolist() == [0, 2, 4]
    swapped = gossamer.csr_array((DATA.astype(">f8"), INDICES, INDPTR), (2, 3))
    assert swapped.dtype.isnative
    assert swapped.data.tolist() == DATA.tolist()


def test_other_arguments_are_converted():
    D = np.array([[1.0, 0, 2], [0, 3, 0]])
    entries = DATA, ([0, 0, 1], [0, 2, 1])
    for make, format in (
        (gossamer.csr_array, "csr"),
        (gossamer.csc_array, "csc"),
        (gossamer.coo_array, "coo"),
    ):
        joined = DATA, np.array([[0, 0, 1], [0, 2, 1]])
        for argument in (D, D.tolist(), gossamer.fromdense(D), entries, joined):
            A = make(argument)
            assert A.format == format
            assert A.todense().tolist() == D.tolist()
    assert gossamer.issparse(gossamer.asarray(D))
    assert not gossamer.issparse(D)
    A = gossamer.fromdense(D)
    assert gossamer.asarray(A) is A


@every_format
@every_dtype
def test_eye(format, dtype):
    for m, n, k in (
        (4, 4, 0),
        (3, 5, 1),
        (5, 3, -2),
        (2, 2, 7),
        (0, 0, 0),
        (1, 4, 3),
        (2, 3, 2**70),
    ):
        A = gossamer.eye(m, n, k, dtype, format)
        assert A.format == format
        assert A.dtype == dtype
        np.testing.assert_array_equal(A.todense().astype(complex), np.eye(m, n, min(k, n)))
    assert (
        gossamer.identity(3, dtype, format).todense().astype(complex).tolist() == np.eye(3).tolist()
    )


@every_format
def test_diags(format):
    A = gossamer.diags([[1.0, 2, 3], [4.0, 5, 6, 7], [8.0]], [1, 0, -3], format=format)
    assert A.has_canonical_format
    expected = np.diag([1.0, 2, 3], 1) + np.diag([4.0, 5, 6, 7]) + np.diag([8.0], -3)
    np.testing.assert_array_equal(A.todense(), expected)
    second = gossamer.diags([[1.0], [-2.0], [1.0]], [-1, 0, 1], (4, 6), format)
    np.testing.assert_array_equal(
        second.todense(), np.eye(4, 6, -1) - 2 * np.eye(4, 6) + np.eye(4, 6, 1)
    )
    np.testing.assert_array_equal(gossamer.diags([1.0, 2.0]).todense(), np.diag([1.0, 2.0]))
    outside = gossamer.diags([[1.0], [3.0], [2.0, 5.0]], [2**70, 2, -2], (4, 3), format)
    assert outside.nnz == 3
    np.testing.assert_array_equal(
        outside.todense(), 3 * np.eye(4, 3, 2) + np.pad(np.diag([2.0, 5.0]), ((2, 0), (0, 1)))
    )


@every_format
def test_random_array(format):
    A = gossamer.random_array((40, 60), density=0.1, format=format, dtype="float32", rng=3)
    assert (A.format, A.nnz, A.dtype) == (format, 240, np.float32)
    assert A.has_canonical_format
    B = gossamer.random_array((40, 60), density=0.1, dtype="float32", rng=3)
    np.testing.assert_array_equal(A.todense(), B.todense())
    ones = gossamer.random_array((5, 5), density=1, rng=0, data_sampler=np.ones)
    assert ones.todense().tolist() == np.ones((5, 5)).tolist()
    assert gossamer.random_array((0, 5), density=1).nnz == 0
    wide = gossamer.random_array((2**31, 2**31), density=1e-16, rng=0, format="coo")
    assert wide.index_dtype == np.int64
    named_as_before = gossamer.random_array((40, 60), density=0.1, dtype="float32", random_state=3)
    np.testing.assert_array_equal(named_as_before.todense(), A.todense())
    with pytest.raises(TypeError, match="rng and random_state are one argument"):
        gossamer.random_array((4, 4), rng=3, random_state=3)


@pytest.mark.parametrize("make", [gossamer.csr_array, gossamer.csc_array, gossamer.coo_array])
def test_dtype_casts_the_values(make):
    sparse = pytest.importorskip("scipy.sparse")
    counts = np.array([[1, 0, 2], [0, 3, 0]])
    coo = counts[counts != 0], ([0, 0, 1], [0, 2, 1])
    for given in (
        counts,
        counts.tolist(),
        sparse.csr_array(counts),
        coo,
        gossamer.coo_array((DATA, ([0, 0, 1], [0, 2, 1]))),
    ):
        for dtype in ("float32", np.complex64, "bfloat16"):
            A = make(given, dtype=dtype)
            assert A.dtype == np.dtype(gossamer.eye(1, dtype=dtype).dtype)
            assert A.todense().astype(complex).real.tolist() == counts.tolist()
    empty = make((3, 4), dtype=np.float32)
    assert (empty.shape, empty.nnz, empty.dtype) == ((3, 4), 0, np.float32)
    with pytest.raises(TypeError, match=r"array: dtype = int32, expected one of"):
        make(counts, dtype=np.int32)
    with pytest.raises(TypeError, match=r"array: dtype = 'float33', expected one of"):
        make(counts, dtype="float33")
    with pytest.raises(TypeError, match=rf"^{make.__name__}: dtype = 'float33', expected one of"):
        make((3, 4), dtype="float33")
    with pytest.raises(TypeError, match=r"array: arg has dtype int64, .*: give dtype=, as"):
        make(counts)


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_index_dtype_narrows_and_widens(format):
    make = getattr(gossamer, f"{format}_array")
    D = np.array([[1.0, 0, 2], [0, 3, 0]])
    for width, other in ((np.int32, np.int64), (np.int64, np.int32)):
        A = build(named("random_0.1"), np.float64, format, other)
        B = make(A, index_dtype=width)
        assert B.index_dtype == width
        assert (B.has_sorted_indices, B.data is A.data) == (A.has_sorted_indices, True)
        np.testing.assert_array_equal(B.todense(), A.todense())
        assert make(A, index_dtype=other) is A
        assert make(D, index_dtype=width).index_dtype == width
    wide = [np.array(x, np.int64) for x in ([0, 2, 1], [0, 2, 3])]
    if format == "csr":
        assert make((DATA, *wide), index_dtype="int32").todense().tolist() == D.tolist()
    with pytest.raises(ValueError, match=r"index_dtype = int32, but a shape of \(.*needs int64"):
        make((5, 2**31) if format == "csr" else (2**31, 5), index_dtype="int32")
    with pytest.raises(ValueError, match=r"index_dtype = 'int16', expected int32 or int64"):
        make(D, index_dtype="int16")


@pytest.mark.parametrize(
    ("given", "kind"),
    [("hello", "str"), (None, "NoneType"), ({"a": 1}, "dict"), ([["a"]], "list that holds 'a'")],
)
def test_what_holds_no_numbers(given, kind):
    for make in (gossamer.csr_array, gossamer.asarray, gossamer.fromdense):
        with pytest.raises(TypeError, match=rf"is a {kind}, expected numbers in"):
            make(given)
