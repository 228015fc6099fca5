# SPDX-License-Identifier: Apache-2.0
"""Pack the layers of a model in memory, and unpack them."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from ..arrays.torch.host import DTYPES, NAMES
from ..dtypes import promote
from ..nn import pack_linears
from ..nn.packing import check_module, replace_module, unshared_linears
from ..out_of_memory import memory_for
from .layout import keeps_dtype, packed_layers
from .quantizer import GossamerQuantizer, attach_quantizer


def pack_model(
    model: Any,
    dtype: str | None = None,
    *,
    format: str = "auto",
    min_gain: float = 1.2,
    skip: Sequence[str] = (),
) -> list[str]:
    """Pack the linear layers of a language model for which that pays, in place.

    Embeddings, norms, the head and what shares its weights with another module stay as they are.
    Afterwards ``save_pretrained`` writes a checkpoint that ``from_pretrained`` reads after
    ``import gossamer.hf``.

    Parameters
    ----------
    model
        Causal language model of transformers.
    dtype
        Type of the packed values: "float32", "float16", "bfloat16", "int8" or "float8_e4m3"; by
        default the weights' own.
    format
        As of `gossamer.compress`.
    min_gain
        How many times smaller than the dense weight a packed one must be to replace it.
    skip
        Patterns of layers to leave as they are, such as ``"*.down_proj"``.

    Returns
    -------
    Names of the packed layers.

    Raises
    ------
    TypeError
        If it is no model of transformers, or as of `gossamer.nn.pack_linears`.
    ValueError
        If the model is quantized already, or products with values of that type would not have the
        model's dtype, or as of `gossamer.nn.pack_linears`.
    torch.OutOfMemoryError
        If memory runs out.

    Where one layer cannot be packed those before it stay so, and the model is a packed one as any.
    """
    check_module("pack_model", model)
    if not hasattr(model, "get_output_embeddings"):
        raise TypeError(
            f"pack_model: model is a {type(model).__name__}, expected a language model of "
            f"transformers; gossamer.nn.pack_linears packs the layers of any other module, and "
            f"gossamer.nn.PackedLinear.from_linear a single layer"
        )
    if getattr(model, "is_quantized", False) or packed_layers(model):
        raise ValueError("the model is packed or quantized already; give the one it was made from")
    if dtype in DTYPES and not keeps_dtype(dtype, model.dtype):
        own = NAMES[model.dtype]
        raise ValueError(
            f"dtype is {dtype!r}, and products of such values with the model's {own} are "
            f"{promote(dtype, own)}, which its other layers do not take; give {own!r} or an 8-bit "
            f"type, or cast the model first"
        )
    chosen = packable_layers(model, skip)
    try:
        with memory_for("packing the model's layers", "compress_checkpoint packs one at a time"):
            packed = pack_linears(
                model, format, dtype, min_gain=min_gain, skip=lambda name, layer: name not in chosen
            )
    except BaseException:  # an interrupt too
        if packed_layers(model):
            attach_quantizer(model)
        raise
    attach_quantizer(model)
    return packed


def packable_layers(model: Any, skip: Sequence[str] = ()) -> list[str]:
    """Names of the linear layers of a language model that `pack_model` would pack if it pays."""
    head = model.get_output_embeddings()
    return [
        name
        for name, layer in unshared_linears(model).items()
        if layer is not head and not any(fnmatchcase(name, pattern) for pattern in skip)
    ]


def unpack_model(model: Any) -> None:
    """Make the packed layers of a model dense again, in place.

    Raises
    ------
    ValueError
        If it is not packed.
    torch.OutOfMemoryError
        If memory runs out. The layers that are still packed stay so.
    """
    quantizer, layers = getattr(model, "hf_quantizer", None), packed_layers(model)
    if not isinstance(quantizer, GossamerQuantizer):
        raise ValueError("unpack_model: the model has no packed layers")
    config = quantizer.quantization_config
    for name in list(layers):
        layer = layers.pop(name)
        with memory_for(f"unpacking {name}", "packed it takes less"):
            weight = layer.weight.decompress(model.dtype)
        bias = layer.bias
        rows, cols = weight.shape
        with torch.device("meta"):
            linear = nn.Linear(cols, rows, bias is not None)
        linear.weight = nn.Parameter(weight, requires_grad=False)
        linear.bias = bias
        linear.train(layer.training)
        replace_module(model, layer, linear)
        config.layers.pop(name, None)
    quantizer.remove_quantization_config(model)
