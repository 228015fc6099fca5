# SPDX-License-Identifier: Apache-2.0
"""The matrices that the benchmark and the demonstration measure, made with vectorized NumPy.

Every builder returns a canonical ``scipy.sparse.csr_array`` of float64 with int32 indices.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse


def stencil(shape: Sequence[int], offsets: Any, weights: Any) -> Any:
    """Matrix of a stencil on a grid, cut off at the grid's boundary.

    Parameters
    ----------
    shape
        Points of the grid along each axis; the rows number them in C order.
    offsets
        Neighbours of a point, shape (k, len(shape)), in lexicographic order.
    weights
        Coefficient of each neighbour, shape (k,).
    """
    offsets = np.asarray(offsets)
    points = np.arange(math.prod(shape), dtype=np.int32)
    strides = np.array([math.prod(shape[axis + 1 :]) for axis in range(len(shape))])
    inside = np.ones((points.size, len(offsets)), dtype=bool)
    for axis, extent in enumerate(shape):
        coordinate = points // strides[axis] % extent
        for offset in np.unique(offsets[:, axis]):
            fits = (coordinate + offset >= 0) & (coordinate + offset < extent)
            inside[:, offsets[:, axis] == offset] &= fits[:, None]
    columns = points[:, None] + (offsets @ strides).astype(np.int32)
    values = np.broadcast_to(np.asarray(weights, dtype=np.float64), inside.shape)
    return _canonical(values[inside], columns[inside], inside.sum(axis=1), points.size)


def banded(rows: int, half_bandwidth: int) -> Any:
    """Square matrix with ``2 * half_bandwidth + 1`` full diagonals."""
    offsets = np.arange(-half_bandwidth, half_bandwidth + 1)
    return stencil([rows], offsets[:, None], 1.0 / (1 + np.abs(offsets)))


def poisson_2d(points: int) -> Any:
    """Five-point Laplacian on a square grid, as linear elements on triangles give it too."""
    offsets = [(-1, 0), (0, -1), (0, 0), (0, 1), (1, 0)]
    return stencil([points, points], offsets, [-1, -1, 4, -1, -1])


def bilinear_interpolation(points: int) -> Any:
    """From every second point of a square grid, in both directions, to all of its points."""
    coarse = np.arange(points // 2)
    fine = 2 * coarse[:, None] + np.arange(3)
    weights = np.broadcast_to([0.5, 1.0, 0.5], fine.shape)
    columns = np.broadcast_to(coarse[:, None], fine.shape)
    inside = fine < points
    line = sparse.coo_array(
        (weights[inside], (fine[inside], columns[inside])), shape=(points, coarse.size)
    )
    plane = sparse.csr_array(sparse.kron(line, line, format="csr"))
    plane.sort_indices()
    indices = plane.indices.astype(np.int32)
    return _canonical(plane.data, indices, np.diff(plane.indptr), plane.shape[1])


def trilinear_3d(points: int) -> Any:
    """Stiffness plus mass matrix of trilinear finite elements on a cube: 27 neighbours a row."""
    offsets = list(itertools.product((-1, 0, 1), repeat=3))
    # A weight depends only on how many axes the neighbour differs in: both are tensor products of
    # the matrices in one dimension, mass [1, 4, 1] / 6 and stiffness [-1, 2, -1].
    stiffness = np.array([32, 0, -2, -1]) / 12
    mass = np.array([64, 16, 4, 1]) / 216
    return stencil([points] * 3, offsets, (stiffness + mass)[np.abs(offsets).sum(axis=1)])


def ising_chain(sites: int, field: float) -> Any:
    """Hamiltonian of the open transverse-field Ising chain, ``-sum Z Z - field * sum X``."""
    states = np.arange(1 << sites, dtype=np.int32)
    unequal = (states ^ (states >> 1)) & ((1 << (sites - 1)) - 1)
    diagonal = 2.0 * _bit_count(unequal, sites) - (sites - 1)
    flips = np.concatenate([[0], 1 << np.arange(sites)]).astype(np.int32)
    columns = states[:, None] ^ flips
    columns.sort(axis=1)
    values = np.where(columns == states[:, None], diagonal[:, None], -field)
    counts = np.full(states.size, sites + 1)
    return _canonical(values.ravel(), columns.ravel(), counts, states.size)


def exact_ising_energy(sites: int, field: float) -> float:
    """Ground state energy of :func:`ising_chain`, whose spins are free fermions in disguise.

    In Majorana operators the chain is a bidiagonal form, the field on the diagonal and the coupling
    above it, and each of its singular values lowers the energy once: Pfeuty, Annals of Physics 57,
    79 (1970).
    """
    form = field * np.eye(sites) - np.eye(sites, k=1)
    return -float(np.linalg.svd(form, compute_uv=False).sum())


def uniform(rows: int, cols: int, density: float, seed: int = 0) -> Any:
    """Every position is stored with probability ``density``, by drawing the gaps between them."""
    rng = np.random.default_rng(seed)
    expected = rows * cols * density
    gaps = rng.geometric(density, size=int(expected + 8 * math.sqrt(expected) + 16))
    position = np.cumsum(gaps) - 1
    position = position[: np.searchsorted(position, rows * cols)]
    counts = np.diff(np.searchsorted(position, np.arange(rows + 1) * cols))
    columns = (position % cols).astype(np.int32)
    return _canonical(rng.standard_normal(position.size), columns, counts, cols)


def power_law(scale: int, edges_per_node: int, seed: int = 0) -> Any:
    """Adjacency matrix of an R-MAT graph with Graph500's probabilities and shuffled node numbers.

    Chakrabarti, Zhan, Faloutsos: R-MAT, a recursive model for graph mining (SDM 2004).
    """
    rng = np.random.default_rng(seed)
    nodes = 1 << scale
    shuffled = rng.permutation(nodes)
    edges = []
    for _ in range(edges_per_node):
        row = np.zeros(nodes, dtype=np.int64)
        col = np.zeros(nodes, dtype=np.int64)
        for _ in range(scale):
            draw = np.frombuffer(rng.bytes(nodes), dtype=np.uint8)  # 146, 49, 49 and 12 of 256
            row += row + (draw >= 195)
            col += col + (((draw >= 146) & (draw < 195)) | (draw >= 244))
        edges.append(shuffled[row] * nodes + shuffled[col])
    keys = np.concatenate(edges)
    keys.sort()
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    counts = np.diff(np.searchsorted(keys, np.arange(nodes + 1) * nodes))
    columns = (keys % nodes).astype(np.int32)
    return _canonical(rng.standard_normal(keys.size), columns, counts, nodes)


def matrix_bytes(A: Any) -> int:
    """Bytes of the values, indices and row offsets."""
    return int(A.data.nbytes + A.indices.nbytes + A.indptr.nbytes)


def _bit_count(values: Any, bits: int) -> Any:
    return sum((values >> bit & 1) for bit in range(bits))


def _canonical(data: Any, indices: Any, counts: Any, cols: int) -> Any:
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    matrix = sparse.csr_array((data, indices, indptr), shape=(len(counts), cols))
    matrix.has_canonical_format = True
    return matrix


@dataclass(frozen=True)
class Matrix:
    """One member of the set.

    Attributes
    ----------
    family
        What kind of problem it comes from.
    streams
        True where the product reads memory almost in order (band, grid) or gathers from a vector
        that fits the level-2 cache (long rows), so that memory bandwidth is what bounds it.
    quick
        True for the few that ``--quick`` measures.
    interpolation
        Builds the interpolation P from the next coarser grid, where there is one.
    """

    name: str
    family: str
    build: Callable[[], Any]
    streams: bool = False
    quick: bool = False
    interpolation: Callable[[], Any] | None = None


def matrix_set() -> list[Matrix]:
    """From 10 kB to 1 GB in float64; every family also in a size beyond a cache of 300 MiB."""
    return [
        Matrix("banded-100", "banded", lambda: banded(100, 2), True, True),
        Matrix("banded-300", "banded", lambda: banded(300, 3), True),
        Matrix("banded-50k", "banded", lambda: banded(50_000, 10), True),
        Matrix("banded-4M", "banded", lambda: banded(3_900_000, 10), True),
        Matrix("banded-wide-500k", "banded", lambda: banded(500_000, 60), True),
        Matrix(
            *("fem2d-1k", "FEM", lambda: poisson_2d(32), True, True),
            interpolation=lambda: bilinear_interpolation(32),
        ),
        Matrix(
            *("fem2d-250k", "FEM", lambda: poisson_2d(500), True),
            interpolation=lambda: bilinear_interpolation(500),
        ),
        Matrix("fem2d-11M", "FEM", lambda: poisson_2d(3300), True),
        Matrix("fem3d-4k", "FEM", lambda: trilinear_3d(16), True, True),
        Matrix("fem3d-110k", "FEM", lambda: trilinear_3d(48), True),
        Matrix("fem3d-2M", "FEM", lambda: trilinear_3d(128), True),
        Matrix("graph-1k", "power-law graph", lambda: power_law(10, 12), quick=True),
        Matrix("graph-131k", "power-law graph", lambda: power_law(17, 16)),
        Matrix("graph-4M", "power-law graph", lambda: power_law(22, 14)),
        Matrix("ising-8", "Hamiltonian", lambda: ising_chain(8, 0.7)),
        Matrix("ising-12", "Hamiltonian", lambda: ising_chain(12, 0.7), quick=True),
        Matrix("ising-17", "Hamiltonian", lambda: ising_chain(17, 0.7)),
        Matrix("ising-21", "Hamiltonian", lambda: ising_chain(21, 0.7)),
        Matrix("uniform-1e-5-100k", "uniform", lambda: uniform(100_000, 100_000, 1e-5)),
        Matrix("uniform-1e-5-2M", "uniform", lambda: uniform(2_400_000, 2_400_000, 1e-5)),
        Matrix("uniform-1e-4-20k", "uniform", lambda: uniform(20_000, 20_000, 1e-4)),
        Matrix("uniform-1e-4-760k", "uniform", lambda: uniform(760_000, 760_000, 1e-4)),
        Matrix("uniform-1e-3-4k", "uniform", lambda: uniform(4_000, 4_000, 1e-3), quick=True),
        Matrix("uniform-1e-3-50k", "uniform", lambda: uniform(50_000, 50_000, 1e-3)),
        Matrix("uniform-1e-3-240k", "uniform", lambda: uniform(240_000, 240_000, 1e-3)),
        Matrix("uniform-1e-2-2k", "uniform", lambda: uniform(2_000, 2_000, 1e-2)),
        Matrix("uniform-1e-2-16k", "uniform", lambda: uniform(16_000, 16_000, 1e-2)),
        Matrix("uniform-1e-2-75k", "long rows", lambda: uniform(75_000, 75_000, 1e-2), True),
        Matrix("uniform-1e-1-500", "uniform", lambda: uniform(500, 500, 1e-1), quick=True),
        Matrix("uniform-1e-1-5k", "long rows", lambda: uniform(5_000, 5_000, 1e-1), True),
        Matrix("uniform-1e-1-24k", "long rows", lambda: uniform(24_000, 24_000, 1e-1), True),
        Matrix("tall-20k", "rectangular", lambda: uniform(20_000, 2_000, 1e-3), quick=True),
        Matrix("wide-2k", "rectangular", lambda: uniform(2_000, 20_000, 1e-3), quick=True),
        Matrix("tall-2M", "rectangular", lambda: uniform(2_000_000, 20_000, 1.4e-3)),
        Matrix("wide-20k", "rectangular", lambda: uniform(20_000, 2_000_000, 1.4e-3)),
    ]
