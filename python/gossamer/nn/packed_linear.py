# SPDX-License-Identifier: Apache-2.0
"""Linear layers over packed weights, for inference."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..arrays.torch.packed import VALUE_TYPES, packed_matmul
from ..packed import PackedArray, compress
from ..packed.construct import packed_array, part_names
from ..quantities import size_text
from .autocast import autocast_dtype


class PackedLinear(nn.Module):  # type: ignore[misc]
    """Linear layer y = x Wᵀ + b whose weight is a `gossamer.PackedArray`.

    The packed arrays are buffers: they move with the module, and ``state_dict`` has them as the
    plain tensors ``values``, ``positions``, ``row_offsets``, for 8-bit values ``scales``, and
    ``bias``. float8 values are kept as uint8. Floating values follow ``half()`` and its kin, the
    scales stay float32. Differentiable by x; the weight is fixed.

    Parameters
    ----------
    weight
        Of shape (out_features, in_features), over tensors.
    bias
        Shape (out_features,), or None.

    Raises
    ------
    TypeError
        If the weight is no PackedArray over tensors.
    ValueError
        If it is a transposed view, or the bias does not fit.
    """

    values: torch.Tensor
    positions: torch.Tensor | None
    row_offsets: torch.Tensor | None
    scales: torch.Tensor | None

    def __init__(self, weight: PackedArray, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(weight, PackedArray) or not isinstance(
            weight._storage.values, torch.Tensor
        ):
            raise TypeError(
                f"PackedLinear: weight is {weight!r}, expected a PackedArray over tensors, as "
                f"gossamer.compress makes it of a tensor; of a dense layer it is made by "
                f"PackedLinear.from_linear"
            )
        if weight._transposed:
            raise ValueError("PackedLinear: weight is a transposed view; pack the transpose")
        self.out_features, self.in_features = weight.shape
        if bias is not None and bias.shape != (self.out_features,):
            raise ValueError(
                f"PackedLinear: bias has shape {tuple(bias.shape)}, expected ({self.out_features},)"
            )
        self.format = weight.format
        self.offloaded = False
        parts = dict.fromkeys(("values", "positions", "row_offsets", "scales"))
        for name, part in (parts | weight._storage.parts()).items():
            if part is not None and part.dtype is torch.float8_e4m3fn:
                part = part.view(torch.uint8)
            self.register_buffer(name, part)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)

    @classmethod
    def from_linear(
        cls,
        linear: nn.Linear,
        format: str = "auto",
        dtype: torch.dtype | str | None = None,
        threshold: float = 0.0,
    ) -> PackedLinear:
        """Pack the weight of a linear layer; arguments and errors as of `gossamer.compress`.

        The bias is shared with it.
        """
        packed = compress(linear.weight.detach(), format, dtype, threshold)
        return cls(packed, linear.bias)

    @property
    def weight(self) -> PackedArray:
        """The weight as a PackedArray over the buffers."""
        shape = self.out_features, self.in_features
        parts = {name: self._buffers[name] for name in part_names(self.format, self._value_type)}
        return packed_array(self.format, self._value_type, shape, self._typed(parts), copy=False)

    @property
    def _value_type(self) -> str:
        return VALUE_TYPES[self.values.dtype]

    def _typed(self, parts: dict[str, Any]) -> dict[str, Any]:
        if parts["values"].dtype is torch.uint8:
            return parts | {"values": parts["values"].view(torch.float8_e4m3fn)}
        return parts

    def offload(self, offload: bool = True) -> PackedLinear:
        """Keep the packed arrays on the CPU, wherever the module goes; return the module.

        On a GPU the first product then copies them there, and only what products walk stays: about
        half the memory. Products with 2 to 64 rows of x are faster without.
        """
        self.offloaded = offload
        return self._apply(lambda x: x)  # type: ignore[no-any-return]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b; x has shape (..., in_features), the result (..., out_features).

        Its dtype is that of `gossamer.PackedArray`'s products; under autocast the autocast one.
        """
        cast = autocast_dtype(x)
        if cast is not None:
            x = x.to(cast)
        if x.shape[-1:] != (self.in_features,):
            raise ValueError(
                f"PackedLinear: x has shape {tuple(x.shape)}, expected (..., {self.in_features})"
            )
        y = self._product(x)
        if cast is not None:
            y = y.to(cast)
        return y if self.bias is None else y + self.bias.to(y.dtype)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        if self.format == "dense":
            return nn.functional.linear(x.to(self.values.dtype), self.values)
        return packed_matmul(
            self.values,
            self.positions,
            self.row_offsets,
            self.scales,
            x,
            self.format,
            self.out_features,
            self.in_features,
            False,
            True,
        )

    def extra_repr(self) -> str:
        """What ``repr`` says of the layer."""
        nbytes = sum(buffer.nbytes for buffer in self.buffers(recurse=False))
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, format={self.format!r}, dtype={self._value_type}, "
            f"{size_text(nbytes)}"
        )

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        scales = self._buffers.pop("scales")
        super()._apply(fn, recurse)
        # Casts are for values: a scale of 16 bits would be another weight.
        self._buffers["scales"] = None if scales is None else scales.to(self.values.device)
        if self.offloaded:
            for name, part in self._buffers.items():
                self._buffers[name] = None if part is None else part.cpu()
        return self

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take over parts of any number of nonzeros, after looking at their contents."""
        names = [name for name, part in self._buffers.items() if part is not None]
        parts = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        if len(parts) == len(names):
            try:
                shape = self.out_features, self.in_features
                value_type = VALUE_TYPES.get(parts["values"].dtype, "")
                packed_array(self.format, value_type, shape, self._typed(parts), copy=False)
            except (TypeError, ValueError) as error:
                error_msgs.append(f"{prefix}: {error}")
                return
            for name, part in parts.items():
                current = self._buffers[name]
                if part.shape != current.shape or part.dtype != current.dtype:
                    self._buffers[name] = torch.empty_like(part, device=current.device)
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )


def pack_linears(
    model: nn.Module,
    format: str = "auto",
    dtype: torch.dtype | str | None = None,
    threshold: float = 0.0,
    *,
    min_gain: float = 1.0,
    skip: Callable[[str, nn.Linear], bool] | None = None,
) -> list[str]:
    """Replace the linear layers of a model by packed ones, in place.

    A layer stays as it is where packing would not make it smaller, and where its weight is shared
    with another module, as a tied head is.

    Parameters
    ----------
    model
        Searched with all its submodules; layers of exactly the type ``nn.Linear`` are packed.
    format, dtype, threshold
        As of `gossamer.compress`.
    min_gain
        How many times smaller than the dense weight a packed one must be to replace it.
    skip
        Called with the name and the layer; true leaves it as it is.

    Returns
    -------
    list of str
        Names of the layers that were packed.
    """
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    packed = []
    for name, layer in list(model.named_modules()):
        if type(layer) is not nn.Linear or owners[id(layer.weight)] > 1:
            continue
        if skip is not None and skip(name, layer):
            continue
        replacement = PackedLinear.from_linear(layer, format, dtype, threshold)
        nbytes = sum(buffer.nbytes for buffer in replacement.buffers())
        if replacement.format == "dense" or nbytes * min_gain > layer.weight.nbytes:
            continue
        replacement.train(layer.training)
        model.set_submodule(name, replacement)
        packed.append(name)
    return packed
