# SPDX-License-Identifier: Apache-2.0
"""The quantization method ``gossamer`` of transformers: loads and saves packed models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn
from transformers.quantizers import HfQuantizer
from transformers.quantizers.auto import register_quantization_config, register_quantizer
from transformers.utils.quantization_config import QuantizationConfigMixin

from ..arrays.torch.host import NAMES
from ..io.packed_checkpoint import METHOD, VERSION, PackedLayout, checkpoint_name, read_layouts
from ..out_of_memory import memory_for
from ..packed.dtypes import DENSE_DTYPES
from .layout import UnreadLinear, checkpoint_tensors, keeps_dtype, packed_layers


@register_quantization_config(METHOD)
class GossamerConfig(QuantizationConfigMixin):  # type: ignore[misc]
    """The ``quantization_config`` of a packed model.

    Parameters
    ----------
    layers
        Layouts of the packed layers by name.
    version
        Of the layout.

    Raises
    ------
    ValueError
        For another version, or a malformed layout.
    """

    def __init__(
        self, layers: Mapping[str, Any] | None = None, version: int = VERSION, **_: Any
    ) -> None:
        self.layouts = read_layouts(layers or {}, version)
        self.quant_method = METHOD
        self.version = version
        self.layers = dict(layers or {})

    def to_dict(self) -> dict[str, Any]:
        """Return what ``config.json`` holds."""
        return {"quant_method": METHOD, "version": self.version, "layers": self.layers}


@register_quantizer(METHOD)
class GossamerQuantizer(HfQuantizer):  # type: ignore[misc]
    """Puts packed layers in the place of linear ones; their weights are read as they are."""

    requires_calibration = True

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        if self.quantization_config.layouts and NAMES.get(model.dtype) not in DENSE_DTYPES:
            raise ValueError(
                f"dtype = {model.dtype}; packed layers take one of {', '.join(DENSE_DTYPES)}"
            )
        for name, layout in self.quantization_config.layouts.items():
            try:
                linear = model.get_submodule(name)
            except AttributeError:
                raise ValueError(
                    f"{name!r} is packed, but {type(model).__name__} has no such layer"
                ) from None
            model.set_submodule(name, UnreadLinear(name, layout, linear))

    def _process_model_after_weight_loading(self, model: Any, **_: Any) -> None:
        # By name: a list of the layers would keep what was read of them until the end.
        for name in [name for name, _ in model.named_modules()]:
            layer = model.get_submodule(name)
            if isinstance(layer, UnreadLinear):
                with memory_for(f"loading {name}", "there it is twice for a moment"):
                    packed = layer.packed()
                    if not keeps_dtype(packed._value_type, model.dtype):
                        packed.to(model.dtype)
                model.set_submodule(name, packed)
            elif isinstance(layer, nn.Linear):
                # Not every transformers compares the shapes of a model that has a quantizer.
                expected = layer.out_features, layer.in_features
                if tuple(layer.weight.shape) != expected:
                    raise ValueError(
                        f"'{name}.weight' has shape {tuple(layer.weight.shape)}, mismatched with "
                        f"the {expected} of the configuration"
                    )

    def get_state_dict_and_metadata(self, model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Tensors to save, and no metadata; called before the configuration is written."""
        tensors = checkpoint_tensors(model)
        layers = packed_layers(model)
        for name, entry in model.config.quantization_config.layers.items():
            # Arrays made anew of what a GPU keeps have no stored zeros; values may have been cast.
            entry["slots"] = int(tensors[f"{name}.{checkpoint_name('row_offsets')}"][-1])
            entry["dtype"] = layers[name]._value_type
        return tensors, {}

    def is_serializable(self, *_: Any, **__: Any) -> bool:
        """Packed models are saved by ``save_pretrained``."""
        return True

    @property
    def is_trainable(self) -> bool:
        """The packed weights are fixed."""
        return False

    @property
    def is_compileable(self) -> bool:
        """Packed layers are whole operations to ``torch.compile``."""
        return True


def attach_quantizer(model: Any) -> None:
    """Make a model whose layers were packed in memory one that ``save_pretrained`` can write."""
    layouts = {
        name: PackedLayout.of(layer.weight).to_dict()
        for name, layer in packed_layers(model).items()
    }
    config = GossamerConfig(layouts)
    model.config.quantization_config = config
    model.hf_quantizer = GossamerQuantizer(config)
    model.hf_quantizer.postprocess_model(model)
    model.is_quantized = True
    model.quantization_method = METHOD
