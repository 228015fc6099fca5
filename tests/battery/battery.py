# SPDX-License-Identifier: Apache-2.0
"""Nasty sparse matrices, shared by the Python, C++ and GPU tests.

Each matrix is a list of entries in stored order (COO), so that a test also sees duplicates and
unsorted rows. ``python battery.py --out FILE`` writes them for the C++ tests.
"""

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

LONG_ROW = 70_000  # more entries in one row than 16 bits count


class Matrix(NamedTuple):
    """Entries in stored order; ``data`` is complex128, and real dtypes take its real part."""

    name: str
    rows: int
    cols: int
    row: NDArray[np.int64]
    col: NDArray[np.int64]
    data: NDArray[np.complex128]


def _values(rng: np.random.Generator, count: int) -> NDArray[np.complex128]:
    """Values over a few binades, so that sums in different order differ in their last bits."""
    scale = np.exp2(rng.integers(-3, 4, count))
    return scale * (rng.standard_normal(count) + 1j * rng.standard_normal(count))


def _matrix(
    name: str, rows: int, cols: int, row: ArrayLike, col: ArrayLike, data: ArrayLike | None = None
) -> Matrix:
    row, col = np.asarray(row, np.int64).ravel(), np.asarray(col, np.int64).ravel()
    if data is None:
        data = _values(np.random.default_rng(len(name) + row.size), row.size)
    return Matrix(name, rows, cols, row, col, np.asarray(data, np.complex128))


def _random(name: str, rows: int, cols: int, density: float) -> Matrix:
    rng = np.random.default_rng(rows + cols)
    return _matrix(name, rows, cols, *np.nonzero(rng.random((rows, cols)) < density))


def _shuffled(name: str, source: Matrix) -> Matrix:
    order = np.random.default_rng(source.row.size).permutation(source.row.size)
    return Matrix(name, source.rows, source.cols, *(array[order] for array in source[3:]))


def _power_law(name: str, rows: int, cols: int, count: int) -> Matrix:
    """Row and column degrees both follow a power law, as in a web graph; heavy ends coincide."""
    rng = np.random.default_rng(11)
    row = np.minimum(rng.zipf(1.5, count) - 1, rows - 1)
    col = np.minimum(rng.zipf(1.5, count) - 1, cols - 1)
    row, col = np.unique([row, col], axis=1)
    return _matrix(name, rows, cols, row, col)


def _duplicates(name: str) -> Matrix:
    """Every position of a small matrix several times, in random order, one of them 500 times."""
    rng = np.random.default_rng(5)
    row, col = rng.integers(0, 12, 900), rng.integers(0, 9, 900)
    row[rng.permutation(900)[:500]] = 3
    col[row == 3] = 7
    return _matrix(name, 12, 9, row, col)


def _shifted_rows(name: str) -> Matrix:
    """Runs of rows that each repeat the row before, one column to the right.

    A run's first row has columns side by side and apart, in any order, some twice, or none.
    """
    rng = np.random.default_rng(9)
    row, col, begin = [], [], 0
    for length in (1, 40, 3, 5, 16, 120, 7, 200, 33, 1, 8):
        starts = rng.integers(0, 500, rng.integers(0, 5))
        first = np.concatenate([[], *(np.arange(s, s + rng.integers(1, 12)) for s in starts)])
        shift = np.arange(length)
        row.append(np.repeat(begin + shift, first.size))
        col.append(np.add.outer(shift, first).ravel())
        begin += length
    return _matrix(name, begin, 720, np.concatenate(row), np.concatenate(col))


def _stencil(name: str, height: int, width: int) -> Matrix:
    """Five-point Laplacian's pattern on a grid, cut off at its edges."""
    y, x = (axis.ravel()[:, None] for axis in np.indices((height, width)))
    near_y, near_x = y + np.array([-1, 0, 0, 0, 1]), x + np.array([0, -1, 0, 1, 0])
    inside = (near_y >= 0) & (near_y < height) & (near_x >= 0) & (near_x < width)
    row = np.broadcast_to(y * width + x, inside.shape)
    return _matrix(
        name, height * width, height * width, row[inside], (near_y * width + near_x)[inside]
    )


def _values_of(name: str, values: list[complex]) -> Matrix:
    """The values in turn over a pattern with an empty row, a full row and three duplicates."""
    row, col = np.nonzero(np.random.default_rng(3).random((24, 20)) < 0.3)
    keep = (row != 5) & (row != 6)
    row = np.concatenate([row[keep], np.full(20, 5), [0, 0, 23]])
    col = np.concatenate([col[keep], np.arange(20), [4, 4, 19]])
    return _matrix(name, 24, 20, row, col, np.resize(np.asarray(values, np.complex128), row.size))


