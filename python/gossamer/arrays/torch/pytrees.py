# SPDX-License-Identifier: Apache-2.0
"""Containers in PyTorch's transformations, as pytrees whose one leaf is ``data``."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree

from ... import containers
from ...structure.registry import structure_of
from .adapter import adapter


def _register(container: type[containers.SparseArray]) -> None:
    def flatten(a: containers.SparseArray) -> tuple[list[Any], str]:
        # A text, since torch.compile lets numbers vary from call to call.
        return [a._data], str(a._structure.number)

    def unflatten(leaves: Any, number: str) -> containers.SparseArray:
        (data,) = leaves
        # torch.compile checks shapes in the operations, and cannot follow this check.
        make = container._of if torch.compiler.is_compiling() else container._of_leaf
        return make(structure_of(int(number)), data, adapter)

    _pytree.register_pytree_node(container, flatten, unflatten)


for _container in (containers.CSRArray, containers.CSCArray, containers.COOArray):
    _register(_container)
