# SPDX-License-Identifier: Apache-2.0
"""Linux is asked for the tile registers of AMX by the first product that wants them, not before."""

import ctypes
import subprocess
import sys

import pytest
from gossamer import _engine


def tiles_can_be_permitted():
    features, get_supported = ctypes.c_uint64(), 0x1021  # ARCH_GET_XCOMP_SUPP
    answer = ctypes.CDLL(None).syscall(158, get_supported, ctypes.byref(features))
    return answer == 0 and bool(features.value >> 18 & 1)


pytestmark = pytest.mark.skipif(
    "amx" not in _engine.supported_simd_targets() or not tiles_can_be_permitted(),
    reason="this machine has no bfloat16 tiles",
)

# A bfloat16 matrix of small integers, whose products are exact on every path.
PREAMBLE = """
import ctypes, gossamer, numpy as np
from gossamer import _engine

libc = ctypes.CDLL(None)

def permitted():
    features = ctypes.c_uint64()
    get_permitted = 0x1022  # ARCH_GET_XCOMP_PERM
    assert libc.syscall(158, get_permitted, ctypes.byref(features)) == 0
    return bool(features.value >> 18 & 1)

W = np.random.default_rng(0).integers(-2, 3, (300, 200)).astype(np.float32)
X = np.random.default_rng(1).integers(-9, 9, (200, 32)).astype(np.float32)
P = gossamer.compress(W, dtype="bfloat16")
_engine.set_simd_target("amx")
np.testing.assert_array_equal(P @ X[:, 0], W @ X[:, 0])
assert not permitted()
"""

MANY_COLUMNS = """
np.testing.assert_array_equal(P @ X, W @ X)
assert permitted() == {expected}
"""

SMALL_SIGNAL_STACK = """
class Stack(ctypes.Structure):
    _fields_ = [("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]

memory = ctypes.create_string_buffer(8192)  # tiles alone take that much
stack = Stack(ctypes.addressof(memory), 0, len(memory))
assert libc.sigaltstack(ctypes.byref(stack), None) == 0
"""


def run(program):
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr


def test_first_product_of_many_columns_asks():
    run(PREAMBLE + MANY_COLUMNS.format(expected=True))


def test_refused_tiles_are_done_without():
    run(PREAMBLE + SMALL_SIGNAL_STACK + MANY_COLUMNS.format(expected=False))
