# SPDX-License-Identifier: Apache-2.0
"""Linear layers over packed weights, for inference."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from threading import RLock
from typing import Any
from weakref import ref

import torch
from torch import nn

from ..arrays.torch import adapter
from ..arrays.torch.cuda import new_device_matrix
from ..arrays.torch.host import VALUE_TYPES
from ..arrays.torch.library import has_gradient, runs_eagerly
from ..arrays.torch.packed import (
    DENSE_TYPES,
    DeviceProducts,
    FixedMatrix,
    TensorStorage,
    as_bytes,
    fixed_product,
    packed_matmul,
    plus_bias,
    typed,
)
from ..cuda.packed import DeviceMatrix, Parts
from ..packed import PackedArray, compress
from ..packed.construct import packed_array, part_names
from ..quantities import size_text
from .autocast import autocast_dtype
from .parameters import check_tensors, quickly, refusal, warn_of_dense_weight

# Held while a layer's matrix is made or its packed arrays are given up, and to read both together:
# threads may make its first products at once. One for all layers, since a lock is not pickled.
_exchange = RLock()


class PackedLinear(nn.Module):  # type: ignore[misc]
    """Linear layer y = x Wᵀ + b whose weight is a `gossamer.PackedArray`.

    The packed arrays are buffers: they move with the module, and ``state_dict`` has them as the
    plain tensors ``values``, ``positions``, ``row_offsets``, for 8-bit values ``scales``, and
    ``bias``. float8 values are kept as uint8. Floating values follow ``half()`` and its kin, the
    scales stay float32. Differentiable by x; the weight is fixed.

    On a GPU the first eager product with one vector or a few, or with up to 64 where they walk
    bitmap tiles, lays the matrix out, and from then on only that is kept: the buffers are empty,
    about half of the memory is free, and `weight` and ``state_dict`` (there on the CPU) make the
    packed arrays anew. They stay as long as there is a graph with a product by a dense copy of
    them. `lay_out` says beforehand how many vectors are to come.

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
    _buffers: dict[str, Any]

    def __init__(self, weight: PackedArray, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(weight, PackedArray) or not isinstance(
            weight._storage.values, torch.Tensor
        ):
            raise TypeError(
                f"PackedLinear: weight is {weight!r}, expected a PackedArray over tensors, as "
                f"gossamer.compress makes it of a tensor; of a dense layer or weight it is made by "
                f"PackedLinear.from_linear and from_dense"
            )
        if weight._transposed:
            raise ValueError("PackedLinear: weight is a transposed view; pack the transpose")
        self.out_features, self.in_features = weight.shape
        if bias is not None and bias.shape != (self.out_features,):
            raise ValueError(
                f"PackedLinear: bias has shape {tuple(bias.shape)}, expected ({self.out_features},)"
            )
        self.format = weight.format
        for name in Parts._fields:
            self.register_buffer(name, None)
        self._buffers |= _as_buffers(weight._storage.parts())
        self._keep_parts()
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
        return cls.from_dense(linear.weight, linear.bias, format, dtype, threshold)

    @classmethod
    def from_dense(
        cls,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        format: str = "auto",
        dtype: torch.dtype | str | None = None,
        threshold: float = 0.0,
    ) -> PackedLinear:
        """Pack a dense weight of shape (out_features, in_features); see `from_linear`."""
        if not isinstance(weight, torch.Tensor):
            raise TypeError(
                f"PackedLinear.from_dense: weight is {type(weight).__name__}, expected a tensor of "
                f"shape (out_features, in_features); of a layer there is PackedLinear.from_linear"
            )
        return cls(compress(weight.detach(), format, dtype, threshold), bias)

    @property
    def weight(self) -> PackedArray:
        """The weight as a PackedArray over the buffers."""
        buffers = self._packed_buffers()
        parts = {name: buffers[name] for name in part_names(self.format, self._value_type)}
        shape = self.out_features, self.in_features
        return PackedArray(
            adapter.packed_storage(self.format, self._value_type, shape, typed(parts))
        )

    @property
    def nbytes(self) -> int:
        """Bytes that the weight takes where it is, in the form that is kept there."""
        with _exchange:
            kept = sum(int(part.nbytes) for part in self._parts if part is not None)
            matrix = self._laid_out
        return kept + (0 if matrix is None else matrix.nbytes)

    @property
    def _parts(self) -> Parts:
        """The buffers that are the weight; a user may have registered others."""
        buffers = self._buffers
        return Parts(*[buffers[name] for name in Parts._fields])

    def _keep_parts(self) -> None:
        """Take the buffers for the layer's own, of which nothing was made yet."""
        # What products need of the buffers, and the buffers that it was made of.
        self._matrix: tuple[Any, Parts] | None = None
        # Others may be in their place for one call: torch.func.functional_call.
        self._own = _refs(self._parts)
        self._last: tuple[int, ...] = ()

    @property
    def _value_type(self) -> str:
        return VALUE_TYPES[self._buffers["values"].dtype]

    @property
    def _laid_out(self) -> DeviceMatrix | None:
        """What stands in for the packed arrays, if they were given up."""
        offsets = self._buffers["row_offsets"]
        if self._matrix is None or offsets is None or offsets.numel():
            return None
        matrix: DeviceMatrix = self._matrix[0].matrix
        return matrix

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b; x has shape (..., in_features), the result (..., out_features).

        Its dtype is that of `gossamer.PackedArray`'s products; under autocast the autocast one.
        """
        cast = autocast_dtype(x, "PackedLinear")
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ValueError(
                f"PackedLinear: x has shape {tuple(x.shape)}, expected (..., {self.in_features})"
            )
        if cast is None:
            return self._product(x, quickly(self, "bias"))
        return plus_bias(self._product(x.to(cast), None).to(cast), self.bias)

    def lay_out(self, vectors: int, dtype: torch.dtype | None = None) -> None:
        """On a GPU, lay the matrix out for products with that many vectors, and keep only that.

        By itself a layer is laid out anew for other numbers of vectors after some products with
        them; elsewhere than on a GPU there is nothing to lay out.

        Parameters
        ----------
        dtype
            Of the vectors; by default that of the values.
        """
        values, scales = self._buffers["values"], self._buffers["scales"]
        is_fixed = not has_gradient((values, scales, self.bias))
        if self.format == "dense" or not (values.is_cuda and values.is_contiguous() and is_fixed):
            return
        products = self._on_device()
        products.matrix.lay_out(vectors, VALUE_TYPES[values.dtype if dtype is None else dtype])
        with _exchange:
            self._give_up_packed(products)

    def _product(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """Return x Wᵀ + b of a checked x."""
        if self.format == "dense":
            y = nn.functional.linear(x.to(self.values.dtype), self.values)
            return plus_bias(y, bias)
        if torch.compiler.is_compiling():
            parts = Parts(self.values, self.positions, self.row_offsets, self.scales)
        else:
            # The registered operation would come to the same, in several times the time.
            fixed = self._fixed(x, bias)
            if fixed is not None:
                return fixed_product(x, fixed, False, True, bias)
            parts = self._given_parts()
        shape = self.out_features, self.in_features
        return plus_bias(packed_matmul(*parts, x, self.format, *shape, False, True), bias)

    def _given_parts(self) -> Parts:
        """What the registered operation takes: packed arrays, or all that stands for them."""
        with _exchange:
            made = self._matrix
            is_made = made is not None and _are(made[1], self._buffers)
            return self._parts if is_made else self._packed_parts()

    def _packed_parts(self) -> Parts:
        """The parts, with packed arrays made anew where they were given up."""
        with _exchange:
            parts, made = self._parts, self._matrix
            if made is None or made[1].row_offsets.numel():
                return parts
            stands_in = [part is kept for part, kept in zip(parts[:3], made[1], strict=False)]
            if not any(stands_in):
                return parts
            packed = as_bytes(made[0].matrix.packed()._asdict())
        given_up = itertools.compress(Parts._fields, stands_in)
        return parts._replace(**{name: packed[name] for name in given_up})

    def _matrix_of(self, kind: Callable[..., Any]) -> Any:
        """What products need of the buffers, made by `kind` unless it is there."""
        with _exchange:
            made, parts = self._matrix, self._parts
            if made is None or not _are(made[1], self._buffers):
                self._forget_matrix()
                shape = self.out_features, self.in_features
                made = self._matrix = kind(parts, self.format, shape), parts
        return made[0]

    def _fixed(self, x: torch.Tensor, bias: torch.Tensor | None) -> FixedMatrix | None:
        """The weight as what multiplies x quickest, or None where PyTorch is to look at more."""
        buffers, made = self._buffers, self._matrix
        values, scales = buffers["values"], buffers["scales"]
        if x.device != values.device or x.dtype not in DENSE_TYPES:
            return None
        if has_gradient((values, scales, bias)):
            return None
        if bias is not None and (bias.ndim != 1 or len(bias) != self.out_features):
            return None
        if made is not None and _are(made[1], buffers):
            if self._last:
                self._last = ()
            found: FixedMatrix = made[0]  # the parts were looked at when that was made
            return found if runs_eagerly((x, bias)) else None
        if not (values.is_contiguous() and runs_eagerly((x, values, scales, bias))):
            return None
        with _exchange:
            if buffers is not self._buffers or made is not self._matrix:  # by another thread
                return self._fixed(x, bias)
            if not self._parts_stay():
                return None
        if x.is_cuda:
            return self._on_device()
        host: TensorStorage | None = self._matrix_of(_host_storage) if x.is_cpu else None
        return host

    def _on_device(self) -> DeviceProducts:
        made: DeviceProducts = self._matrix_of(partial(_FirstProducts, ref(self)))
        return made

    def _has_own_parts(self) -> bool:
        own = (part if part is None else part() for part in self._own)
        return all(part is kept for part, kept in zip(self._parts, own, strict=True))

    def _parts_stay(self) -> bool:
        """Tell if the parts are the layer's own, or others that were there the last time too."""
        if self._has_own_parts():
            return True
        if self._matrix is not None and not self._matrix[1].row_offsets.numel():
            return False  # what there is of the layer's own weight
        last, self._last = self._last, tuple(map(id, self._parts))
        return last == self._last

    def _give_up_packed(self, products: DeviceProducts) -> None:
        """Let a laid out matrix stand for the buffers that it was made of, if it can."""
        buffers, made = self._buffers, self._matrix
        if made is None or made[0] is not products or not _are(made[1], buffers):
            return
        # Others than the layer's own may be there for one call, with some of its own beside them.
        if self._has_own_parts() and made[1].row_offsets.numel() and products.drop_packed():
            matrix = products.matrix
            stand_in = matrix.stand_in
            self._own = _refs(stand_in)
            self._matrix = DeviceProducts(matrix, matrix.scales), stand_in
            self._buffers = buffers | stand_in._asdict()

    def _forget_matrix(self) -> bool:
        """Do without what products needed, and leave buffers to graphs; tell if any read them."""
        products = None if self._matrix is None else self._matrix[0]
        self._matrix = None
        return isinstance(products, DeviceProducts) and products.leave_to_graphs()

    def _packed_buffers(self) -> dict[str, Any]:
        """The buffers with all packed arrays in them, made anew where they were given up."""
        with _exchange:
            return self._buffers | self._packed_parts()._asdict()

    def __delattr__(self, name: str) -> None:
        """Delete an attribute; AttributeError for the parts, without which there is no weight."""
        if name in Parts._fields:
            raise AttributeError(
                f"PackedLinear: {name} is a part of the weight and stays; set another tensor, or "
                f"replace the layer"
            )
        super().__delattr__(name)

    def extra_repr(self) -> str:
        """What ``repr`` says of the layer."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, format={self.format!r}, dtype={self._value_type}, "
            f"{size_text(self.nbytes)}"
        )

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Any:
        kept, moved = self._buffers, self._moved_parts(fn)
        self._buffers = {name: kept[name] for name in kept if name not in Parts._fields}
        try:
            super()._apply(fn, recurse)
            if moved is not None:
                self._forget_matrix()
            kept = kept | (moved or {}) | self._buffers
        finally:
            self._buffers = kept
            self._own = _refs(self._parts)
        return self

    def _moved_parts(self, fn: Callable[[torch.Tensor], torch.Tensor]) -> dict[str, Any] | None:
        """The parts after fn, or None where a matrix that stands for them stays as it is."""
        values = self._buffers["values"]
        if self._laid_out is not None:
            moved = fn(values)
            if (moved.device, moved.dtype) == (values.device, values.dtype):
                return None
        parts = self._packed_parts()._asdict()
        buffers: dict[str, Any] = {
            name: None if part is None else fn(part) for name, part in parts.items()
        }
        if (cast := buffers["values"].dtype) not in VALUE_TYPES:
            raise TypeError(
                f"PackedLinear: {cast} values cannot be packed; use float32, float16 or bfloat16. "
                f"This layer stays as it was, of {VALUE_TYPES[values.dtype]}"
            )
        scales, moved = parts["scales"], buffers["scales"]
        if scales is not None and moved.dtype != scales.dtype:
            # Casts are for values: a scale of 16 bits would be another weight.
            buffers["scales"] = scales.to(moved.device)
        return buffers

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        with _exchange:
            super()._save_to_state_dict(destination, prefix, keep_vars)
            if self._laid_out is not None:
                packed = self._packed_parts()._asdict().items()
                destination.update({prefix + n: p.cpu() for n, p in packed if p is not None})

    def __getstate__(self) -> dict[str, Any]:
        """Return what copies and pickles hold: the packed arrays."""
        state: dict[str, Any] = super().__getstate__() | {"_buffers": self._packed_buffers()}
        for made_anew in ("_matrix", "_own", "_last"):
            del state[made_anew]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what a copy or a pickle holds."""
        super().__setstate__(state)
        self._keep_parts()

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
        way = "pack it, by gossamer.nn.pack_linears or PackedLinear.from_linear"
        warn_of_dense_weight(self, state_dict, prefix, way)
        names = [name for name, part in self._parts._asdict().items() if part is not None]
        parts = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        if 0 < len(parts) < len(names):
            missing = [name for name in names if name not in parts]
            missing_keys.extend(prefix + name for name in missing)
            why = (
                f"{', '.join(missing)} missing beside the rest of a {self.format} weight "
                f"of {self._value_type}; give {', '.join(names)} together"
            )
            error_msgs.append(refusal(self, prefix, why))
            return
        if parts:
            try:
                check_tensors(parts)
                shape = self.out_features, self.in_features
                value_type = VALUE_TYPES.get(parts["values"].dtype, "")
                packed_array(self.format, value_type, shape, typed(parts), copy=False)
            except (TypeError, ValueError) as error:
                error_msgs.append(refusal(self, prefix, error))
                return
            is_captured = self._forget_matrix()
            for name, part in parts.items():
                current = self._buffers[name]
                fits = part.shape == current.shape and part.dtype == current.dtype
                if is_captured or not fits:
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
        if parts:
            self._own = _refs(self._parts)


class _FirstProducts(DeviceProducts):
    """Products of a layer on a GPU that has its packed arrays, and gives them up if it can."""

    __slots__ = ("_layer",)

    def __init__(
        self,
        layer: ref[PackedLinear],
        parts: Parts,
        format: str,
        shape: tuple[int, int],
    ) -> None:
        super().__init__(new_device_matrix(parts, format, shape), *parts)
        self._layer = layer  # not kept: it keeps this

    def product(
        self, x: torch.Tensor, transpose: bool, swapped: bool, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        y = super().product(x, transpose, swapped, bias)
        layer = self._layer()
        if layer is not None:
            with _exchange:
                layer._give_up_packed(self)
        return y


def _host_storage(parts: Parts, format: str, shape: tuple[int, int]) -> TensorStorage:
    return TensorStorage(format, VALUE_TYPES[parts.values.dtype], shape, *parts)


def _as_buffers(parts: Mapping[str, Any]) -> dict[str, Any]:
    """All four buffers; float8 values as their bytes."""
    return as_bytes({name: parts.get(name) for name in Parts._fields})


def _refs(parts: Parts) -> tuple[ref[Any] | None, ...]:
    """References to parts that do not keep them."""
    return tuple(part if part is None else ref(part) for part in parts)


def _are(parts: Parts, buffers: Mapping[str, Any]) -> bool:
    """Tell if the very same parts are the buffers."""
    values, positions, row_offsets, scales = parts
    return (
        values is buffers["values"]
        and positions is buffers["positions"]
        and row_offsets is buffers["row_offsets"]
        and scales is buffers["scales"]
    )
