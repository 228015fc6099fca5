# SPDX-License-Identifier: Apache-2.0
"""How a checkpoint lays out packed layers.

A packed layer's values are the tensor ``<layer>.weight``, of one axis: a reader that knows nothing
of the format sees a weight of the wrong shape and refuses it. The other parts are
``<layer>.weight_positions``, ``<layer>.weight_row_offsets`` and ``<layer>.weight_scales``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from .. import _engine
from ..arrays.torch.host import NAMES
from ..dtypes import promote
from ..nn import PackedLinear
from ..packed import PackedArray
from ..packed.construct import packed_array, part_names
from ..packed.dtypes import PACKED_DTYPES, has_scales
from ..packed.selection import PACKED_FORMATS

_DTYPES = {"float8_e4m3": torch.float8_e4m3fn}


@dataclass(frozen=True)
class PackedLayout:
    """What a checkpoint must say of a packed layer before it is read.

    Attributes
    ----------
    format
        "bitmap", "gap4" or "gap8".
    dtype
        Value type by the engine's name.
    shape
        Outputs and inputs.
    slots
        Stored values, fillers included.
    offsets
        Dtype of the row offsets.
    """

    format: str
    dtype: str
    shape: tuple[int, int]
    slots: int
    offsets: str

    @classmethod
    def of(cls, weight: PackedArray) -> PackedLayout:
        """Layout of a packed weight over tensors."""
        stored = weight._storage
        row_offsets = stored.parts()["row_offsets"]
        offsets = str(row_offsets.dtype).removeprefix("torch.")
        return cls(stored.format, stored.dtype_name, weight.shape, int(row_offsets[-1]), offsets)

    @classmethod
    def from_dict(cls, name: str, entry: Any) -> PackedLayout:
        """Layout from JSON.

        Raises
        ------
        ValueError
            If something in it is not as it must be.
        """
        try:
            layout = cls(**{**entry, "shape": tuple(entry["shape"])})
            rows, cols = layout.shape
            numbers = rows, cols, layout.slots
            well_formed = (
                layout.format in PACKED_FORMATS
                and layout.dtype in PACKED_DTYPES
                and layout.offsets in ("int32", "int64")
                and all(type(number) is int and 0 <= number < 2**48 for number in numbers)
            )
        except (KeyError, TypeError, ValueError):
            well_formed = False
        if not well_formed:
            raise ValueError(f"the layout of the packed layer {name!r} is malformed: {entry!r}")
        return layout

    def to_dict(self) -> dict[str, Any]:
        """Layout as JSON."""
        return {**asdict(self), "shape": list(self.shape)}

    def empty_parts(self) -> dict[str, torch.Tensor]:
        """Tensors of the parts without memory, by names in the checkpoint."""
        rows, cols = self.shape
        values, positions = _engine.packed_layout(self.format, rows, cols, self.slots)
        specs = {
            "values": (values, _DTYPES.get(self.dtype) or getattr(torch, self.dtype)),
            "positions": (positions, torch.uint8),
            "row_offsets": (rows + 1, getattr(torch, self.offsets)),
            "scales": (rows, torch.float32),
        }
        return {
            checkpoint_name(part): torch.empty(length, dtype=dtype, device="meta")
            for part, (length, dtype) in specs.items()
            if part in part_names(self.format, self.dtype)
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
        for part, tensor in layout.empty_parts().items():
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
        for part in part_names(layout.format, layout.dtype):
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


def checkpoint_name(part: str) -> str:
    """Name of a part within its layer in a checkpoint."""
    return "weight" if part == "values" else f"weight_{part}"


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
