# SPDX-License-Identifier: Apache-2.0
"""MACKO's interface: its published example byte for byte, and parts that are wrong."""

import gc
import json
import weakref
from pathlib import Path

import gossamer
import numpy as np
import pytest
from gossamer import macko

EXAMPLE = json.loads(
    (Path(__file__).parents[1] / "golden" / "macko-example.json").read_text(encoding="utf-8")
)
M = np.array(EXAMPLE["dense"], np.float16)
V = np.random.default_rng(0).standard_normal(32).astype(np.float16)


def parts(**changed):
    """The example's parts as writable arrays, some of them replaced."""
    given = {
        "values": np.array(EXAMPLE["values"], np.float16),
        "deltas": np.array(EXAMPLE["deltas"], np.uint8),
        "row_indices": np.array(EXAMPLE["row_indices"], np.int32),
        "rows": 5,
        "cols": 32,
    }
    return tuple((given | changed).values())


def test_the_published_example():
    values, deltas, row_indices, rows, cols = macko.compress(M)
    np.testing.assert_array_equal(values, np.array(EXAMPLE["values"], np.float16))
    np.testing.assert_array_equal(deltas, np.array(EXAMPLE["deltas"], np.uint8))
    np.testing.assert_array_equal(row_indices, np.array(EXAMPLE["row_indices"], np.int32))
    assert (values.dtype, deltas.dtype, row_indices.dtype) == ("float16", "uint8", "int32")
    assert (rows, cols) == (5, 32)


@pytest.mark.parametrize("compressed", [macko.compress(M), parts(), [*parts()]])
def test_multiply(compressed):
    expected = M.astype(np.float64) @ V.astype(np.float64)
    for _ in range(2):  # validated, then known
        result = macko.multiply(compressed, V)
        assert result.dtype == np.float16
        np.testing.assert_allclose(result, expected, rtol=2**-10)
    X = np.stack([V, -V], axis=1)
    np.testing.assert_array_equal(
        macko.multiply(compressed, X)[:, 1], -macko.multiply(compressed, V)
    )


def test_parts_of_a_packed_array():
    packed = gossamer.compress(M, "gap4")
    assert macko.parts(packed)[0] is packed._storage.values
    np.testing.assert_array_equal(macko.to_packed(macko.parts(packed)).decompress(), M)
    for other in (gossamer.compress(M, "gap8"), gossamer.compress(M, "gap4", "int8"), packed.T):
        with pytest.raises(ValueError, match="expected gap4 with values of 16 or 32 bits"):
            macko.parts(other)


def test_what_was_validated_is_used_until_it_dies():
    compressed = parts()
    expected = macko.multiply(compressed, V)
    gc.collect()
    seen = len(macko._validated)
    compressed[1][:] = 255  # would run far out of every row
    compressed[2][:] = 10**6
    np.testing.assert_array_equal(macko.multiply(compressed, V), expected)
    assert len(macko._validated) == seen
    alive = weakref.ref(compressed[0])
    del compressed
    gc.collect()
    assert alive() is None
    assert len(macko._validated) == seen - 1


def changed(name, index, value):
    array = parts()[("values", "deltas", "row_indices").index(name)].copy()
    array[index] = value
    return {name: array}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (changed("deltas", 11, 255), ValueError, "padding"),
        (changed("deltas", 3, 255), ValueError, "the gaps of row 1 run to column"),
        (changed("values", 23, 1), ValueError, r"values\[23\] is not 0"),
        (changed("row_indices", 0, 1), ValueError, r"row_offsets\[0\] = 1"),
        (changed("row_indices", 2, 3), ValueError, r"row_offsets\[2\] = 3 after 6"),
        (changed("row_indices", 5, 23), ValueError, "gaps of row 4|padding|column"),
        (changed("row_indices", 5, -1), ValueError, "slots = -1"),
        (changed("row_indices", 5, 2**31 - 1), ValueError, "slots = 2147483647"),
        ({"values": np.zeros(23, np.float16)}, ValueError, "values has rank 1 and 23 elements"),
        ({"deltas": np.zeros(11, np.uint8)}, ValueError, "positions has rank 1 and 11 elements"),
        ({"row_indices": np.zeros(5, np.int32)}, ValueError, "row_offsets has rank 1 and 5 elem"),
        ({"values": np.zeros(24, np.float64)}, TypeError, "dtype = dtype.'float64'., expected"),
        ({"deltas": np.zeros(12, np.int8)}, TypeError, "positions has dtype int8, expected uint8"),
        ({"row_indices": np.zeros(6)}, TypeError, "row_offsets has dtype float64"),
        ({"rows": -1}, ValueError, "shape = .-1, 32."),
        ({"cols": 10}, ValueError, "column"),
        ({"cols": 2**40}, ValueError, "columns"),
        ({"rows": 1.5}, TypeError, "integer"),
    ],
)
def test_wrong_parts(change, error, message):
    with pytest.raises(error, match=message):
        macko.multiply(parts(**change), V)


@pytest.mark.parametrize("compressed", [(), (1, 2, 3), None])
def test_not_five_parts(compressed):
    with pytest.raises(ValueError, match="values, deltas, row_indices, rows, cols"):
        macko.multiply(compressed, V)


def test_wrong_operands():
    with pytest.raises(ValueError, match=r"x has shape \(31,\), expected \(32,\)"):
        macko.multiply(macko.compress(M), V[1:])
    with pytest.raises(TypeError, match="float64"):
        macko.multiply(macko.compress(M), V.astype(np.float64))
    with pytest.raises(TypeError, match="float64"):
        macko.compress(M.astype(np.float64))
