# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: D102 - what a method does is said in Storage
"""Packed matrices over tensors, and their registered product.

The operation takes plain tensors, integers and strings, so that a kernel for another device is
registered beside this one under that device's dispatch key.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch

from ... import _engine, gradients
from ...cuda import sparse
from ...cuda.packed import DeviceMatrix, Parts
from ...cuda.tuning import PROMPT_VECTORS
from ...packed.foreign import tracked_csr, tracked_dense
from ...packed.slots import slot_pattern
from ...packed.storage import PackedStorage, Storage, packed_parts
from ...structure import Pattern
from .. import kernels
from ..adapter import Adapter
from ..operands import MAX_RANK
from .adapter import adapter
from .cuda import device_matrix, device_product, memory
from .cuda import packed_matmul as cuda_packed_matmul
from .host import VALUE_TYPES, bits, product_dtype, to_numpy, to_tensor
from .library import Operation, apply_untransformed, runs_eagerly
from .lifetimes import KeptWithMemory, version_of
from .threads import on_threads_of_torch

#: Types of the dense operand.
DENSE_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def _result(
    value_type: str, x: torch.Tensor, rows: int, cols: int, transpose: bool, swapped: bool
) -> torch.Tensor:
    shape = kernels.product_shape(x.shape, (rows, cols), transpose, swapped)
    return x.new_empty(shape, dtype=product_dtype(value_type, x.dtype))


def _cpu(*arguments: Any) -> torch.Tensor:
    values, *rest, x, format, rows, cols, transpose, swapped = arguments
    value_type = VALUE_TYPES[values.dtype]
    y = _result(value_type, x, rows, cols, transpose, swapped)
    parts: Any = [None if part is None else bits(part) for part in (values.contiguous(), *rest)]
    matrix = _engine.PackedMatrix(format, value_type, rows, cols, *parts)
    _multiply(matrix, x, y, transpose, swapped)
    return y


@on_threads_of_torch
def _multiply(
    matrix: Any, x: torch.Tensor, y: torch.Tensor, transpose: bool, swapped: bool
) -> None:
    if x.ndim > MAX_RANK:
        x, y = x.reshape(-1, *x.shape[-2:]), y.view(-1, *y.shape[-2:])
    _engine.packed_matmul(matrix, x, y, transpose, swapped)


def _adjoint(operand: int, gradient: torch.Tensor, *arguments: Any) -> torch.Tensor:
    values, positions, row_offsets, scales, x, format, rows, cols, transpose, swapped = arguments
    size = format, rows, cols
    if operand == 4:
        parts = values, positions, row_offsets, scales
        return packed_matmul(*parts, gradient, *size, not transpose, swapped).to(x.dtype)
    if operand != 0 or scales is not None:
        raise RuntimeError(
            "the scales of a packed matrix are fixed and have no gradient, and values with scales "
            "are rounded; pack as float32, float16 or bfloat16 to train the values"
        )
    u, v = gradients.sampled_factors(x.to(gradient.dtype), gradient, transpose, swapped)
    by_slots = _packed_sddmm(u, v, positions, row_offsets, *size, len(values))
    return by_slots.to(values.dtype)


def _sddmm_result(u: torch.Tensor, *arguments: Any) -> torch.Tensor:
    return u.new_zeros((arguments[-1],))


def _sddmm_cpu(u: torch.Tensor, v: torch.Tensor, *arguments: Any) -> torch.Tensor:
    pattern, values = _pattern(*arguments[:-1]), _sddmm_result(u, *arguments)
    kernels.sddmm(bits(u), bits(v), pattern, bits(values)[: pattern.nnz])
    return values


def _sddmm_cuda(u: torch.Tensor, v: torch.Tensor, *arguments: Any) -> torch.Tensor:
    pattern, values = _pattern(*arguments[:-1]), _sddmm_result(u, *arguments)
    sparse.sddmm(memory, u, v, pattern, values[: pattern.nnz])
    return values


def _sddmm_adjoint(operand: int, gradient: torch.Tensor, *arguments: Any) -> torch.Tensor:
    u, v, positions, row_offsets, format, rows, cols, _ = arguments
    other, transpose = (v, False) if operand == 0 else (u, True)
    product = packed_matmul(
        gradient.contiguous(),
        positions,
        row_offsets,
        None,
        other,
        format,
        rows,
        cols,
        transpose,
        False,
    )
    return product.to(u.dtype)


_patterns = KeptWithMemory()


def _pattern(
    positions: torch.Tensor, row_offsets: torch.Tensor, format: str, rows: int, cols: int
) -> Pattern:
    def make() -> Pattern:
        return slot_pattern(format, rows, cols, to_numpy(positions), to_numpy(row_offsets))

    pattern: Pattern = _patterns.of((positions, row_offsets), (format, rows, cols), make)
    return pattern


def _batched(operand: int, *arguments: Any) -> torch.Tensor | None:
    *parts, x, format, rows, cols, transpose, swapped = arguments
    if operand != 4:
        return None
    # A batch of vectors is a matrix with a vector in each row.
    return packed_matmul(*parts, x, format, rows, cols, transpose, swapped or x.ndim == 2)


packed_matmul = Operation(
    "packed_matmul(Tensor values, Tensor positions, Tensor row_offsets, Tensor? scales, Tensor x, "
    "str format, int rows, int cols, bool transpose, bool swapped) -> Tensor",
    0,
    _cpu,
    lambda values, positions, row_offsets, scales, x, format, *size: _result(
        VALUE_TYPES[values.dtype], x, *size
    ),
    _adjoint,
    _batched,
)
packed_matmul.register_kernel("cuda", cuda_packed_matmul)

_packed_sddmm = Operation(
    "packed_sddmm(Tensor u, Tensor v, Tensor positions, Tensor row_offsets, str format, int rows, "
    "int cols, SymInt length) -> Tensor",
    0,
    _sddmm_cpu,
    _sddmm_result,
    _sddmm_adjoint,
)
_packed_sddmm.register_kernel("cuda", _sddmm_cuda)


class FixedMatrix(Protocol):
    """A packed matrix that is fixed, whose products nothing but the reverse mode looks at."""

    def product(
        self, x: torch.Tensor, transpose: bool, swapped: bool, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        """P X or Pᵀ X of a plain tensor, plus a bias of the result's last axis."""

    def matmul(self, x: torch.Tensor, transpose: bool, swapped: bool) -> torch.Tensor:
        """P X or Pᵀ X of any tensor, differentiably."""

    def reads(self) -> tuple[torch.Tensor, ...]:
        """Arrays that the gradient of the product just made reads."""


