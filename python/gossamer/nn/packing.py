# SPDX-License-Identifier: Apache-2.0
"""Packing the linear layers of a model, in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from ..arrays.torch import adapter
from ..arrays.torch.host import DTYPES
from ..construct import check_threshold
from ..packed.dtypes import check_source_dtype, has_scales, packed_dtype_name
from ..packed.packing import check_range, readable
from .packed_linear import PackedLinear


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
    with another module, as a tied head is. All layers are looked at before the first is replaced.
    Hooks that run before and after a layer stay.

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
        Names of the layers that were packed; of a layer with several names the first.

    Raises
    ------
    TypeError
        If the model is no module or itself a linear layer, or a weight has a dtype that cannot be
        packed.
    ValueError
        If a hook computes a weight, as ``torch.nn.utils.prune`` has it, or a parametrization does;
        if a weight is on the meta device, or holds what the dtype does not.
        Nothing is packed then, and the message names the layer.
    """
    check_module("pack_linears", model)
    if type(model) is nn.Linear:
        raise TypeError(
            "pack_linears: model is a linear layer, expected a module that has such; pack it by "
            "PackedLinear.from_linear(model)"
        )
    linears = {
        name: layer
        for name, layer in unshared_linears(model).items()
        if skip is None or not skip(name, layer)
    }
    for name, module in model.named_modules():
        is_computed = isinstance(module, nn.Linear) and parametrize.is_parametrized(module)
        if is_computed and (skip is None or not skip(name, module)):
            raise _computed(name, next(iter(module.parametrizations)), *_PARAMETRIZATION)
    threshold = check_threshold("pack_linears", threshold)
    target = None if dtype is None else packed_dtype_name(dtype, "pack_linears: dtype")
    for name, layer in linears.items():
        _check_packable(name, layer, target)
        if target is not None:
            _check_elements(name, layer.weight.detach(), target, threshold)
    packed = []
    for name in list(linears):
        layer = linears.pop(name)  # the dense weight goes as the packed one comes
        try:
            replacement = PackedLinear.from_linear(layer, format, dtype, threshold)
        except (TypeError, ValueError) as error:
            raise type(error)(f"pack_linears: {name}: {error}") from error
        if replacement.format == "dense" or replacement.nbytes * min_gain > layer.weight.nbytes:
            continue
        replacement.train(layer.training)
        for hooks in _HOOKS:  # the same dictionaries, from which handles remove them
            setattr(replacement, hooks, getattr(layer, hooks))
        replace_module(model, layer, replacement)
        packed.append(name)
    return packed


#: What ``nn.Module`` keeps of hooks that run with ``forward``.
_HOOKS = (
    "_forward_pre_hooks",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_hooks_always_called",
)


def check_module(function: str, model: Any) -> None:
    """Raise TypeError unless a function of that name was given a module."""
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"{function}: model is a {type(model).__name__}, expected a torch.nn.Module; "
            f"gossamer.hf.load_model(folder) loads a language model"
        )


def _check_packable(name: str, layer: nn.Linear, dtype: Any) -> None:
    """Raise for a layer whose weight or bias is no parameter with elements that can be packed."""
    for part in ("weight", "bias"):
        # What a hook before forward computes is left behind as a plain attribute.
        if getattr(layer, part) is not None and layer._parameters.get(part) is None:
            raise _computed(name, part, *_HOOK)
    weight = layer.weight
    if weight.is_meta:
        raise ValueError(f"pack_linears: {name}.weight is on the meta device, without elements")
    source = adapter.dtype_name(weight.dtype)
    check_source_dtype(source, f"pack_linears: {name}.weight", dtype)


def _check_elements(name: str, weight: torch.Tensor, target: str, threshold: float) -> None:
    """Raise ValueError for an element that the dtype does not hold, before a layer is packed."""
    if not weight.numel():
        return
    try:
        weight = readable(weight, target)
        extremes = torch.stack(weight.aminmax()).double()  # NaN if an element is
        if has_scales(target):
            if not extremes.isfinite().all():
                raise ValueError(f"weight holds an infinite or NaN element; {target} has none")
        elif target != "float32" and not (extremes.abs() <= torch.finfo(DTYPES[target]).max).all():
            check_range(weight, target, threshold)
    except ValueError as error:
        raise ValueError(f"pack_linears: {name}: {error}") from None


#: What computes weights, and what makes parameters of them.
_HOOK = (
    "a hook",
    "torch.nn.utils.prune.remove(layer, {part!r}), or torch.nn.utils.remove_weight_norm or "
    "remove_spectral_norm",
)
_PARAMETRIZATION = (
    "a parametrization",
    "torch.nn.utils.parametrize.remove_parametrizations(layer, {part!r})",
)


def _computed(name: str, part: str, by: str, way: str) -> ValueError:
    """Error for a weight or bias that is no parameter, with the way to make it one."""
    return ValueError(
        f"pack_linears: {name}.{part} is computed by {by}, which a packed layer has not; make it a "
        f"parameter first, by {way.format(part=part)}, or skip the layer"
    )


def replace_module(model: nn.Module, module: nn.Module, replacement: nn.Module) -> None:
    """Replace a module under every name that the model has for it."""
    names = [name for name, m in model.named_modules(remove_duplicate=False) if m is module]
    for name in names:
        model.set_submodule(name, replacement)


def unshared_linears(model: nn.Module) -> dict[str, nn.Linear]:
    """Layers of exactly the type ``nn.Linear`` whose weight no other module has, by name."""
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    return {
        name: layer
        for name, layer in model.named_modules()
        if type(layer) is nn.Linear and owners.get(id(layer.weight), 1) == 1
    }
