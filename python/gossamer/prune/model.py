# SPDX-License-Identifier: Apache-2.0
"""Prune a model in place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..out_of_memory import memory_for
from .blocks import BlockRunner
from .calibration import check_positions
from .finished import FinishedBlocks, fingerprint
from .layers import PruningPlan, Target
from .magnitude import zero_lowest_of_rows, zero_smallest
from .sparsegpt import prune_and_compensate
from .statistics import Gram, InputNorms, collect_statistics

#: Ways to choose what is pruned; the last two need calibration windows.
METHODS = ("magnitude", "magnitude-row", "magnitude-global", "wanda", "sparsegpt")

Report = Callable[[int, int], None]


@dataclass(frozen=True)
class LayerReport:
    """A pruned layer.

    Attributes
    ----------
    sparsity
        The share of zeros that was asked for.
    density
        Share of the weights that are not zero now.
    """

    name: str
    shape: tuple[int, int]
    sparsity: float
    density: float


def prune_model(
    model: nn.Module,
    plan: PruningPlan,
    method: str = "wanda",
    windows: Tensor | None = None,
    *,
    unfinished: Path | None = None,
    progress: Report = lambda done, total: None,
) -> list[LayerReport]:
    """Set weights of a model's linear layers to zero, in place.

    Parameters
    ----------
    model
        Causal language model of transformers.
    plan
        From `plan_pruning`.
    method
        "magnitude": the smallest moduli of each layer; "magnitude-row": of each row;
        "magnitude-global": of all layers that have the same sparsity.
        "wanda" (Sun et al., arXiv 2306.11695): in each row the lowest |W| · ‖X‖₂.
        "sparsegpt" (Frantar and Alistarh, arXiv 2301.00774): in each layer the weights whose loss
        the others can best make up for, which they then do.
        The last two run block by block, each on the outputs of the pruned blocks before it, and
        keep statistics of one block at a time.
    windows
        Token ids, int64, shape (samples, length), from `calibration_windows`.
    unfinished
        Folder for the finished blocks of "wanda" and "sparsegpt": a run that was interrupted goes
        on from there. The caller removes it once the model is saved.
    progress
        Called with the number of blocks done and of all.

    Raises
    ------
    ValueError
        For an unknown method, missing windows, windows longer than the model has positions, weights
        that are not finite, or an unfinished run with other settings.
    """
    if method not in METHODS:
        raise ValueError(f"method = {method!r}, expected one of {', '.join(METHODS)}")
    for target in plan:
        if not torch.isfinite(target.layer.weight).all():
            raise ValueError(f"the weights of {target.name!r} are not all finite")
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            if method in ("wanda", "sparsegpt"):
                if windows is None or not len(windows):
                    raise ValueError(f"method {method!r} needs calibration windows")
                check_positions(model, "calibration windows have the length", windows.shape[1])
                _prune_calibrated(model, plan, method, windows, unfinished, progress)
            else:
                _prune_by_magnitude(plan, method, progress)
    finally:
        model.train(training)
    return [_report(target) for target in plan]


def _prune_by_magnitude(plan: PruningPlan, method: str, progress: Report) -> None:
    if method == "magnitude-global":
        for sparsity in sorted({target.sparsity for target in plan}):
            alike = [target.layer.weight for target in plan if target.sparsity == sparsity]
            zero_smallest(alike, sparsity)
        progress(len(plan.blocks), len(plan.blocks))
        return
    for done, block in enumerate(plan.targets):
        for target in block:
            weight = target.layer.weight
            if method == "magnitude":
                zero_smallest([weight], target.sparsity)
            else:
                zero_lowest_of_rows(weight, weight.abs(), target.sparsity)
        progress(done + 1, len(plan.blocks))


def _prune_calibrated(
    model: nn.Module,
    plan: PruningPlan,
    method: str,
    windows: Tensor,
    unfinished: Path | None,
    progress: Report,
) -> None:
    finished = None
    if unfinished is not None:
        settings = {"method": method, **fingerprint(plan, windows)}
        finished = FinishedBlocks(unfinished, settings)
    prune = _prune_wanda if method == "wanda" else _prune_sparsegpt
    less = "fewer windows, or shorter ones, take less"
    with memory_for("reading the calibration windows", less):
        runner = BlockRunner(model, plan.blocks, windows)
    last = len(plan.blocks) - 1
    for index, (block, targets) in enumerate(zip(plan.blocks, plan.targets, strict=True)):
        weights = {target.name: target.layer.weight for target in targets}
        with memory_for(f"pruning block {index} of {len(plan.blocks)}", less):
            if finished is None or not finished.load(index, weights):
                prune(targets, partial(runner.run, index, block, keep=False))
                if finished is not None:
                    finished.save(index, weights)
            if index < last:
                runner.run(index, block, keep=True)
        progress(index + 1, len(plan.blocks))


def _prune_wanda(targets: Iterable[Target], run: Callable[[], Any]) -> None:
    layers = {target.name: target.layer for target in targets}
    norms = collect_statistics(layers, InputNorms, run)
    for target in targets:
        weight = target.layer.weight
        scores = weight.abs().float() * norms[target.name].squares.sqrt()
        zero_lowest_of_rows(weight, scores, target.sparsity)


def _prune_sparsegpt(targets: Iterable[Target], run: Callable[[], Any]) -> None:
    layers = {target.name: target.layer for target in targets}
    grams = collect_statistics(layers, Gram, run)
    for target in targets:
        prune_and_compensate(target.layer.weight, grams[target.name].matrix, target.sparsity)


def _report(target: Target) -> LayerReport:
    weight = target.layer.weight
    density = torch.count_nonzero(weight).item() / weight.numel()
    return LayerReport(target.name, tuple(weight.shape), target.sparsity, density)
