# SPDX-License-Identifier: Apache-2.0
"""How a language model's checkpoint lays out packed layers.

A packed layer's values are the tensor ``<layer>.weight``, of one axis: a reader that knows nothing
of the format sees a weight of the wrong shape and refuses it. The other parts are
``<layer>.weight_positions``, ``<layer>.weight_row_offsets`` and ``<layer>.weight_scales``. What the
parts are says ``quantization_config`` in the ``config.json`` beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..packed import PackedArray
from ..packed.construct import packed_array, part_names
from ..packed.dtypes import PACKED_DTYPES, numpy_dtype
from ..packed.selection import PACKED_FORMATS
from .tensor_file import TensorFile

#: Name of the method in ``quantization_config``.
METHOD = "gossamer"

#: Version of the layout in a checkpoint.
VERSION = 1


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

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that such a layer has."""
        return part_names(self.format, self.dtype)


def checkpoint_name(part: str) -> str:
    """Name of a part within its layer in a checkpoint."""
    return "weight" if part == "values" else f"weight_{part}"


def tensor_names(name: str, layout: PackedLayout) -> dict[str, str]:
    """Names of the tensors of a layer, by its parts."""
    return {part: f"{name}.{checkpoint_name(part)}" for part in layout.parts}


def read_layouts(layers: Any, version: Any) -> dict[str, PackedLayout]:
    """Packed layers by name, from the JSON of ``quantization_config``.

    Raises
    ------
    ValueError
        For another version, or a malformed layout.
    """
    if type(version) is not int or version != VERSION:
        raise ValueError(
            f"this checkpoint has layout version {version!r}, and this Gossamer reads version "
            f"{VERSION}; a newer one may read it"
        )
    if not isinstance(layers, Mapping):
        raise ValueError(f"layers = {layers!r}, expected the layouts of packed layers by name")
    return {name: PackedLayout.from_dict(name, entry) for name, entry in layers.items()}


def layouts_beside(path: Path, file: TensorFile) -> dict[str, PackedLayout]:
    """Packed layers by name of which a model's file holds all parts; none for other files.

    Raises
    ------
    ValueError
        If the ``config.json`` beside it is that of a packed model, and malformed or newer.
    """
    config = path.with_name("config.json")
    if not config.is_file():
        return {}
    try:
        described = json.loads(config.read_bytes())["quantization_config"]
        is_ours = described["quant_method"] == METHOD
    except (KeyError, RecursionError, TypeError, ValueError):
        return {}  # of something else
    if not is_ours:
        return {}
    try:
        layouts = read_layouts(described.get("layers"), described.get("version", VERSION))
    except ValueError as error:
        raise ValueError(f"{config.name} beside it: {error}") from error
    held = set(file.names)
    return {
        name: layout
        for name, layout in layouts.items()
        if held.issuperset(tensor_names(name, layout).values())
    }


def load_layer(file: TensorFile, name: str, layout: PackedLayout) -> PackedArray:
    """Read the weight of a packed layer over NumPy arrays.

    float8 values, of which NumPy reads none, are all zero.

    Raises
    ------
    ValueError
        If its parts are malformed, or not those of the layout.
    """
    names = tensor_names(name, layout)
    parts: dict[str, Any] = {}
    for part, tensor in names.items():
        dtype, shape = file.describe(tensor)
        if dtype == "F8_E4M3":
            parts[part] = np.zeros(shape, numpy_dtype("float8_e4m3"))
        else:
            parts[part] = file.read(tensor)
    try:
        array = packed_array(layout.format, layout.dtype, layout.shape, parts, copy=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"packed layer {name!r}: {error}") from error
    found = PackedLayout.of(array).to_dict()
    for key, expected in layout.to_dict().items():
        if found[key] != expected:
            raise ValueError(
                f"packed layer {name!r} has {key} = {found[key]}, mismatched with the {expected} "
                f"of the configuration"
            )
    return array
