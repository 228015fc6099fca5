# SPDX-License-Identifier: Apache-2.0
"""What the demonstration computes, with Gossamer and with SciPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from scipy.sparse.linalg import cg, eigsh

import gossamer
from gossamer.cli.demo.multigrid import Multigrid
from gossamer.cli.machine import memory_bytes
from gossamer.cli.matrices import exact_ising_energy, ising_chain, matrix_bytes, poisson_2d
from gossamer.cli.timing import Effort, first_call, interleave

_EFFORT = Effort(seconds=0.3)
_TOLERANCE = 1e-8
_MAX_DENSE_BYTES = 1 << 30
_LIFTS: dict[str, Callable[[Any], Any]] = {
    "SciPy": lambda A: A,
    "Gossamer": gossamer.from_scipy,
}


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    Attributes
    ----------
    seconds
        By "SciPy", "Gossamer" and, where it fits, "dense".
    error
        Largest difference from SciPy's result, relative to the largest element of that.
    note
        What else there is to say: iterations, an energy.
    """

    problem: str
    operation: str
    seconds: Mapping[str, float]
    sparse_bytes: int
    dense_bytes: int
    error: float
    note: str = ""


def measure_product(problem: str, A: Any, columns: int | None = None) -> Measurement:
    """Time A x, or A X with ``columns`` columns; A is a ``scipy.sparse.csr_array``."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal(A.shape[1] if columns is None else (A.shape[1], columns))
    x = x.astype(A.dtype)
    ours = gossamer.from_scipy(A)
    contenders: dict[str, Callable[[], Any]] = {
        "SciPy": lambda: A @ x,
        "Gossamer": lambda: ours @ x,
    }
    if _dense_bytes(A) <= min(_MAX_DENSE_BYTES, memory_bytes() // 8):
        dense = A.toarray()
        contenders["dense"] = lambda: dense @ x
    results, first = {}, {}
    for name, call in contenders.items():
        results[name], first[name] = first_call(call)
    timings = interleave(contenders, first, _EFFORT)
    return Measurement(
        problem,
        "A @ x" if columns is None else f"A @ X, {columns} columns",
        {name: timing.median for name, timing in timings.items()},
        matrix_bytes(A),
        _dense_bytes(A),
        _difference(results["Gossamer"], results["SciPy"]),
    )


def measure_poisson(points: int) -> tuple[list[Measurement], Any]:
    """Solve the Poisson problem by conjugate gradients, preconditioned with multigrid.

    Returns
    -------
    list of Measurement
        The product, the set-up of multigrid and the solve.
    ndarray
        The solution, shape (points, points).
    """
    A = poisson_2d(points)
    b = _sources(points)
    operators = {name: lift(A) for name, lift in _LIFTS.items()}
    cycles, setup_seconds = _in_turns(
        {name: partial(Multigrid, operators[name], points, lift) for name, lift in _LIFTS.items()}
    )
    solves, solve_seconds = _in_turns(
        {name: partial(_solve, operators[name], cycles[name], b) for name in _LIFTS}
    )
    setup_error = _difference(*(cycles[name].coarsest_inverse for name in ("Gossamer", "SciPy")))
    (solution, iterations), (reference, _) = solves["Gossamer"], solves["SciPy"]
    residual = np.linalg.norm(A @ solution - b) / np.linalg.norm(b)

    problem = f"Poisson, {points}×{points} grid"
    sizes = (matrix_bytes(A), _dense_bytes(A))
    error = _difference(solution, reference)
    note = f"{iterations} iterations, residual {residual:.0e}"
    return [
        measure_product(problem, A),
        Measurement(problem, "multigrid set-up", setup_seconds, *sizes, setup_error),
        Measurement(problem, "conjugate gradients", solve_seconds, *sizes, error, note),
    ], solution.reshape(points, points)


def measure_ising(sites: int, field: float) -> Iterator[Measurement]:
    """Yield the product with the chain's Hamiltonian, and its ground state."""
    H = ising_chain(sites, field)
    problem = f"Ising chain, {sites} qubits"
    yield measure_product(problem, H)
    start = np.ones(H.shape[0])  # positive, as the ground state is
    ground_state = partial(eigsh, k=1, which="SA", v0=start, tol=1e-10, return_eigenvectors=False)
    energies, seconds = _in_turns(
        {name: partial(ground_state, lift(H)) for name, lift in _LIFTS.items()}
    )
    error = _difference(energies["Gossamer"], energies["SciPy"])
    sizes = (matrix_bytes(H), _dense_bytes(H))
    exact = exact_ising_energy(sites, field)
    note = f"energy {energies['Gossamer'][0]:.6f}, exact {exact:.6f}"
    yield Measurement(problem, "ground state (Lanczos)", seconds, *sizes, error, note)


def measure_matrix(name: str, A: Any) -> Iterator[Measurement]:
    """Yield products with one vector and with 16."""
    yield measure_product(name, A)
    yield measure_product(name, A, columns=16)


def _sources(points: int) -> Any:
    """Right-hand side of the scaled problem: three charges of width 1/20 on the unit square."""
    x, y = np.meshgrid(*[np.linspace(0, 1, points + 2)[1:-1]] * 2, indexing="ij")
    charges = [(0.3, 0.3, 1.0), (0.65, 0.45, -1.0), (0.4, 0.75, 0.7)]
    density = sum(
        charge * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * 0.05**2))
        for x0, y0, charge in charges
    )
    return np.ravel(density) / (points + 1) ** 2


def _dense_bytes(A: Any) -> int:
    return int(A.shape[0] * A.shape[1] * A.dtype.itemsize)


def _difference(result: Any, reference: Any) -> float:
    scale = np.max(np.abs(reference), initial=0)
    return float(np.max(np.abs(result - reference), initial=0) / (scale or 1))


def _solve(operator: Any, cycles: Multigrid, b: Any) -> tuple[Any, int]:
    """Solution by conjugate gradients, and the number of iterations."""
    steps: list[None] = []
    x, status = cg(
        operator,
        b,
        rtol=_TOLERANCE,
        M=cycles.preconditioner(),
        callback=lambda _: steps.append(None),
    )
    if status != 0:
        raise RuntimeError(f"conjugate gradients did not converge in {len(steps)} iterations")
    return x, len(steps)


def _in_turns(
    calls: Mapping[str, Callable[[], Any]],
) -> tuple[dict[str, Any], dict[str, float]]:
    """Results, and the faster of two turns in seconds."""
    results, seconds = {}, dict.fromkeys(calls, math.inf)
    for _ in range(2):
        for name, call in calls.items():
            results[name], elapsed = first_call(call)
            seconds[name] = min(seconds[name], elapsed)
    return results, seconds
