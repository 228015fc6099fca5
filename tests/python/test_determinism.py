# SPDX-License-Identifier: Apache-2.0
"""Bit-identical results over repeats and thread counts; the error bound over instruction sets."""

import gossamer
import numpy as np
import pytest
from cases import DTYPES, build, every_dtype, named, operand, product
from error_bound import BFLOAT16, assert_within
from gossamer import _engine
from gossamer.packed.construct import packed_array

NAMES = ["power_law_unsorted", "long_row", "long_column", "duplicates", "banded"]


@pytest.fixture(params=_engine.supported_simd_targets())
def target(request):
    before = _engine.simd_target()
    _engine.set_simd_target(request.param)
    yield request.param
    _engine.set_simd_target(before)


def results(name, dtype, format):
    """Everything that computes, as bytes."""
    A = build(named(name), dtype, format)
    x, X = operand((A.shape[1],), dtype), operand((A.shape[1], 7), dtype)
    z, Z = operand((A.shape[0],), dtype), operand((3, A.shape[0]), dtype)
    small = A[:50]
    computed = [A @ x, A @ X, z @ A, Z @ A, A.row_sums(), A.col_sums(), A.sum(), A.col_norms()]
    computed += [A.diagonal(), small.todense()]
    for B in (A.tocsr(canonical=True), A.tocsc(canonical=True), A + A.tocsc(), small @ small.T):
        computed += [B.data, *B._index_arrays()]
    return [np.asarray(y).tobytes() for y in computed]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("format", "dtype"),
    [(format, dtype) for format in ("csr", "csc") for dtype in DTYPES] + [("coo", np.float32)],
)
def test_same_bits_for_every_thread_count(name, format, dtype):
    with gossamer.set_num_threads(1):
        expected = results(name, dtype, format)
    for threads in (1, 2, 4):
        with gossamer.set_num_threads(threads):
            assert results(name, dtype, format) == expected


@pytest.mark.parametrize("turned", [False, True])
def test_same_bits_of_entries_whatever_was_asked_before(turned):
    """Products and sums of a COO matrix do not depend on which of its orders are kept already."""
    rng = np.random.default_rng(0)
    row, col = rng.integers(0, 400, 6000), rng.integers(0, 300, 6000)
    data = rng.standard_normal(6000).astype(np.float32)

    def fresh():
        A = gossamer.coo_array((data, (row, col)), (400, 300))
        return A.T if turned else A

    x, z = (rng.standard_normal(side).astype(np.float32) for side in fresh().shape[::-1])
    X, Z = np.stack([x, x], axis=1), np.stack([z, z])
    asked = [lambda A: A @ x, lambda A: z @ A, lambda A: A.T @ z, lambda A: A @ X, lambda A: Z @ A]
    asked += [lambda A: A.row_sums(), lambda A: A.col_sums(), lambda A: A.col_norms()]
    expected = [np.asarray(ask(fresh())).tobytes() for ask in asked]
    for before in asked:
        for ask, bits in zip(asked, expected, strict=True):
            A = fresh()
            before(A)
            assert np.asarray(ask(A)).tobytes() == bits


@every_dtype
def test_every_instruction_set(target, dtype):
    assert _engine.simd_target() == target
    for name in ("power_law", "banded", "random_0.9", "nan_inf", "tall"):
        matrix = named(name)
        A, X = build(matrix, dtype), operand((matrix.cols, 9), dtype)
        for part in (X, X[:, :1], X[:, 3:7], X[::-1][::-1]):
            assert_within(A @ part, product(matrix, dtype, part), dtype)
        assert_within(A @ X[:, 0], product(matrix, dtype, X[:, 0]), dtype)
        with gossamer.set_num_threads(1):
            alone = A @ X
        with gossamer.set_num_threads(4):
            np.testing.assert_array_equal(_bits(A @ X), _bits(alone))


def _bits(x):
    return np.ascontiguousarray(x).view(np.uint8)


@pytest.mark.parametrize("dtype", [np.dtype("float16"), BFLOAT16], ids=str)
def test_sddmm_of_infinite_16_bit_values_on_every_instruction_set(target, dtype):
    A = build(named("random_0.5"), dtype)
    U, V = (np.full((n, 20), x, dtype) for n, x in zip(A.shape, (np.inf, 2.0**-14), strict=True))
    assert np.isinf(gossamer.sddmm(A, U, V).data.astype(np.float32)).all()


@pytest.mark.parametrize("format", ["bitmap", "gap8"])
def test_the_first_bad_row_is_named_for_every_thread_count(format):
    P = gossamer.compress(np.ones((20_000, 33), np.float32), format=format)
    parts = {name: part.copy() for name, part in P._storage.parts().items()}
    rows = parts["positions"].reshape(len(parts["row_offsets"]) - 1, -1)
    # Of two threads the second comes to its first row before the first to its last ones.
    rows[9_900:, 4] = 0b1100
    first = f"row 9900 .*column {34 if format == 'bitmap' else 44}"
    for threads in (1, 2, 4) * 3:
        with gossamer.set_num_threads(threads), pytest.raises(ValueError, match=first):
            packed_array(format, P.dtype, P.shape, parts)
