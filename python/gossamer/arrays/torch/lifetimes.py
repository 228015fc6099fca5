# SPDX-License-Identifier: Apache-2.0
"""What is kept for registered operations, which get plain tensors at every call."""

from __future__ import annotations

from typing import Any
from weakref import ref

import torch


class KeptWithMemory:
    """What was made of tensors, by their places in memory, until that memory is freed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[ref[torch.UntypedStorage], Any]] = {}

    def get(self, places: tuple[Any, ...]) -> Any:
        """Return what is kept, or None."""
        found = self._kept.get(places)
        return None if found is None else found[1]

    def keep(self, places: tuple[Any, ...], storage: torch.UntypedStorage, made: Any) -> None:
        """Keep something, instead of what was there, as long as the storage has its memory."""
        kept = self._kept  # PyTorch has one object for a storage, which lives as long
        kept[places] = ref(storage, lambda _: kept.pop(places, None)), made

    def __len__(self) -> int:
        return len(self._kept)
