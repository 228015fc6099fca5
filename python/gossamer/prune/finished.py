# SPDX-License-Identifier: Apache-2.0
"""Blocks that were pruned before an interruption, kept in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from ..io.atomic import replacing
from .layers import PruningPlan

_SETTINGS, _BLOCK = "settings.json", "block-{}.safetensors"


class FinishedBlocks:
    """A folder with the pruned weights of the first blocks and the settings they were made with.

    Raises
    ------
    ValueError
        If the folder was begun with other settings, or holds something else.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / _SETTINGS
        if not file.exists():
            if any(not path.name.startswith(".") for path in folder.iterdir()):
                raise ValueError(
                    f"{folder} is for the finished blocks, and holds something else; move it away"
                )
            with replacing(file) as beside:
                beside.write_text(json.dumps(settings, indent=1))
            return
        begun = _read_settings(file)
        changed = [name for name in settings if begun.get(name) != settings[name]]
        if changed:
            raise ValueError(
                f"{folder} was begun with {changed[0]} = {begun.get(changed[0])!r}, now it is "
                f"{settings[changed[0]]!r}; go on with the same settings, or remove the folder"
            )

    def load(self, index: int, weights: Mapping[str, Tensor]) -> bool:
        """Fill in a block's weights, and return whether they were there, whole."""
        try:
            stored = load_file(self._file(index))
        except (FileNotFoundError, SafetensorError):
            return False
        if {name: t.shape for name, t in stored.items()} != {
            n: t.shape for n, t in weights.items()
        }:
            return False
        for name, weight in weights.items():
            weight.copy_(stored[name])
        return True

    def save(self, index: int, weights: Mapping[str, Tensor]) -> None:
        """Keep a block's weights; raises OSError if they cannot be written."""
        try:
            with replacing(self._file(index)) as beside:
                save_file({name: weight.contiguous() for name, weight in weights.items()}, beside)
        except SafetensorError as error:
            raise OSError(f"{self._folder} cannot be written: {error}") from error

    def _file(self, index: int) -> Path:
        return self._folder / _BLOCK.format(f"{index:05}")


def _read_settings(file: Path) -> dict[str, Any]:
    settings = None
    with suppress(ValueError):  # also of bytes that are no text
        settings = json.loads(file.read_bytes())
    if not isinstance(settings, dict):
        raise ValueError(f"{file} is damaged; remove {file.parent} to begin anew")
    return settings


def remove_finished(folder: Path) -> None:
    """Remove what `FinishedBlocks` kept in a folder, and the folder if nothing else is in it."""
    with suppress(OSError):  # of a folder without permission to write
        for file in (*folder.glob(_BLOCK.format("*")), folder / _SETTINGS):
            file.unlink()
        folder.rmdir()


def fingerprint(plan: PruningPlan, windows: Tensor | None) -> dict[str, Any]:
    """What tells one run from another: hashes of weights and windows, and the share of each layer.

    Of the weights the first rows of each layer are hashed.
    """
    weights = hashlib.sha256()
    for target in plan:
        rows = target.layer.weight[:4].detach().float().cpu()
        weights.update(rows.numpy().tobytes())
    return {
        "weights": weights.hexdigest(),
        "windows": None if windows is None else _digest(windows),
        "sparsity": {target.name: target.sparsity for target in plan},
    }


def _digest(tokens: Tensor) -> str:
    return hashlib.sha256(tokens.to(torch.int64).cpu().numpy().tobytes()).hexdigest()
