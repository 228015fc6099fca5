# SPDX-License-Identifier: Apache-2.0
"""Single files of a model's folder: which are damaged, and what their index says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

#: What transformers reads of a folder. Others may be anything.
_READ = ("config.json", "*_config.json", "tokenizer.json", "*.index.json", "*.safetensors")


@contextmanager
def open_file(file: str) -> Iterator[Any]:
    """Open a safetensors file for tensors of PyTorch.

    Raises
    ------
    ValueError
        Naming the file, if it is malformed.
    """
    try:
        with safe_open(file, framework="pt") as opened:
            yield opened
    except SafetensorError as error:
        raise ValueError(f"{file}: {error}") from error


def read_index(file: str) -> dict[str, str]:
    """File of each tensor by an index.

    Raises
    ------
    ValueError
        Naming the index, if it is malformed.
    """
    weight_map = read_object(file).get("weight_map")
    if not isinstance(weight_map, dict):
        raise ValueError(f"{file} is no index of safetensors files: weight_map = {weight_map!r}")
    for tensor, name in weight_map.items():
        if not isinstance(name, str):
            raise ValueError(
                f"{file} is no index of safetensors files: {name!r} for {tensor!r} is no name"
            )
    return weight_map


def find_damage(folder: str) -> str | None:
    """Name the first malformed file of a model's folder, and what is wrong; None if all are fine.

    Of weights only the header is read. A folder of an adapter alone lacks its model.
    """
    for file in sorted({file for pattern in _READ for file in Path(folder).glob(pattern)}):
        try:
            if file.suffix == ".safetensors":
                with open_file(str(file)):
                    pass
            elif file.name.endswith(".index.json"):
                read_index(str(file))
            else:
                read_object(str(file))
        except ValueError as error:
            return str(error)
        except OSError:
            continue  # not of its content
    return _missing_model(Path(folder))


def _missing_model(folder: Path) -> str | None:
    """Say how a PEFT adapter becomes a model; None for a folder of anything else."""
    adapter = folder / "adapter_config.json"
    if not adapter.is_file() or (folder / "config.json").is_file():
        return None
    base = read_object(str(adapter)).get("base_model_name_or_path", "its base model")
    return (
        f"{folder} holds a PEFT adapter of {base} and no model; merge them first: "
        f"peft.AutoPeftModelForCausalLM.from_pretrained({str(folder)!r}).merge_and_unload()"
        f".save_pretrained(FOLDER), with the tokenizer's files beside"
    )


def read_object(file: str) -> dict[str, Any]:
    """Object of a JSON file.

    Raises
    ------
    ValueError
        Naming the file, if it holds none.
    """
    try:
        content = json.loads(Path(file).read_bytes())
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{file}: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected a JSON object, not a {type(content).__name__}")
    return content
