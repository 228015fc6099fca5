# SPDX-License-Identifier: Apache-2.0
"""What is kept for registered operations, which get plain tensors at every call."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
    """What was made of tensors, by their places in memory, until the first of them is freed."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Any, ...], tuple[list[ref[torch.UntypedStorage]], Any, Any]] = {}

    def of(
        self,
        tensors: Iterable[torch.Tensor | None],
        others: tuple[Any, ...],
        make: Callable[[], Any],
    ) -> Any:
        """Return what was made of tensors and others, anew after a write to one of the tensors."""
        kept, given = self._kept, [x for x in tensors if x is not None]
        storages, versions = [x.untyped_storage() for x in given], [version_of(x) for x in given]
        addresses = (x.data_ptr() for x in given)
        # While its storage lives, no other one has a tensor's place.
        places = *(storage._cdata for storage in storages), *addresses, *others
        found = kept.get(places)
        if found is None or found[1] != versions:

            def forget(_: Any) -> None:
                kept.pop(places, None)

            # PyTorch has one object for a storage, which lives as long.
            found = [ref(storage, forget) for storage in storages], versions, make()
            kept[places] = found
        return found[2]

    def __len__(self) -> int:
        return len(self._kept)
