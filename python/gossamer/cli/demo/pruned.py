# SPDX-License-Identifier: Apache-2.0
"""The demonstration's second half: a language model's layers, pruned, packed and multiplied."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import gossamer
from gossamer.cli.demo.weights import Layer

DENSITIES = (0.5, 0.1)
DTYPES = ("float32", "float16", "int8")

# Seconds of rest before a pass, in which the threads of the library before go to sleep: OpenBLAS's
# keep a core busy for 0.13.
_PAUSE = 0.2


@dataclass(frozen=True)
class PrunedLayers:
    """All layers of one kind at one density and value type, or all layers in sum.

    Attributes
    ----------
    kind
        Of the layers; "in sum" for all.
    formats
        That `gossamer.compress` chose.
    dense_bytes, packed_bytes
        Of the float32 matrices, and packed.
    dense_seconds, packed_seconds
        For one product with each layer, each the median over passes through the whole model.
    error
        Largest difference from the dense product, relative to its largest element.
    """

    density: float
    dtype: str
    kind: str
    count: int
    shape: tuple[int, int] | None
    formats: tuple[str, ...]
    dense_bytes: int
    packed_bytes: int
    dense_seconds: float
    packed_seconds: float
    error: float


def prune(W: Any, density: float) -> Any:
    """Keep that share of the elements, those of largest modulus, and set the others to zero."""
    kept = round(W.size * density)
    largest = np.argpartition(np.abs(W), W.size - kept, axis=None)[W.size - kept :]
    pruned = np.zeros_like(W)
    pruned.flat[largest] = W.flat[largest]
    return pruned


def measure_layers(
    layers: Sequence[Layer], density: float, dtypes: Sequence[str], rounds: int
) -> list[PrunedLayers]:
    """Measure the layers pruned to a density: for each value type every kind, then the sum.

    A round multiplies each layer once in the order of the model, dense (NumPy's BLAS) and packed
    in each value type by turns, so that no matrix is still in a cache.
    """
    rng = np.random.default_rng(0)
    pruned = [prune(layer.weights, density) for layer in layers]
    inputs = [rng.standard_normal(W.shape[1], dtype=np.float32) for W in pruned]
    models = {"dense": pruned} | {
        dtype: [gossamer.compress(W, dtype=dtype) for W in pruned] for dtype in dtypes
    }
    results = {name: _pass(model, inputs)[0] for name, model in models.items()}
    seconds: dict[str, list[list[float]]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            seconds[name].append(_pass(model, inputs)[1])

    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    lines = []
    for dtype in dtypes:
        for kind in [*kinds, "in sum"]:
            chosen = [i for i, layer in enumerate(layers) if kind in (layer.kind, "in sum")]
            packed = [models[dtype][i] for i in chosen]
            errors = [_difference(results[dtype][i], results["dense"][i]) for i in chosen]
            lines.append(
                PrunedLayers(
                    density,
                    dtype,
                    kind,
                    len(chosen),
                    None if kind == "in sum" else packed[0].shape,
                    tuple(dict.fromkeys(matrix.format for matrix in packed)),
                    sum(pruned[i].nbytes for i in chosen),
                    sum(matrix.nbytes for matrix in packed),
                    _median(seconds["dense"], chosen),
                    _median(seconds[dtype], chosen),
                    max(errors),
                )
            )
    return lines


def _pass(model: Sequence[Any], inputs: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Results of all products, and how long each took."""
    results, seconds = [], []
    time.sleep(_PAUSE)
    for matrix, x in zip(model, inputs, strict=True):
        start = time.perf_counter()
        results.append(matrix @ x)
        seconds.append(time.perf_counter() - start)
    return results, seconds


def _median(passes: Sequence[Sequence[float]], chosen: Sequence[int]) -> float:
    """Sum over the chosen layers of the median over the passes."""
    return sum(statistics.median(seconds[i] for seconds in passes) for i in chosen)


def _difference(result: Any, reference: Any) -> float:
    return float(np.abs(result - reference).max() / np.abs(reference).max())
