# SPDX-License-Identifier: Apache-2.0
"""The layers of a causal language model that are pruned, and how much of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from ..nn import PackedLinear


@dataclass(frozen=True)
class Target:
    """A linear layer to prune.

    Attributes
    ----------
    name
        Of the module within the model.
    sparsity
        Share of its weights that become zero.
    """

    name: str
    layer: nn.Linear
    sparsity: float


@dataclass(frozen=True)
class PruningPlan:
    """What is pruned, block by block.

    Attributes
    ----------
    blocks
        The model's decoder blocks, in the order in which they run.
    targets
        For each block its layers, in the order of the modules.
    """

    blocks: Sequence[nn.Module]
    targets: Sequence[Sequence[Target]]

    def __iter__(self) -> Iterator[Target]:
        for block in self.targets:
            yield from block


def linear_layers(module: nn.Module) -> dict[str, nn.Linear]:
    """Linear layers within a module, by name."""
    return {name: layer for name, layer in module.named_modules() if type(layer) is nn.Linear}


def plan_pruning(
    model: nn.Module,
    sparsity: float,
    sparsity_of: Mapping[str, float] | None = None,
    skip: Sequence[str] = (),
) -> PruningPlan:
    """Choose the layers within the decoder blocks; embeddings and the head stay as they are.

    Parameters
    ----------
    sparsity
        Share of each layer's weights that become zero, from 0 to 1.
    sparsity_of
        Other shares by patterns of names such as ``"*.mlp.down_proj"``; the last that matches
        counts.
    skip
        Patterns of layers that stay as they are.

    Raises
    ------
    ValueError
        If the model is packed, has no list of blocks with linear layers, a pattern matches none of
        them, all are skipped, a share is out of range, or two layers share their weights.
    """
    shares = {"*": sparsity, **(sparsity_of or {})}
    for pattern, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"sparsity of {pattern!r} is {share}, expected a share from 0 to 1")
    if any(isinstance(module, PackedLinear) for module in model.modules()):
        raise ValueError("the model is packed; prune the one it was made from")
    prefix, blocks = _decoder_blocks(model)
    layers = [
        {f"{prefix}.{i}.{name}": layer for name, layer in linear_layers(block).items()}
        for i, block in enumerate(blocks)
    ]
    names = [name for block in layers for name in block]
    for pattern in (*shares, *skip):
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ValueError(f"pattern {pattern!r} matches no layer; the first is {names[0]!r}")

    def targets(block: Mapping[str, nn.Linear]) -> list[Target]:
        return [
            Target(name, layer, _last_match(name, shares))
            for name, layer in block.items()
            if not any(fnmatchcase(name, pattern) for pattern in skip)
        ]

    plan = PruningPlan(list(blocks), [targets(block) for block in layers])
    if not any(plan.targets):
        raise ValueError(f"skip = {list(skip)} leaves no layer to prune")
    _refuse_shared(plan)
    return plan


def _decoder_blocks(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Name and modules of the list that holds most of the linear layers' weights."""
    sizes = {
        name: sum(layer.weight.numel() for layer in linear_layers(module).values())
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList)
    }
    name = max(sizes, key=sizes.__getitem__, default=None)
    if name is None or sizes[name] == 0:
        raise ValueError(
            f"model is a {type(model).__name__} without a list of blocks that hold nn.Linear "
            f"layers; expected a causal language model such as Llama, Mistral, Qwen, Phi or OPT"
        )
    blocks = model.get_submodule(name)
    assert isinstance(blocks, nn.ModuleList)
    return name, blocks


def _last_match(name: str, shares: Mapping[str, float]) -> float:
    return [share for pattern, share in shares.items() if fnmatchcase(name, pattern)][-1]


def _refuse_shared(plan: PruningPlan) -> None:
    owners: dict[int, str] = {}
    for target in plan:
        owner = owners.setdefault(id(target.layer.weight), target.name)
        if owner != target.name:
            raise ValueError(
                f"{owner!r} and {target.name!r} share their weights, which would be pruned twice; "
                f"skip both"
            )
