#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fit a sparse layer of fixed pattern: the conductivities of a ring from how heat spreads in it.

A heat equation on a ring takes a temperature profile x to y = A x, each place mixing with its
neighbours by unknown conductivities. The pattern of A is known, its values are not: they are fitted
to noisy pairs (x, y) by gradient descent on the mean squared error, with the gradient by the stored
values. A dense layer would have n² unknowns for the 3 n that there are.

    python examples/train_sparse_layer.py --places 200 --steps 30 --backend torch
"""

import argparse
import sys

import gossamer
import numpy as np
from backends import BACKENDS, load_backend


def heat_step(conductivity):
    """One explicit step of the heat equation on a ring.

    Parameters
    ----------
    conductivity : ndarray
        Shape (n,): between each place and the next, from 0 to 1/2.

    Returns
    -------
    gossamer.CSRArray
        Shape (n, n), three entries a row.
    """
    n = len(conductivity)
    place = np.arange(n, dtype=np.int32)
    before = np.roll(conductivity, 1)
    values = np.concatenate([1 - conductivity - before, conductivity, before])
    cols = np.concatenate([place, (place + 1) % n, (place - 1) % n])
    return gossamer.coo_array((values, (np.tile(place, 3), cols)), (n, n)).tocsr(canonical=True)


def fit(truth, samples, noise, steps, rate, backend, seed=0):
    """Fit the values of a pattern to noisy samples; yield (step, loss, largest error of a value).

    Parameters
    ----------
    truth : gossamer.CSRArray
        What the samples are made with; only its pattern is used to fit.
    samples : int
        Number of pairs.
    noise : float
        Standard deviation of what is added to each y.
    rate : float
        Step of the gradient descent.
    backend : Backend
        Whose gradient is taken.
    """
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((truth.shape[1], samples))
    outputs = truth @ inputs + noise * rng.standard_normal((truth.shape[0], samples))
    x, y = backend.array(inputs), backend.array(outputs)

    def loss(values):
        A = gossamer.csr_array(
            (values, truth.indices, truth.indptr), truth.shape, validate="none", copy=False
        )
        return ((A @ x - y) ** 2).sum() / (2 * samples)

    values = backend.array(np.zeros(truth.nnz))
    for step in range(steps + 1):
        if step % max(1, steps // 10) == 0:
            error = np.abs(backend.numpy(values) - truth.data).max()
            yield step, float(loss(values)), error
        values = values - rate * backend.gradient(loss, values)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Fit the values of a sparse layer.")
    parser.add_argument("--places", type=int, default=200, help="size of the layer, at least 3")
    parser.add_argument("--samples", type=int, default=400)
    parser.add_argument("--noise", type=float, default=0.01)
    parser.add_argument("--steps", type=int, default=30)
    differentiating = [name for name in BACKENDS if name != "numpy"]
    parser.add_argument("--backend", choices=differentiating, default="torch")
    args = parser.parse_args()
    if args.places < 3:
        parser.error(f"argument --places: {args.places} is below 3")
    try:
        backend = load_backend(args.backend)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 2
    conductivity = np.random.default_rng(1).uniform(0.1, 0.4, args.places)
    truth = heat_step(conductivity)
    print(f"layer: {truth}, density {truth.nnz / args.places**2:.2%}")
    print("step  loss         largest error of a value")
    for step, loss, error in fit(
        truth, args.samples, args.noise, args.steps, rate=0.8, backend=backend
    ):
        print(f"{step:4}  {loss:.5e}  {error:.5f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
