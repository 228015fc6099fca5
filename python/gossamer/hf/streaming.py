# SPDX-License-Identifier: Apache-2.0
"""Pack a model from folder to folder, one tensor at a time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from torch import nn
from transformers.utils import cached_file

from ..io.atomic import check_keeps
from ..io.packed_checkpoint import PackedLayout, checkpoint_name
from ..out_of_memory import memory_for
from ..packed import PackedArray, compress
from ..prune.layers import linear_layers
from .checkpoint_files import open_file, read_index, read_object
from .checkpoints import check_causal, load_tokenizer, locate, reading, writing
from .packing import packable_layers
from .quantizer import GossamerConfig

_ONE, _INDEX = "model.safetensors", "model.safetensors.index.json"
# What fills one of them is in memory with the tensor.
_LESS = "smaller files (max_shard_bytes, --shard) take less"
_SHARD = "model-{:05}-of-{:05}.safetensors"


@dataclass(frozen=True)
class LayerReport:
    """What became of a linear layer.

    Attributes
    ----------
    format, dtype
        "dense" where it was left as it is; type of the values.
    density
        Share of the elements that are stored; None of dense layers.
    bytes, dense_bytes
        Of the weight, as written and as read.
    """

    name: str
    format: str
    dtype: str
    density: float | None
    bytes: int
    dense_bytes: int


def compress_checkpoint(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dtype: str | None = None,
    *,
    format: str = "auto",
    min_gain: float = 1.2,
    skip: Sequence[str] = (),
    max_shard_bytes: int = 5 * 10**9,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[LayerReport]:
    """Pack the linear layers of a checkpoint and write another; a model that was there is replaced.

    In memory are one dense tensor and what fills one file of the output.

    Parameters
    ----------
    source
        Folder in Hugging Face's layout, or name on its hub, of safetensors files.
    dtype, format, min_gain, skip
        As of `pack_model`.
    max_shard_bytes
        Size of the largest file, unless one layer is larger.
    progress
        Called with the number of tensors done and of all.

    Raises
    ------
    ValueError
        If the model is quantized already, a file is malformed, the tensors have other names or
        shapes than the model's layers, one cannot be packed, or the output would replace the
        source.
    FileNotFoundError
        If there are no such files.
    FileExistsError
        If the output holds something else than a model.
    OSError
        If it cannot be written; what was there is as it was.
    """
    folder, gguf = locate(source)
    check_keeps(folder, output)
    if gguf is not None:
        raise ValueError(f"{gguf} is no safetensors file; gossamer prune writes such of GGUF files")
    with reading(folder), memory_for(f"opening {source}", _LESS):
        config = transformers.AutoConfig.from_pretrained(folder)
        files = _tensor_files(folder)
        settings = _file(folder, "generation_config.json")
        if settings is not None:
            read_object(settings)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError("the model is packed or quantized already; give the one it was made from")
    with reading(folder):
        model = _empty_model(config)
    linears, packable = linear_layers(model), set(packable_layers(model, skip))
    missing = sorted(f"{name}.weight" for name in packable if f"{name}.weight" not in files)
    if missing:
        raise ValueError(
            f"{folder} has no tensor {missing[0]!r}; load it with gossamer.hf.load_model, pack it "
            f"with pack_model and write it with save_checkpoint"
        )
    reports, layouts = [], {}
    with writing(output) as beside, memory_for(f"writing {output}", _LESS):
        load_tokenizer(folder).save_pretrained(beside)
        shards = _Shards(beside, max_shard_bytes)
        for done, (tensor_name, file) in enumerate(files.items()):
            with memory_for(f"reading {tensor_name}", _LESS):
                tensor = _read(file, tensor_name)
            name = tensor_name.removesuffix(".weight")
            packed = None
            if name in linears and tensor_name != name:
                _check_shape(tensor_name, tensor, linears[name])
                if name in packable:
                    packed = _packed(tensor_name, tensor, format, dtype)
                    if packed.format == "dense" or packed.nbytes * min_gain > tensor.nbytes:
                        packed = None
                reports.append(_report(name, tensor, packed))
            if packed is None:
                shards.add({tensor_name: tensor})
            else:
                layouts[name] = PackedLayout.of(packed).to_dict()
                parts = packed._storage.parts().items()
                shards.add({f"{name}.{checkpoint_name(part)}": array for part, array in parts})
            progress(done + 1, len(files))
        shards.finish()
        config.quantization_config = GossamerConfig(layouts)
        config.save_pretrained(beside)
        if settings is not None:
            shutil.copyfile(settings, beside / "generation_config.json")
    return reports


def _empty_model(config: Any) -> Any:
    """The model, without memory."""
    check_causal(config)
    with torch.device("meta"):
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    return model


def _file(folder: str, name: str) -> str | None:
    found: str | None = cached_file(folder, name, _raise_exceptions_for_missing_entries=False)
    return found


def _tensor_files(folder: str) -> dict[str, str]:
    """File of each tensor, in the order of the files."""
    index = _file(folder, _INDEX)
    if index is None:
        file = cached_file(folder, _ONE)
        with open_file(file) as opened:
            return dict.fromkeys(opened.keys(), file)
    weight_map = read_index(index)
    paths = {file: cached_file(folder, file) for file in dict.fromkeys(weight_map.values())}
    in_order = sorted(weight_map.items(), key=lambda item: item[1])
    return {tensor: paths[file] for tensor, file in in_order}


def _read(file: str, name: str) -> torch.Tensor:
    """Read one tensor; what was read of the file before is given up."""
    with open_file(file) as opened:
        tensor: torch.Tensor = opened.get_tensor(name)
    return tensor


def _packed(name: str, tensor: torch.Tensor, format: str, dtype: str | None) -> PackedArray:
    try:
        with memory_for(f"packing {name}", _LESS):
            return compress(tensor, format, dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error


def _check_shape(name: str, tensor: torch.Tensor, linear: nn.Linear) -> None:
    expected = linear.out_features, linear.in_features
    if tuple(tensor.shape) != expected:
        raise ValueError(
            f"{name!r} has shape {tuple(tensor.shape)}, mismatched with the {expected} of the "
            f"configuration"
        )


def _report(name: str, tensor: torch.Tensor, packed: PackedArray | None) -> LayerReport:
    kept = tensor if packed is None else packed
    return LayerReport(
        name,
        "dense" if packed is None else packed.format,
        str(kept.dtype).removeprefix("torch."),
        None if packed is None else packed.density,
        kept.nbytes,
        tensor.nbytes,
    )


class _Shards:
    """Files of a checkpoint, each written when it is full."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._tensors: dict[str, torch.Tensor] = {}
        self._names: list[list[str]] = []
        self._total = 0

    def add(self, tensors: Mapping[str, torch.Tensor]) -> None:
        held = sum(tensor.nbytes for tensor in self._tensors.values())
        more = sum(tensor.nbytes for tensor in tensors.values())
        if held and held + more > self._limit:
            self._write()
        self._tensors |= {name: tensor.contiguous() for name, tensor in tensors.items()}
        self._total += more

    def finish(self) -> None:
        """Write the last file, and the index of several."""
        self._write()
        count = len(self._names)
        final = [_ONE] if count == 1 else [_SHARD.format(i + 1, count) for i in range(count)]
        for i, file in enumerate(final):
            self._unnumbered(i).rename(self._folder / file)
        if count > 1:
            names = zip(final, self._names, strict=True)
            weight_map = {name: file for file, shard in names for name in shard}
            index = {"metadata": {"total_size": self._total}, "weight_map": weight_map}
            (self._folder / _INDEX).write_text(json.dumps(index, indent=1))

    def _write(self) -> None:
        save_file(self._tensors, self._unnumbered(len(self._names)), {"format": "pt"})
        self._names.append(list(self._tensors))
        self._tensors = {}

    def _unnumbered(self, index: int) -> Path:
        return self._folder / f"{index}.safetensors"