def _edge_shapes() -> list[Matrix]:
    return [
        _matrix("empty_0x0", 0, 0, [], []),
        _matrix("empty_0x7", 0, 7, [], []),
        _matrix("empty_5x0", 5, 0, [], []),
        _matrix("no_entries", 6, 9, [], []),
        _matrix("one_by_one", 1, 1, [0], [0]),
        _matrix("one_by_one_thrice", 1, 1, [0, 0, 0], [0, 0, 0]),
        _matrix("last_corner", 40, 33, [39], [32]),
        _matrix("single_row", 1, 300, np.zeros(100), np.arange(0, 300, 3)),
        _matrix("single_column", 300, 1, np.arange(0, 300, 3), np.zeros(100)),
        _matrix("full_row", 50, 130, np.full(130, 17), np.arange(130)),
        _matrix("full_column", 130, 50, np.arange(130), np.full(130, 17)),
        _matrix("full", 19, 23, *np.indices((19, 23))),
    ]


def _structures() -> list[Matrix]:
    i = np.arange(400)
    band = np.repeat(i, 5), np.add.outer(i, np.arange(-2, 3)).ravel()
    inside = (band[1] >= 0) & (band[1] < 400)
    arrow = np.concatenate([np.zeros(500), np.arange(1, 500), np.arange(1, 500)])
    arrow_col = np.concatenate([np.arange(500), np.zeros(499), np.arange(1, 500)])
    sparse_rows = _random("empty_rows", 500, 40, 0.2)
    kept = sparse_rows.row % 7 == 3
    long_row = np.concatenate([[0, 0, 2], np.ones(LONG_ROW)])
    long_col = np.concatenate([[5, 9, LONG_ROW - 1], np.arange(LONG_ROW)])
    return [
        _matrix("diagonal", 257, 257, np.arange(257), np.arange(257)),
        _matrix("banded", 400, 400, band[0][inside], band[1][inside]),
        _stencil("stencil", 31, 40),
        _shifted_rows("shifted_rows"),
        _matrix("arrow", 500, 500, arrow, arrow_col),
        Matrix(*sparse_rows[:3], *(array[kept] for array in sparse_rows[3:])),
        _power_law("power_law", 1000, 900, 20_000),
        _shuffled("power_law_unsorted", _power_law("power_law", 3000, 2500, 60_000)),
        _matrix("long_row", 3, LONG_ROW, long_row, long_col),
        _shuffled("long_row_unsorted", _matrix("long_row", 3, LONG_ROW, long_row, long_col)),
        _matrix("long_column", LONG_ROW, 3, long_col, long_row),
    ]


def _random_matrices() -> list[Matrix]:
    return [
        _random("random_1e-3", 700, 600, 1e-3),
        _random("random_1e-2", 300, 400, 1e-2),
        _random("random_0.1", 120, 100, 0.1),
        _random("random_0.5", 90, 110, 0.5),
        _random("random_0.9", 70, 60, 0.9),
        _random("wide", 12, 5000, 0.02),
        _random("tall", 5000, 12, 0.02),
        _shuffled("unsorted", _random("", 130, 170, 0.2)),
        _duplicates("duplicates"),
    ]


def _special_values() -> list[Matrix]:
    nan, inf = float("nan"), float("inf")
    return [
        _values_of("stored_zeros", [0, 1.5, 0, -2 + 1j]),
        _values_of("all_zeros", [0]),
        _values_of("negative_zero", [-0.0, complex(-0.0, -0.0), 1, -1]),
        _values_of("nan_inf", [1, nan, 2 - 1j, inf, -inf, complex(1, nan), 3, complex(0, inf), 0]),
        _values_of("subnormal_and_huge", [1e-310, 1e-40, 6e-8, 3e4, 3e38, 1e300, 1 + 1j]),
    ]


@cache
def matrices() -> tuple[Matrix, ...]:
    """All matrices of the battery; do not write into them."""
    groups: tuple[Callable[[], list[Matrix]], ...] = (
        _edge_shapes,
        _structures,
        _random_matrices,
        _special_values,
    )
    return tuple(matrix for group in groups for matrix in group())


def dump(path: Path) -> None:
    """Write the battery in little-endian byte order.

    The number of matrices; then for each the length of its name, rows, cols and number of entries
    (all int64), the name, and the entries: rows and columns (int64), real and imaginary parts
    (float64).
    """
    with path.open("wb") as file:
        file.write(np.int64(len(matrices())).astype("<i8").tobytes())
        for m in matrices():
            name = m.name.encode()
            file.write(np.array([len(name), m.rows, m.cols, m.row.size], "<i8").tobytes() + name)
            file.write(m.row.astype("<i8").tobytes() + m.col.astype("<i8").tobytes())
            file.write(m.data.real.astype("<f8").tobytes() + m.data.imag.astype("<f8").tobytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Write the test battery to a file.")
    parser.add_argument("--out", type=Path, required=True)
    dump(parser.parse_args().out)
