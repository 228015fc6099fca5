# SPDX-License-Identifier: Apache-2.0
"""Tensors in the memory of the CPU as NumPy arrays and back, sharing memory."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from ...packed import dtypes

#: Names that NumPy gives to the dtypes of PyTorch that Gossamer computes with.
NAMES = {
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.float32: "float32",
    torch.float64: "float64",
    torch.complex64: "complex64",
    torch.complex128: "complex128",
}
DTYPES = {name: dtype for dtype, name in NAMES.items()}

#: Engine's names of packed value types; float8 may come as its bytes, which casts leave alone.
VALUE_TYPES = {
    torch.float32: "float32",
    torch.float16: "float16",
    torch.bfloat16: "bfloat16",
    torch.int8: "int8",
    torch.float8_e4m3fn: "float8_e4m3",
    torch.uint8: "float8_e4m3",
}

# Types that NumPy knows only by ml_dtypes travel as unsigned integers.
_BITS = {torch.bfloat16: torch.uint16, torch.float8_e4m3fn: torch.uint8}
_NAMED = {"bfloat16": torch.bfloat16, "float8_e4m3fn": torch.float8_e4m3fn}


@cache
def product_dtype(values: str, x: torch.dtype) -> torch.dtype:
    """`gossamer.packed.dtypes.product_dtype` for an operand of this dtype."""
    return DTYPES[dtypes.product_dtype(values, NAMES[x])]


def bits(x: torch.Tensor) -> Any:
    """View a tensor as the NumPy array that the engine takes: bfloat16 and float8 as their bits."""
    if x.requires_grad:
        x = x.detach()
    as_bits = _BITS.get(x.dtype)
    return (x if as_bits is None else x.view(as_bits)).numpy()


def to_numpy(x: torch.Tensor) -> Any:
    """Return a tensor as a NumPy array of its own dtype, shared where it is in the CPU's memory.

    Raises TypeError for one without elements, such as one on the device "meta" or a fake one, and
    for one that torch.func transforms.
    """
    if x.is_meta:
        raise TypeError('a tensor on the device "meta" has no elements to read')
    if torch._C._functorch.is_functorch_wrapped_tensor(x):
        raise TypeError(
            "the elements of a tensor that torch.func transforms cannot be read, and the structure "
            "of a sparse array depends on them; make the sparse array outside, and give it other "
            "values inside by A.with_data(values)"
        )
    with torch._C._DisableFuncTorch():  # which would wrap the result even of a plain tensor
        x = x.detach().cpu().resolve_conj().resolve_neg()
        try:
            array = bits(x)
        except RuntimeError as error:
            raise TypeError(
                f"the elements of a {type(x).__name__} cannot be read ({error}), and the structure "
                f"of a sparse array depends on them; make it of a plain tensor"
            ) from error
    if x.dtype not in _BITS:
        return array
    import ml_dtypes

    return array.view(getattr(ml_dtypes, str(x.dtype).removeprefix("torch.")))


class _Writable:
    """A read-only NumPy array as one that may be written to: PyTorch knows no other."""

    def __init__(self, array: Any) -> None:
        self._array = array
        interface = array.__array_interface__
        self.__array_interface__ = interface | {"data": (interface["data"][0], False)}


def to_tensor(array: Any) -> torch.Tensor:
    """Return a NumPy array as a tensor that shares its memory; nobody is to write to it."""
    named = _NAMED.get(array.dtype.name)
    if named is not None:
        array = array.view(f"u{array.itemsize}")
    if not array.flags.writeable:
        array = np.asarray(_Writable(array))
    tensor = torch.from_numpy(array)
    return tensor if named is None else tensor.view(named)
