# SPDX-License-Identifier: Apache-2.0
"""A linear layer whose weight is sparse, its values trained and its pattern fixed."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

from .. import construct
from ..arrays.torch import adapter, operations
from ..arrays.torch.host import DTYPES, NAMES, to_tensor
from ..containers import CSRArray, SparseArray
from ..dtypes import promote
from ..structure import Pattern
from .autocast import autocast_dtype
from .parameters import check_tensors, quickly, refusal, warn_of_dense_weight


class SparseLinear(nn.Module):  # type: ignore[misc]
    """Linear layer y = x Wᵀ + b with a sparse weight.

    The stored values are the parameter ``values``; the pattern is fixed, and its row offsets and
    columns are the buffers ``indptr`` and ``indices``. No dense matrix of the weight's shape is
    built, forward or backward.

    Parameters
    ----------
    weight
        Sparse array over tensors, of shape (out_features, in_features); taken in CSR, canonical.
    bias
        Shape (out_features,), or None.

    Raises
    ------
    TypeError
        If the weight is no sparse array over tensors.
    ValueError
        If the bias does not fit.
    """

    indptr: torch.Tensor
    indices: torch.Tensor

    def __init__(self, weight: SparseArray, bias: torch.Tensor | None = None) -> None:
        super().__init__()
        if not isinstance(weight, SparseArray) or not isinstance(weight.data, torch.Tensor):
            raise TypeError(
                f"SparseLinear: weight is {weight!r}, expected a sparse array over tensors; of a "
                f"dense layer, weight or mask it is made by SparseLinear.from_linear, from_dense "
                f"and from_mask"
            )
        self.out_features, self.in_features = weight.shape
        if bias is not None and bias.shape != (self.out_features,):
            raise ValueError(
                f"SparseLinear: bias has shape {tuple(bias.shape)}, expected ({self.out_features},)"
            )
        csr = weight.tocsr(canonical=True)
        self._pattern: Pattern = csr._pattern.on_host()
        self.register_buffer("indptr", to_tensor(csr.indptr))
        self.register_buffer("indices", to_tensor(csr.indices))
        self.values = nn.Parameter(csr.data.detach().clone())
        self.bias = None if bias is None else nn.Parameter(bias.detach().clone())

    @classmethod
    def from_linear(
        cls, linear: nn.Linear, mask: torch.Tensor | None = None, threshold: float = 0.0
    ) -> SparseLinear:
        """Keep the weights of a dense layer where the mask is true.

        Parameters
        ----------
        linear
            Its weight and bias are copied.
        mask
            Boolean, of the weight's shape; by default where the modulus exceeds the threshold.

        Raises
        ------
        TypeError
            If the layer is no nn.Linear, or the mask no boolean tensor.
        ValueError
            If it has another shape.
        """
        if not isinstance(linear, nn.Linear):
            raise TypeError(
                f"SparseLinear.from_linear: linear is {type(linear).__name__}, expected nn.Linear"
            )
        weight = linear.weight.detach()
        if mask is None:
            return cls(construct.fromdense(weight, threshold), linear.bias)
        return cls(_masked(weight, mask), linear.bias)

    @classmethod
    def from_dense(
        cls, weight: torch.Tensor, bias: torch.Tensor | None = None, threshold: float = 0.0
    ) -> SparseLinear:
        """Keep the elements of a dense weight whose modulus exceeds the threshold, as copies.

        Errors as of `gossamer.fromdense`, and TypeError for what is no tensor.
        """
        if not isinstance(weight, torch.Tensor):
            raise TypeError(
                f"SparseLinear.from_dense: weight is {type(weight).__name__}, expected a tensor of "
                f"shape (out_features, in_features); of a layer there is SparseLinear.from_linear"
            )
        return cls(construct.fromdense(weight.detach(), threshold), bias)

    @classmethod
    def from_mask(
        cls, mask: torch.Tensor, bias: bool = True, dtype: torch.dtype | None = None
    ) -> SparseLinear:
        """Layer with random values where a mask of shape (out_features, in_features) is true.

        Values and bias are uniform in ±1/√k, k the mean number of values in a row, at least 1: the
        variance of the result is that of a dense layer of k inputs. Raises TypeError if the mask is
        no boolean tensor, ValueError for another rank than 2.
        """
        _check_mask(mask)
        weight = torch.empty(mask.shape, dtype=dtype)
        layer = cls(_masked(weight, mask), weight.new_empty(len(mask)) if bias else None)
        bound = math.sqrt(min(1.0, len(mask) / max(1, len(layer.values))))
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound)
        return layer

    @property
    def weight(self) -> CSRArray:
        """The weight as a sparse array over the parameter: gradients flow through it."""
        return CSRArray(self._pattern, self.values, adapter)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x Wᵀ + b; x has shape (..., in_features), the result (..., out_features).

        Its dtype is the one that values and x meet in, as of ``A @ x``: float64 for float32 values
        and an x of float64, which nn.Linear refuses. Under autocast it is the autocast one.
        """
        values, bias = quickly(self, "values"), quickly(self, "bias")
        dtype = autocast_dtype(x, "SparseLinear", values)
        if not x.ndim or x.shape[-1] != self.in_features:
            raise ValueError(
                f"SparseLinear: x has shape {tuple(x.shape)}, expected (..., {self.in_features})"
            )
        if dtype is not None or x.dtype is not values.dtype:
            dtype = dtype or DTYPES[promote(NAMES[values.dtype], NAMES[x.dtype])]
            values, x = values.to(dtype), x.to(dtype)
        if bias is not None and bias.dtype is not x.dtype:
            bias = bias.to(x.dtype)
        return operations.linear(values, x, bias, self._pattern)

    def extra_repr(self) -> str:
        """What ``repr`` says of the layer."""
        nnz = len(self.values)
        density = nnz / max(1, self.in_features * self.out_features)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}, nnz={nnz}, density={density:.3g}"
        )

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *arguments: Any
    ) -> None:
        """Take over another pattern too, after looking at its indices."""
        error_msgs = arguments[-1]
        way = "make sparse layers of it by SparseLinear.from_linear"
        warn_of_dense_weight(self, state_dict, prefix, way)
        names = ("values", "indices", "indptr")
        missing = [name for name in names if prefix + name not in state_dict]
        if 0 < len(missing) < 3 and missing != ["indices", "indptr"]:
            why = (
                f"{', '.join(missing)} missing beside the rest of the pattern; give values, "
                f"indices and indptr together, or values alone"
            )
            error_msgs.append(refusal(self, prefix, why))
            return
        if not missing:
            shape = self.out_features, self.in_features
            parts = {name: state_dict[prefix + name] for name in names}
            try:
                check_tensors(parts)
                on_host = tuple(part.detach().cpu() for part in parts.values())
                csr = construct.csr_array(on_host, shape)
            except (TypeError, ValueError) as error:
                error_msgs.append(refusal(self, prefix, error))
                return
            self._pattern = csr._pattern
            self.indptr, self.indices = to_tensor(csr.indptr), to_tensor(csr.indices)
            if len(csr.data) != len(self.values):
                self.values = nn.Parameter(self.values.new_empty(len(csr.data)))
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _masked(weight: torch.Tensor, mask: torch.Tensor) -> CSRArray:
    """Elements of a dense matrix where the mask is true."""
    construct.check_not_tracing("SparseLinear", adapter)
    _check_mask(mask)
    if mask.shape != weight.shape:
        raise ValueError(
            f"SparseLinear: mask has shape {tuple(mask.shape)}, expected the weight's, "
            f"{tuple(weight.shape)}"
        )
    pattern, _ = adapter.fromdense(mask.to(torch.float32), 0.0)
    return CSRArray(pattern, weight[mask], adapter)


def _check_mask(mask: Any) -> None:
    if not isinstance(mask, torch.Tensor):
        raise TypeError(
            f"SparseLinear: mask is a {type(mask).__module__}.{type(mask).__qualname__}, expected "
            f"a tensor; convert it, as with torch.as_tensor(mask)"
        )
    if mask.dtype is not torch.bool:
        raise TypeError(
            f"SparseLinear: mask has dtype {mask.dtype}, expected torch.bool, such as mask != 0"
        )
    if mask.ndim != 2:
        raise ValueError(
            f"SparseLinear: mask has shape {tuple(mask.shape)}, expected (out_features, "
            f"in_features)"
        )
