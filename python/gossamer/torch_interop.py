# SPDX-License-Identifier: Apache-2.0
"""To and from PyTorch's own sparse tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .structure import CooPattern

if TYPE_CHECKING:
    from .containers import SparseArray


def from_torch(tensor: Any, *, copy: bool = False) -> SparseArray:
    """Take over a sparse tensor of layout CSR, CSC or COO, which keeps its format.

    Parameters
    ----------
    tensor
        Of rank 2, without batch and dense axes. Its values are borrowed, with their gradient.
    copy
        True: copy the index tensors. Otherwise they are borrowed too, and the caller promises not
        to write to them.

    Raises
    ------
    TypeError
        If it is no sparse tensor, or its dtype is not supported.
    ValueError
        If it is not of rank 2, or an index is wrong.
    """
    import torch

    from .construct import coo_array, csc_array, csr_array
    from .dtypes import check_value_dtype, dtype_name

    layout = tensor.layout if isinstance(tensor, torch.Tensor) else type(tensor).__name__
    if layout not in (torch.sparse_csr, torch.sparse_csc, torch.sparse_coo):
        raise TypeError(
            f"from_torch: tensor is {layout}, expected a tensor of layout torch.sparse_csr, "
            f"torch.sparse_csc or torch.sparse_coo"
        )
    if tensor.ndim != 2 or tensor.dense_dim() > 0:
        raise ValueError(
            f"from_torch: tensor has shape {tuple(tensor.shape)} and {tensor.dense_dim()} dense "
            f"axes, expected two sparse axes"
        )
    advice = "cast it, as tensor.to(torch.float32)"
    check_value_dtype(dtype_name(tensor.dtype), "from_torch: tensor", how=advice)
    shape = tuple(tensor.shape)
    if layout is torch.sparse_coo:
        canonical = tensor.is_coalesced()
        values = tensor.values() if canonical else tensor._values()
        indices = tensor._indices()
        coo = coo_array((values, tuple(indices)), shape, copy=copy)
        if not copy:
            coo._pattern.joined = indices
        return coo
    if layout is torch.sparse_csr:
        parts = tensor.values(), tensor.col_indices(), tensor.crow_indices()
        return csr_array(parts, shape, copy=copy)
    parts = tensor.values(), tensor.row_indices(), tensor.ccol_indices()
    return csc_array(parts, shape, copy=copy)


def to_torch(a: SparseArray) -> Any:
    """Return the sparse tensor of a's format; see `SparseArray.to_torch`."""
    import torch

    from .arrays.torch.host import to_tensor

    if not isinstance(a.data, torch.Tensor):
        raise TypeError(
            f"to_torch: A holds {type(a.data).__module__} arrays, expected torch tensors; "
            f"A.to('torch') has them"
        )
    if isinstance(a._structure, CooPattern):
        indices, canonical = _joined(a, a._structure.joined), a.has_canonical_format
        return torch.sparse_coo_tensor(indices, a.data, a.shape, is_coalesced=canonical)
    minor, offsets = (to_tensor(indices).to(a.data.device) for indices in a._index_arrays())
    build = torch.sparse_csr_tensor if a.format == "csr" else torch.sparse_csc_tensor
    return build(offsets, minor, a.data, a.shape)


def _joined(a: SparseArray, known: Any) -> Any:
    """Rows and columns of a COO array as the one int64 tensor that PyTorch wants."""
    import torch

    from .arrays.torch.host import to_tensor

    if known is None:
        known = torch.stack([to_tensor(indices) for indices in a._index_arrays()]).to(torch.int64)
    return known.to(a.data.device)
