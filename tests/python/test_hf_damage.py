# SPDX-License-Identifier: Apache-2.0
"""Damaged folders of language models: one line that begins with the file, or the folder."""

import json
import re

import pytest

pytest.importorskip("torch", reason="the models are PyTorch's")
pytest.importorskip("transformers", reason="the models are those of transformers")
from commands import invoke, refusal
from gossamer.hf import load_model, load_tokenizer, perplexity
from gossamer.prune.calibration import text_tokens, usual_window
from language_models import text, tiny_model, tiny_tokenizer

SHARD, INDEX = "model-00003-of-00005.safetensors", "model.safetensors.index.json"


@pytest.fixture
def model(tmp_path):
    """A tiny model in five files."""
    folder = tmp_path / "model"
    tiny_model().save_pretrained(folder, max_shard_size="20kB")
    tiny_tokenizer().save_pretrained(folder)
    (tmp_path / "text.txt").write_text(text())
    return folder


def commands(model):
    words, output = model.with_name("text.txt"), model.with_name("output")
    yield "prune", model, "-o", output, "--method", "magnitude"
    yield "compress", model, "-o", output
    yield "eval", model, "--text", words
    yield "generate", model, "--prompt", "word1 word2", "--max-new-tokens", 2


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (SHARD, None, "file not fully covered"),
        (INDEX, None, "line"),
        (INDEX, "[]", "expected a JSON object, not a list"),
        (INDEX, '{"weight_map": 3}', "is no index of safetensors files: weight_map = 3"),
        (INDEX, '{"weight_map": {"a": 5}}', "is no index of safetensors files: 5 for 'a'"),
        ("tokenizer.json", None, "line"),
        ("tokenizer.json", "[]", "expected a JSON object, not a list"),
        ("tokenizer_config.json", None, "line"),
        ("tokenizer_config.json", "[]", "expected a JSON object, not a list"),
        ("config.json", None, "line"),
        ("config.json", "[]", "expected a JSON object, not a list"),
        ("config.json", "[" * 100_000, "recursion"),
    ],
)
def test_commands_name_a_damaged_file(model, name, content, message):
    file = model / name
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content is None else content.encode())
    for command in commands(model):
        said = refusal(invoke(*command))
        assert said.startswith(str(file)), command
        assert message in said, command
    assert not model.with_name("output").exists()


@pytest.mark.parametrize("content", ["[]", "{", "\x00"])
def test_packing_names_damaged_settings_of_generation(model, content):
    file = model / "generation_config.json"
    file.write_text(content)
    said = refusal(invoke("compress", model, "-o", model.with_name("output")))
    assert said.startswith(str(file))
    assert not model.with_name("output").exists()


def change_json(file, **entries):
    file.write_text(json.dumps(json.loads(file.read_text()) | entries))


@pytest.mark.parametrize("positions", [None, "x", 1.5])
def test_commands_name_the_folder_of_a_wrong_configuration(model, positions):
    change_json(model / "config.json", max_position_embeddings=positions)
    for command in commands(model):
        result = invoke(*command)
        assert refusal(result).startswith(f"{model} cannot be loaded: "), command
        assert "'max_position_embeddings'" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "entries"),
    [
        ("tokenizer.json", {"model": {"type": "none such"}}),
        ("tokenizer_config.json", {"tokenizer_class": 3}),
    ],
)
def test_loading_names_the_folder_of_a_wrong_tokenizer(model, name, entries):
    change_json(model / name, **entries)
    with pytest.raises(ValueError, match=f"^{re.escape(str(model))} cannot be loaded: "):
        load_tokenizer(model)


def test_a_damaged_gguf_file_is_named(tmp_path):
    pytest.importorskip("gguf", reason="GGUF files need gguf")
    file = tmp_path / "a.gguf"
    file.write_bytes(b"GGUF" + b"\xff" * 60)
    for load in (load_model, load_tokenizer):
        with pytest.raises(ValueError, match=f"^{re.escape(str(file))} cannot be loaded: "):
            load(file)


@pytest.mark.parametrize("positions", [0, -1])
def test_a_model_without_a_number_of_positions_takes_any(model, positions):
    change_json(model / "config.json", max_position_embeddings=positions)
    loaded = load_model(model)
    assert usual_window(loaded) == 512
    assert perplexity(loaded, text_tokens(load_tokenizer(model), text())[:200]) > 1