class _FixedProduct(torch.autograd.Function):  # type: ignore[misc]
    """The product of a matrix that is fixed: the quickest way to a gradient by x alone."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, call: tuple[Any, ...]) -> torch.Tensor:
        matrix, transpose, swapped, bias = call
        y: torch.Tensor = matrix.product(x, transpose, swapped, bias)
        # The product may be what gives arrays up, so only now is it known which are read again.
        read = matrix.reads()
        ctx.call = matrix, x.dtype, not transpose, swapped, read, _versions(read)
        return y

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[Any, ...]:
        matrix, dtype, transpose, swapped, read, versions = ctx.call
        if _versions(read) != versions:
            raise RuntimeError(
                "the arrays of a packed matrix were written to after a product whose gradient is "
                "asked for; call backward() before"
            )
        return matrix.matmul(gradient, transpose, swapped).to(dtype), None


def _versions(parts: tuple[torch.Tensor, ...]) -> list[int]:
    return [version_of(part) for part in parts]


_fixed_product = apply_untransformed(_FixedProduct)


def fixed_product(
    x: torch.Tensor,
    matrix: FixedMatrix,
    transpose: bool,
    swapped: bool,
    bias: torch.Tensor | None = None,
) -> torch.Tensor:
    """Product with x, which `runs_eagerly`, plus a bias that nobody differentiates by.

    Its gradient raises RuntimeError if an array that it reads was written to meanwhile.
    """
    y: torch.Tensor
    if x.requires_grad and torch.is_grad_enabled():
        y = _fixed_product(x, (matrix, transpose, swapped, bias))
    else:
        y = matrix.product(x, transpose, swapped, bias)
    return y


def plus_bias(y: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Return y + bias in y's dtype."""
    return y if bias is None else y + (bias if bias.dtype is y.dtype else bias.to(y.dtype))


class DeviceProducts:
    """A fixed matrix on a GPU and the packed arrays that it was made of, until it drops them.

    Whoever has it may go on to multiply, whatever becomes of the owner of the arrays.
    """

    __slots__ = ("_read", "matrix")

    def __init__(self, matrix: DeviceMatrix, *parts: torch.Tensor | None) -> None:
        self.matrix = matrix
        self._read = tuple(part for part in parts if part is not None)

    def leave_to_graphs(self) -> bool:
        """Let the graphs that read the packed arrays or scales keep them; tell if any do."""
        return self.matrix.leave_to_graphs(self)

    def drop_packed(self) -> bool:
        """Do without all packed arrays but the scales, if the matrix was laid out; tell if so."""
        if not self.matrix.drop_packed():
            return False
        scales = self.matrix.scales
        self._read = () if scales is None else (scales,)
        return True

    def product(
        self, x: torch.Tensor, transpose: bool, swapped: bool, bias: torch.Tensor | None = None
    ) -> torch.Tensor:
        return device_product(self.matrix, x, transpose, swapped, bias, PROMPT_VECTORS)

    def matmul(self, x: torch.Tensor, transpose: bool, swapped: bool) -> torch.Tensor:
        if runs_eagerly((x,)):
            return fixed_product(x, self, transpose, swapped)
        matrix = self.matrix
        size = matrix.format, matrix.rows, matrix.cols
        return packed_matmul(*matrix.stand_in, x, *size, transpose, swapped)

    def reads(self) -> tuple[torch.Tensor, ...]:
        return self._read


def _places(parts: Parts) -> tuple[int, ...]:
    """Addresses of the parts of a packed matrix."""
    values, positions, row_offsets, scales = parts
    kept = 0 if scales is None else scales.data_ptr()
    return values.data_ptr(), positions.data_ptr(), row_offsets.data_ptr(), kept


