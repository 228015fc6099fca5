# SPDX-License-Identifier: Apache-2.0
"""Results beyond the caches: written past them, in memory that the engine keeps for the next."""

import gc
import os
import subprocess
import sys

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


def refuses_for_its_size(cols):
    said = rf"allocate {40 * cols} bytes \(.* GiB\) for .* shape \(10, {cols}\) and dtype float32"
    return pytest.raises(MemoryError, match=said)


def test_a_product_beyond_memory_names_its_shape_dtype_and_size():
    with refuses_for_its_size(10**13):
        gossamer.eye(10, dtype=np.float32) @ np.broadcast_to(np.float32(1), (10, 10**13))


@pytest.mark.parametrize("cols", [10**13, 2**60])
def test_a_dense_matrix_beyond_memory_names_its_shape_dtype_and_size(cols):
    one = np.zeros(1, np.int64)
    A = gossamer.csr_array((np.ones(1, np.float32), one, [0] + [1] * 10), (10, cols))
    with refuses_for_its_size(cols):
        A.todense()


def scattered(n):
    """A matrix in coordinates whose index arrays and values have more than 32 MiB each."""
    rng = np.random.default_rng(0)
    row, col = (rng.integers(0, n, 9_000_000, dtype=np.int32) for _ in range(2))
    data = np.ones(len(row), np.float32)
    data.flags.writeable = False
    return gossamer.coo_array((data, (row, col)), (n, n))


def test_a_large_matrix_shares_its_indices_and_keeps_its_moved_values():
    A = scattered(1 << 20).tocsr()
    again = gossamer.csr_array((A.data, A.indices, A.indptr), A.shape)
    assert np.shares_memory(A.indices, again.indices)
    assert np.shares_memory(A.indptr, again.indptr)
    moved = A.tocsc()
    assert moved.data.nbytes > 32 << 20
    assert np.shares_memory(moved.data, A.tocsc().data)
    assert np.shares_memory(
        moved.indices,
        gossamer.csc_array((moved.data, moved.indices, moved.indptr), moved.shape).indices,
    )


def with_address_space(more, program):
    """Run a program with so many bytes of addresses beyond those that it has at ``limit()``."""
    preamble = f"""
import os, resource, numpy as np, gossamer
from gossamer import _engine

def addresses():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

def limit():
    resource.setrlimit(resource.RLIMIT_AS, (addresses() + {more}, resource.RLIM_INFINITY))
"""
    # An arena of malloc's for another thread takes addresses, and hardly memory.
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    command = [sys.executable, "-c", preamble + program]
    subprocess.run(command, check=True, timeout=100, env=environment)


DIAGONAL = """
n = 200_000
A = gossamer.csr_array(
    (np.ones(n, np.float32), np.arange(n, dtype=np.int32), np.arange(n + 1, dtype=np.int32)), (n, n)
)
A @ np.ones((n, 8), np.float32)
"""


def test_a_result_needs_addresses_for_itself_only():
    program = """
X = np.ones((n, 128), np.float32)
limit()
np.testing.assert_array_equal((A @ X)[::999], 1)
"""
    with_address_space(int(1.5 * (200_000 * 128 * 4)), DIAGONAL + program)


def test_spare_blocks_go_when_addresses_are_short():
    program = """
blocks = [_engine.large_result(40 << 20) for _ in range(2)]
del blocks
limit()
_engine.large_result(90 << 20)[:] = 1
"""
    with_address_space(64 << 20, program)


def test_a_block_goes_to_the_result_that_it_fits_best():
    program = """
blocks = [_engine.large_result(mib << 20) for mib in (48, 40, 44)]
addresses = [block.ctypes.data for block in blocks]
while blocks:
    blocks.pop()
small = _engine.large_result(34 << 20)
assert small.ctypes.data == addresses[1]
assert _engine.large_result(38 << 20).ctypes.data == addresses[2]
assert _engine.large_result(24 << 20).ctypes.data not in addresses
"""
    with_address_space(2 << 30, program)


def test_a_block_beyond_what_is_kept_leaves_the_others():
    program = """
_engine.large_result(40 << 20)
used = addresses()
memory = resource.getpagesize() * os.sysconf("SC_PHYS_PAGES")
_engine.large_result(memory // 16 + (4 << 20))
assert abs(addresses() - used) < 1 << 20
"""
    with_address_space(2 << 30, program)


def test_what_is_kept_is_a_small_part_of_the_address_space():
    program = """
limit()
used = addresses()
_engine.large_result(512 << 20)
assert addresses() < used + (256 << 20)
"""
    with_address_space(2 << 30, program)


@pytest.mark.parametrize(
    ("cols", "mebibytes"), [(100_000, 8), (400_000, 32), (2_000_000, 64), (5_000_000, 0)]
)
def test_copies_of_strided_columns_are_bounded_whatever_the_size(cols, mebibytes):
    program = f"""
def matrix(n):
    starts = np.arange(101, dtype=np.int32) * (n // 100)
    parts = np.ones(n, np.float32), np.arange(n, dtype=np.int32), starts
    return gossamer.csr_array(parts, (100, n))

def strided(n):
    return np.broadcast_to(np.float32(0.5), (n, 64))

np.testing.assert_array_equal(matrix(10_000) @ strided(10_000), 50)
A, X = matrix({cols}), strided({cols})
limit()
np.testing.assert_array_equal(A @ X, {cols} // 200)
"""
    with_address_space((mebibytes << 20) + (3 << 20), program)


def test_strided_columns_of_a_result_need_addresses_for_themselves_only():
    program = """
X, Y = np.ones((n, 64), np.float32), np.empty((64, n), np.float32)
A._pattern.multiply(A.data, np.ones((n, 4), np.float32), np.empty((4, n), np.float32).T)
limit()
A._pattern.multiply(A.data, X, Y.T)
np.testing.assert_array_equal(Y[:, ::999], 1)
"""
    with_address_space(8 << 20, DIAGONAL + program)
