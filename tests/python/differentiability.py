# SPDX-License-Identifier: Apache-2.0
"""What is differentiable by the stored values where: tried out, and as the table of the docs.

``python differentiability.py`` prints the table.
"""

from __future__ import annotations

import gossamer
import numpy as np
from frameworks import FRAMEWORKS

_RNG = np.random.default_rng(8)
DENSE = _RNG.standard_normal((9, 7)) * (_RNG.random((9, 7)) < 0.4)
X = _RNG.standard_normal((7, 3))

_VECTOR = _RNG.standard_normal(7)
_LEFT = _RNG.standard_normal((9, 3))
_STORED = tuple(int(index[5]) for index in np.nonzero(DENSE))

#: Function of a sparse array of 9 × 7, and of the dense X, x, Y and S, by what it shows.
OPERATIONS = {
    "`A @ x`, rank 1": lambda A, X, x, Y, S: A @ x,
    "`A @ X`, rank 2 and more": lambda A, X, x, Y, S: A @ X,
    "`A.T @ Y`": lambda A, X, x, Y, S: A.T @ Y,
    "`x @ A`": lambda A, X, x, Y, S: x @ A.T,
    "`A.todense()`": lambda A, X, x, Y, S: A.todense(),
    "`2 * A`, `-A`, `A.conj()`": lambda A, X, x, Y, S: (-(A * 2.0)).conj().data,
    "`sddmm(S, U, V)` by U, V": lambda A, X, x, Y, S: gossamer.sddmm(S, A @ X, X).data,
    "`A @ B`, sparse": lambda A, X, x, Y, S: A.matmat(A.T).data,
    "`A + B`, sparse": lambda A, X, x, Y, S: (A + A.tocsc()).data,
    "`vstack`, `hstack`": lambda A, X, x, Y, S: _stacked(A).data,
    "`kron(A, B)`": lambda A, X, x, Y, S: gossamer.kron(A[:3, :2], A[2:5]).data,
    "`A.tocsr()`, `A.tocsc()`": lambda A, X, x, Y, S: A.tocsc().data,
    "`A.tocoo(canonical=True)`": lambda A, X, x, Y, S: A.tocoo(canonical=True).data,
    "`coo_array(...).tocsr(canonical=True)`, duplicates": lambda A, X, x, Y, S: _summed(A.data),
    "`A[i:j, k:l]`": lambda A, X, x, Y, S: A[1:6, 2:5].data,
    "`A[rows]`, `A[:, mask]`": lambda A, X, x, Y, S: (
        A[[5, 0, 5]][:, [True, False] * 3 + [True]].data
    ),
    "`abs(A)`": lambda A, X, x, Y, S: abs(A).data,
    "`A[i, j]`": lambda A, X, x, Y, S: A[_STORED],
    "`A.sum()`, `A.trace()`": lambda A, X, x, Y, S: A.sum() + A.trace(),
    "`A.sum(0)`, `A.sum(1)`": lambda A, X, x, Y, S: A.sum(0),
    "`A.max(0)`, `A.min(1)`": lambda A, X, x, Y, S: A.max(0) + A[:, :1].min(1).sum(),
    "`A.diagonal(k)`": lambda A, X, x, Y, S: A.diagonal(1),
    "`A.row_norms()`": lambda A, X, x, Y, S: A[1:4].row_norms(),
    "`diags(d)`": lambda A, X, x, Y, S: gossamer.diags([A.data], [0]).data,
}
MODES = ("reverse", "second order", "forward", "Jacobian", "compiled")


def _stacked(A):
    return gossamer.hstack([gossamer.vstack([A, 2 * A]), gossamer.vstack([A.tocsc(), -A])])


def _summed(values):
    positions = np.arange(values.shape[0]) % 5
    return gossamer.coo_array((values, (positions, positions[::-1])), (5, 5)).tocsr(True).data


def stored(name, framework, format="csr"):
    """Return an operation as a function of the stored values to rank 1, and the values."""
    A = gossamer.fromdense(framework.array(DENSE), format=format)
    dense = tuple(framework.array(x) for x in (X, _VECTOR, _LEFT))
    operation = OPERATIONS[name]
    return lambda values: operation(A._with_data(values), *dense, A).reshape(-1), A.data


def scalar(function):
    """Return a smooth function to a number from one to an array."""
    return lambda values: ((function(values) + 0.5) ** 3).sum()


def derivative(function, framework, x, direction, step=1e-6):
    """Derivative of a scalar function along a direction by a central difference in float64."""
    up, down = (
        float(framework.numpy(function(framework.array(framework.numpy(x) + sign * direction))))
        for sign in (step, -step)
    )
    return (up - down) / (2 * step)


def attempt(name, mode, framework):
    """Gradient or derivative in a mode, and what it must be, along one direction."""
    flat, values = stored(name, framework)
    function = scalar(flat)
    direction = np.random.default_rng(2).standard_normal(values.shape[0])
    tangent = framework.array(direction)

    def along(v):  # the derivative of function along the direction, as a function of the values
        return (framework.gradient(function, v) * tangent).sum()

    if mode == "Jacobian":
        jacobian = framework.numpy(framework.jacobian(flat, values))
        weights = np.random.default_rng(3).standard_normal(jacobian.shape[0])
        weighted = lambda v: (flat(v) * framework.array(weights)).sum()  # noqa: E731
        expected = derivative(weighted, framework, values, direction)
        return weights @ jacobian @ direction, expected
    if mode == "forward":
        got = framework.forward(function, values, tangent)
        return framework.numpy(got), derivative(function, framework, values, direction)
    if mode == "second order":
        got = framework.gradient(along, values)
        expected = derivative(along, framework, values, direction)
        return (framework.numpy(got) * direction).sum(), expected
    if mode == "compiled":
        got = framework.compiled(function)(values)
        return framework.numpy(got), float(framework.numpy(function(values)))
    got = framework.gradient(function, values)
    expected = derivative(function, framework, values, direction)
    return (framework.numpy(got) * direction).sum(), expected


#: Where it is not supported, and what the message says: new positions cannot be made while PyTorch
#: records Python code; MLX has nothing to record a sparse product in.
REFUSED = {
    ("torch", "compiled"): {
        "`coo_array(...).tocsr(canonical=True)`, duplicates": r"inside torch.compile.*with_data",
        "`diags(d)`": r"inside torch.compile.*with_data",
    },
    ("mlx", "compiled"): {"`A @ B`, sparse": r"sparse @ sparse inside mx.compile"},
    ("mlx", "Jacobian"): {"`A @ B`, sparse": r"sparse @ sparse inside mx.compile and mx.vmap"},
}
for _mode in MODES:
    # MLX's own message: its arrays ask no other operand.
    REFUSED.setdefault(("mlx", _mode), {})["`x @ A`"] = r"__matmul__\(\): incompatible function"


def table() -> str:
    """The table of the documentation, in Markdown."""
    lines = ["| by the stored values of A | PyTorch | MLX | JAX |", "|---|---|---|---|"]
    for name in OPERATIONS:
        cells = []
        for framework in FRAMEWORKS:
            refused = [mode for mode in MODES if name in REFUSED.get((framework, mode), ())]
            kept = f"not {', '.join(refused)}" if refused else "✓"
            cells.append("no: `A.T @ x`" if len(refused) == len(MODES) else kept)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
