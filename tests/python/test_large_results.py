# SPDX-License-Identifier: Apache-2.0
"""Results beyond the caches: written past them, in memory that the engine keeps for the next."""

import gc

import gossamer
import numpy as np
import pytest
from cases import operand
from gossamer import _engine

ROWS = 300_000
PAGE = 2 << 20


def tall(dtype, band):
    """A matrix of many short rows: a band, which repeats the row above, or scattered columns."""
    rows = np.repeat(np.arange(ROWS), 3)
    shift = 1 if band else 7919
    columns = (rows * shift + np.tile(np.arange(3), ROWS)) % (ROWS + 2)
    values = np.random.default_rng(0).standard_normal(len(rows)).astype(dtype)
    order = np.argsort(rows * (ROWS + 2) + columns)
    return gossamer.coo_array((values[order], (rows[order], columns[order])), (ROWS, ROWS + 2))


@pytest.mark.parametrize("band", [True, False])
@pytest.mark.parametrize(
    ("dtype", "cols"), [(np.float32, 32), (np.float64, 16), (np.complex64, 16)]
)
def test_streamed_results_have_the_bits_of_small_ones(dtype, cols, band):
    A = tall(dtype, band).tocsr()
    X = operand((A.shape[1], cols), dtype)
    Y = A @ X
    assert Y.nbytes >= 32 << 20
    assert Y.ctypes.data % 64 == 0
    for part in (slice(0, 20_000), slice(ROWS - 20_001, ROWS)):
        np.testing.assert_array_equal(Y[part], A[part] @ X)
    with gossamer.set_num_threads(1):
        np.testing.assert_array_equal(Y, A @ X)


def test_memory_is_used_again_and_never_twice():
    A = tall(np.float32, band=True).tocsr()
    X = operand((A.shape[1], 32), np.float32)
    first, second = A @ X, A @ (2 * X)
    np.testing.assert_array_equal(second, 2 * first)
    address = first.ctypes.data
    part = first[5:7].copy()
    view = first[5:7]
    del first
    third = A @ (4 * X)
    np.testing.assert_array_equal(view, part)
    assert third.ctypes.data != address
    del view
    gc.collect()
    assert (A @ X).ctypes.data == address


def test_large_result_is_at_the_start_of_a_page_and_writeable():
    block = _engine.large_result(PAGE + 1)
    assert block.nbytes == PAGE + 1
    assert block.ctypes.data % PAGE == 0
    block[:] = 7
    assert block[-1] == 7


def test_a_result_beyond_memory_is_a_memory_error():
    with pytest.raises(MemoryError):
        _engine.large_result(1 << 62)