def as_bytes(parts: dict[str, Any]) -> dict[str, Any]:
    """Parts of a packed matrix with float8 values as their bytes."""
    if parts["values"].dtype is not torch.float8_e4m3fn:
        return parts
    return parts | {"values": parts["values"].view(torch.uint8)}


def typed(parts: dict[str, Any]) -> dict[str, Any]:
    """Undo `as_bytes`."""
    if parts["values"].dtype is not torch.uint8:
        return parts
    return parts | {"values": parts["values"].view(torch.float8_e4m3fn)}


def _restore_bytes(
    restore: Callable[..., Any],
    format: str,
    dtype: str,
    shape: Any,
    parts: dict[str, Any],
    transposed: bool,
) -> Any:
    return restore(format, dtype, shape, typed(parts), transposed)


class TensorStorage(Storage):
    """A matrix in one of the packed formats over tensors of one device."""

    __slots__ = ("_device", "_host", "_parts", "positions", "row_offsets")

    def __init__(
        self,
        format: str,
        dtype_name: str,
        shape: tuple[int, int],
        values: torch.Tensor,
        positions: torch.Tensor,
        row_offsets: torch.Tensor,
        scales: torch.Tensor | None = None,
    ) -> None:
        super().__init__(format, dtype_name, shape, values, scales)
        self.positions = positions
        self.row_offsets = row_offsets
        self._parts = Parts(values, positions, row_offsets, scales)
        self._host: tuple[tuple[int, ...], PackedStorage] | None = None
        self._device: tuple[tuple[int, ...], DeviceMatrix] | None = None

    @property
    def arrays(self) -> Adapter:
        return adapter

    @property
    def host(self) -> PackedStorage:
        """The same matrix over NumPy arrays."""
        # A tensor's memory may move under it: share_memory_(), an assignment to its `data`.
        places = _places(self._parts)
        if self._host is None or self._host[0] != places:
            parts = {name: to_numpy(part) for name, part in self.parts().items()}
            shape = self.rows, self.cols
            host = PackedStorage(self.format, self.dtype_name, shape, **parts)
            self._host = places, host
        return self._host[1]

    def reads(self) -> tuple[torch.Tensor, ...]:
        return self._parts if self.scales is not None else self._parts[:3]

    def parts(self) -> dict[str, Any]:
        return packed_parts(self)

    def pickled(self, restore: Any, *arguments: Any) -> tuple[Any, ...]:
        # PyTorch pickles float8 so that it cannot be read back.
        format, dtype, shape, parts, transposed = arguments
        return _restore_bytes, (restore, format, dtype, shape, as_bytes(parts), transposed)

    def count_nonzeros(self) -> int:
        return self.host.count_nonzeros()

    def todense(self, dtype_name: str) -> torch.Tensor:
        if self.values.requires_grad:
            return tracked_dense(self, dtype_name)
        if self.values.is_cuda:
            return self._on_device().todense(dtype_name)
        return to_tensor(self.host.todense(dtype_name)).to(self.values.device)

    def _on_device(self) -> DeviceMatrix:
        """What products on a GPU need of the matrix, anew after a write to its values."""
        state = version_of(self.values), *_places(self._parts)
        if self._device is None or self._device[0] != state:
            matrix = device_matrix(self._parts, self.format, (self.rows, self.cols))
            self._device = state, matrix
        return self._device[1]

    def tocsr(self, dtype_name: str) -> tuple[Pattern, torch.Tensor]:
        if self.values.requires_grad:
            return tracked_csr(self, dtype_name)
        pattern, values = self.host.tocsr(dtype_name)
        return pattern, to_tensor(values).to(self.values.device)

    def matmul(self, x: Any, transpose: bool, swapped: bool = False) -> torch.Tensor:
        x = self.operand(x, transpose, swapped)
        values, scales = self.values, self.scales
        is_eager = (x.is_cpu or x.is_cuda) and runs_eagerly((x, values))
        if is_eager and not values.requires_grad and (scales is None or not scales.requires_grad):
            return fixed_product(x, self, transpose, swapped)
        tensors = *self._parts, x
        static = self.format, self.rows, self.cols, transpose, swapped
        if is_eager:
            return packed_matmul.by(self._kernel, tensors, static)
        return packed_matmul(*tensors, *static)

    def _kernel(self, *arguments: Any) -> torch.Tensor:
        """Compute the registered operation of this very matrix, by what is kept for it."""
        return self.product(arguments[4], *arguments[-2:])

    def product(
        self,
        x: torch.Tensor,
        transpose: bool,
        swapped: bool,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Compute `matmul` of a plain tensor, plus a bias; nothing follows it."""
        if x.is_cuda:
            return device_product(self._on_device(), x, transpose, swapped, bias)
        y = _result(self.dtype_name, x, self.rows, self.cols, transpose, swapped)
        _multiply(self.host.handle, x, y, transpose, swapped)
        if bias is None:
            return y
        return y.add_(bias if bias.dtype is y.dtype else bias.to(y.dtype))
