# SPDX-License-Identifier: Apache-2.0
"""State dicts of models that MACKO compressed.

The five parts of a weight are under its key with "weight" replaced by "c_0" (values), "c_1"
(deltas), "c_2" (row indices), "c_3" (rows) and "c_4" (columns).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..macko import to_packed
from ..packed import PackedArray
from ..packed.dtypes import numpy_dtype
from .tensor_file import open_tensors

_PART = re.compile(r"(.*\.)?c_([0-4])")


def read_macko_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state dict's compressed weights as "gap4" arrays, and its other tensors as dense ones.

    Parameters
    ----------
    path
        A ``.safetensors`` file, or one that ``torch.save`` wrote: that is read by PyTorch, as
        tensors only (``weights_only=True``), so that nothing in it is executed.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        For a file or a weight that is malformed.
    TypeError
        For weights of another dtype than float32, float16 and bfloat16.
    ImportError
        Without safetensors, or PyTorch.
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        with open_tensors(path) as file:
            return from_state_dict({name: file.read(name) for name in file.names})
    path.open("rb").close()  # what is wrong with the file comes before what is not installed
    try:
        return from_state_dict(_load_with_torch(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def is_compressed(names: Iterable[str]) -> bool:
    """Whether some of a state dict's names are those of a compressed weight's parts."""
    return any(_PART.fullmatch(name) for name in names)


def from_state_dict(state: Mapping[str, Any]) -> dict[str, Any]:
    """Arrays by name; errors as those of `read_macko_checkpoint`."""
    arrays: dict[str, Any] = {}
    weights: dict[str, dict[int, Any]] = {}
    for name, tensor in state.items():
        part = _PART.fullmatch(name)
        if part is None:
            arrays[name] = tensor
        else:
            weights.setdefault(f"{part[1] or ''}weight", {})[int(part[2])] = tensor
    for name, parts in weights.items():
        arrays[name] = _weight(name, parts)
    return arrays


def _weight(name: str, parts: Mapping[int, Any]) -> PackedArray:
    missing = [f"c_{i}" for i in range(5) if i not in parts]
    if missing:
        raise ValueError(f"weight {name!r} lacks {', '.join(missing)}")
    try:
        values, deltas, row_indices = (parts[i].reshape(-1) for i in range(3))
        return to_packed((values, deltas, row_indices, *(_length(parts[i]) for i in (3, 4))))
    except (TypeError, ValueError) as error:
        raise type(error)(f"weight {name!r}: {error}") from error


def _length(part: Any) -> int:
    """Rows or columns: a number, or an array of one integer."""
    array = np.asarray(part)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"its shape holds {array.dtype} of shape {array.shape}, expected an integer"
        )
    return int(array.reshape(-1)[0])


def _load_with_torch(path: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f"{path}: what torch.save wrote needs PyTorch: pip install torch"
        ) from error
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # whatever the parser of a malformed file stumbles over
        # What PyTorch says here advises to execute what the file holds.
        raise ValueError(
            "it is no file of tensors that torch.save wrote, is damaged, or holds other objects too"
        ) from error
    if not (isinstance(state, dict) and all(isinstance(name, str) for name in state)):
        raise ValueError("it holds no state dict, a table of tensors by name")
    return {name: _to_numpy(tensor, torch) for name, tensor in state.items()}


def _to_numpy(tensor: Any, torch: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.layout != torch.strided:
        raise ValueError(f"it holds a tensor of layout {tensor.layout}, expected dense ones")
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.uint16).numpy().view(numpy_dtype("bfloat16"))
    return tensor.detach().numpy()
