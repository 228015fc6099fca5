# SPDX-License-Identifier: Apache-2.0
"""What is kept for registered operations, which get plain tensors at every call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import torch


def version_of(x: torch.Tensor) -> int:
    """Return a number that another write to a tensor changes."""
    version: int
    try:
        version = x._version
    except RuntimeError:  # tensors made in inference mode have none
        version = 0
    return version


class KeptWithMemory:
    """What was made of tensors, by their places in memory, until that memory is freed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[ref[torch.UntypedStorage], int, Any]] = {}

    def of(self, x: torch.Tensor, others: tuple[Any, ...], make: Callable[[], Any]) -> Any:
        """Return what was made of x and others, anew after a write to x, while x has its memory."""
        kept, storage, version = self._kept, x.untyped_storage(), version_of(x)
        places = storage._cdata, x.data_ptr(), *others
        found = kept.get(places)
        if found is None or found[1] != version:
            # PyTorch has one object for a storage, which lives as long.
            found = ref(storage, lambda _: kept.pop(places, None)), version, make()
            kept[places] = found
        return found[2]

    def __len__(self) -> int:
        return len(self._kept)
