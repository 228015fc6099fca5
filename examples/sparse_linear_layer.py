#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A block-sparse linear layer on a batch of activations, forward and backward.

The weight is block-diagonal, each block an identity with a quarter of the identity above its
diagonal. ``W @ x`` takes activations of shape (batch, features, 1) as they are. The gradient by
them is the framework's own, or with NumPy's arrays written out.

    python examples/sparse_linear_layer.py --features 64 --blocks 8 --batch 4
"""

import argparse
import sys

import gossamer
import numpy as np
from backends import BACKENDS, load_backend


def block_sparse_weight(features, blocks, array=np.asarray):
    """Block-diagonal weight with bidiagonal blocks.

    Parameters
    ----------
    features : int
        Rows and columns of the weight.
    blocks : int
        Number of blocks; must divide ``features``.
    array : callable
        Makes the framework's array of a NumPy array.

    Returns
    -------
    gossamer.CSRArray
        Shape (features, features), float32, 1 on the diagonal and 0.25 beside it within a block.
    """
    if blocks < 1 or features % blocks != 0:
        raise ValueError(f"blocks = {blocks} does not divide features = {features}")
    row = np.arange(features, dtype=np.int32)
    coupled = row[(row + 1) % (features // blocks) != 0]
    rows = np.concatenate([row, coupled])
    cols = np.concatenate([row, coupled + 1])
    values = np.repeat(np.array([1, 0.25], dtype=np.float32), [row.size, coupled.size])
    weight = gossamer.coo_array((array(values), (rows, cols)), shape=(features, features))
    return weight.tocsr(canonical=True)


def main():
    """Run the command line."""
    parser = argparse.ArgumentParser(description="A block-sparse linear layer.")
    parser.add_argument("--features", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=8, help="must divide the features")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--backend", choices=BACKENDS, default="numpy", help="whose arrays")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    args = parser.parse_args()
    for name in ("features", "blocks", "batch"):
        if getattr(args, name) < 1:
            parser.error(f"argument --{name}: {getattr(args, name)} is not positive")
    if args.features % args.blocks != 0:
        parser.error(f"argument --blocks: {args.blocks} does not divide {args.features} features")
    try:
        device = gossamer.use_gpu() if args.device == "gpu" else gossamer.use_cpu()
        backend = load_backend(args.backend)
    except (ImportError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 2

    W = block_sparse_weight(args.features, args.blocks, backend.array)
    print(f"weight on {device}: {W}, density {W.nnz / (W.shape[0] * W.shape[1]):.2%}")
    x = np.random.default_rng(0).standard_normal((args.batch, args.features, 1), dtype=np.float32)
    activations = backend.array(x)
    y = backend.numpy(W @ activations)
    print(f"y = W @ x: shape {y.shape}")

    if backend.gradient is not None:
        grad_x = backend.gradient(lambda x: ((W @ x) ** 2).sum(), activations)
    else:  # the loss sum(y**2) has the gradient 2 y by y, and so 2 Wᵀ y by x
        grad_x = W.T @ (2 * y)
    grad_x = backend.numpy(grad_x)
    print(f"gradient by x: shape {grad_x.shape}")

    dense = backend.numpy(W.todense())
    print(f"largest difference from the dense layer: {np.abs(y - dense @ x).max():.1e} forward,")
    print(f"    {np.abs(grad_x - dense.T @ (2 * (dense @ x))).max():.1e} in the gradient")
    return 0


if __name__ == "__main__":
    sys.exit(main())
