# SPDX-License-Identifier: Apache-2.0
"""Multigrid for the Poisson problem on a square, made of nothing but sparse products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.sparse.linalg import LinearOperator

from gossamer.cli.matrices import bilinear_interpolation

_DAMPING = 0.8
_COARSEST = 3


class Multigrid:
    """V-cycles with one damped Jacobi sweep before and after the coarse correction.

    Coarse operators are the Galerkin products R A P, R = Pᵀ; see Briggs, Henson, McCormick:
    A Multigrid Tutorial. A cycle is symmetric, so it can precondition conjugate gradients.

    Parameters
    ----------
    A
        Five-point Laplacian on ``points`` × ``points``, in the container that ``lift`` makes.
    points
        Interior points along an axis, 2**k - 1.
    lift
        Brings a ``scipy.sparse.csr_array`` into the container whose products are to be used.
    """

    def __init__(self, A: Any, points: int, lift: Callable[[Any], Any]) -> None:
        self.operators = [A]
        self.prolongations: list[Any] = []
        self.restrictions: list[Any] = []
        while points > _COARSEST:
            prolongation = bilinear_interpolation(points)
            points //= 2
            P, R = lift(prolongation), lift(prolongation.T.tocsr())
            self.prolongations.append(P)
            self.restrictions.append(R)
            self.operators.append(R @ (self.operators[-1] @ P))
        self.inverse_diagonals = [_DAMPING / operator.diagonal() for operator in self.operators]
        self.coarsest_inverse = np.linalg.inv(self.operators[-1].todense())

    def preconditioner(self) -> LinearOperator:
        """One V-cycle as an operator."""
        shape, dtype = self.operators[0].shape, self.operators[0].dtype
        return LinearOperator(shape, matvec=self.cycle, dtype=dtype)

    def cycle(self, b: Any, level: int = 0) -> Any:
        """Approximate solution of A x = b, from x = 0."""
        if level == len(self.prolongations):
            return self.coarsest_inverse @ b
        A, weights = self.operators[level], self.inverse_diagonals[level]
        x = weights * b
        residual = self.restrictions[level] @ (b - A @ x)
        x += self.prolongations[level] @ self.cycle(residual, level + 1)
        x += weights * (b - A @ x)
        return x
