# SPDX-License-Identifier: Apache-2.0
"""Packed layers of a model, and the tensors that a checkpoint has of them."""

from __future__ import annotations

import torch
from torch import nn

from .. import _engine
from ..arrays.torch.host import NAMES
from ..dtypes import promote
from ..io.packed_checkpoint import PackedLayout, checkpoint_name
from ..nn import PackedLinear
from ..packed.construct import packed_array, part_names
from ..packed.dtypes import has_scales

_DTYPES = {"float8_e4m3": torch.float8_e4m3fn}


def empty_parts(layout: PackedLayout) -> dict[str, torch.Tensor]:
    """Tensors of the parts without memory, by names in the checkpoint."""
    rows, cols = layout.shape
    values, positions = _engine.packed_layout(layout.format, rows, cols, layout.slots)
    specs = {
        "values": (values, _DTYPES.get(layout.dtype) or getattr(torch, layout.dtype)),
        "positions": (positions, torch.uint8),
        "row_offsets": (rows + 1, getattr(torch, layout.offsets)),
        "scales": (rows, torch.float32),
    }
    return {
        checkpoint_name(part): torch.empty(length, dtype=dtype, device="meta")
        for part, (length, dtype) in specs.items()
        if part in layout.parts
    }


class UnreadLinear(nn.Module):  # type: ignore[misc]
    """Stands for a packed layer while a checkpoint is read into it; cannot run.

    Parameters
    ----------
    layout
        Of the tensors to come.
    linear
        The layer of the model that it replaces, of which only a bias is kept.

    Raises
    ------
    ValueError
        If the layout is that of another shape.
    """

    def __init__(self, name: str, layout: PackedLayout, linear: nn.Module) -> None:
        super().__init__()
        if not isinstance(linear, nn.Linear):
            raise ValueError(f"{name!r} is packed, but here a {type(linear).__name__}")
        if layout.shape != tuple(linear.weight.shape):
            raise ValueError(
                f"{name!r} is packed as {layout.shape}, but the model's configuration makes it "
                f"{tuple(linear.weight.shape)}"
            )
        self._name = name
        self._layout = layout
        self._lengths = {}
        for part, tensor in empty_parts(layout).items():
            self.register_buffer(part, tensor)
            self._lengths[part] = len(tensor)
        self.bias = linear.bias

    def packed(self) -> PackedLinear:
        """Layer over the tensors that were read, once they are validated.

        Raises
        ------
        ValueError
            Naming what is wrong with them.
        """
        layout = self._layout
        parts = {}
        for part in layout.parts:
            name = checkpoint_name(part)
            tensor = parts[part] = self._buffers[name]
            # transformers marks what it has read, and fills in at random what was missing.
            if not getattr(tensor, "_is_hf_initialized", False):
                raise ValueError(f"'{self._name}.{name}' is missing")
            if tensor.shape != (self._lengths[name],):
                raise ValueError(
                    f"'{self._name}.{name}' has shape {tuple(tensor.shape)}, mismatched with the "
                    f"{self._lengths[name]} elements of the configuration"
                )
        try:
            array = packed_array(layout.format, layout.dtype, layout.shape, parts, copy=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"packed layer {self._name!r}: {error}") from error
        return PackedLinear(array, self.bias)


def keeps_dtype(value_type: str, dtype: torch.dtype) -> bool:
    """Whether packed products of a model of that dtype have its dtype, as the next layer needs."""
    return has_scales(value_type) or promote(value_type, NAMES[dtype]) == NAMES[dtype]


def packed_layers(model: nn.Module) -> dict[str, PackedLinear]:
    """Packed layers of a model by name."""
    return {name: layer for name, layer in model.named_modules() if isinstance(layer, PackedLinear)}


def checkpoint_tensors(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return the model's state with the packed layers as a checkpoint lays them out."""
    state: dict[str, torch.Tensor] = model.state_dict()
    for name, layer in packed_layers(model).items():
        for part in part_names(layer.format, layer._value_type):
            tensor = state.pop(f"{name}.{part}")
            if layer._value_type == "float8_e4m3" and part == "values":
                tensor = tensor.view(torch.float8_e4m3fn)
            state[f"{name}.{checkpoint_name(part)}"] = tensor
    return state
