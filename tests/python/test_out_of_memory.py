# SPDX-License-Identifier: Apache-2.0
"""Commands and functions on language models that run out of memory: what they say, and leave."""

import json

import pytest

torch = pytest.importorskip("torch", reason="the models are PyTorch's")
transformers = pytest.importorskip("transformers", reason="the models are those of transformers")
import gossamer.hf  # noqa: E402
import gossamer.nn  # noqa: E402
import numpy as np  # noqa: E402
from commands import invoke, refusal  # noqa: E402
from gossamer.hf.layout import packed_layers  # noqa: E402
from gossamer.out_of_memory import memory_for  # noqa: E402
from gossamer.prune import plan_pruning, prune_model  # noqa: E402
from language_models import save_tiny, text, tiny_model, tiny_windows  # noqa: E402

CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 9.00 GiB of "
    "which 1.50 GiB is free. Including non-PyTorch memory, this process has 7 GiB memory in use. "
    "8.00 GiB allowed; Of the allocated memory"
)
AMOUNT = (
    ": Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 9.00 GiB of which 1.50 GiB is "
    "free, 8.00 GiB allowed; "
)


def fail_at(monkeypatch, owner, name, call=1, error=torch.OutOfMemoryError):
    """Let that call of a function, and those after it, find no memory on a GPU, or raise so."""
    original, calls = getattr(owner, name), []

    def failing(*arguments, **options):
        calls.append(name)
        if len(calls) >= call:
            raise error(CUDA)
        return original(*arguments, **options)

    monkeypatch.setattr(owner, name, failing)


@pytest.fixture
def files(tmp_path):
    """A dense model, it pruned, that packed, and a text."""
    model = tiny_model()
    prune_model(model, plan_pruning(model, 0.6), "magnitude")
    tokenizer = gossamer.hf.load_tokenizer(save_tiny(tmp_path / "dense"))
    gossamer.hf.save_checkpoint(tmp_path / "pruned", model, tokenizer)
    gossamer.hf.pack_model(model)
    gossamer.hf.save_checkpoint(tmp_path / "packed", model, tokenizer)
    (tmp_path / "text.txt").write_text(text())
    return tmp_path


GENERATE = ("generate", "packed", "--prompt", "word1 word2", "--max-new-tokens", "3")
PRUNE = ("prune", "dense", "-o", "new", "--text", "text.txt", "--length", "24", "--samples", "3")
LOADING = transformers.AutoModelForCausalLM


@pytest.mark.parametrize(
    ("command", "owner", "name", "call", "message"),
    [
        (GENERATE, LOADING, "from_pretrained", 1, "loading packed"),
        (GENERATE, torch.nn.Module, "to", 1, "moving packed to cpu"),
        (GENERATE, gossamer.hf.Decoder, "read", 1, "reading a prompt of 2 tokens"),
        (GENERATE, gossamer.hf.Decoder, "step", 2, "generating token 3 of 3"),
        (("eval", "packed", "--text", "text.txt"), gossamer.nn.PackedLinear, "forward", 1,
         "predicting 128 tokens"),
        (PRUNE, gossamer.prune.blocks, "_first_hidden_states", 2,
         "reading the calibration windows"),
        (PRUNE, gossamer.prune.model, "zero_lowest_of_rows", 9, "pruning block 1 of 2"),
        (("compress", "pruned", "-o", "new"), gossamer.hf.streaming, "_tensor_files", 1,
         "opening pruned"),
        (("compress", "pruned", "-o", "new"), gossamer.hf.streaming, "save_file", 1,
         "writing new"),
        (("compress", "pruned", "-o", "new"), gossamer.hf.streaming, "compress", 3,
         "packing model.layers.0"),
    ],
)  # fmt: skip
def test_commands_say_what_ran_out_of_memory(
    command, owner, name, call, message, files, monkeypatch
):
    monkeypatch.chdir(files)
    before = sorted(files.rglob("*"))
    with monkeypatch.context() as patch:
        fail_at(patch, owner, name, call)
        said = refusal(invoke(*command))
    last = said.splitlines()[-1]
    assert f"out of memory while {message}" in last
    assert AMOUNT in last
    assert " less" in last.split(AMOUNT)[1]
    left = [path for path in sorted(files.rglob("*")) if path not in before]
    assert all("new.unfinished" in str(path) for path in left)
    assert invoke(*command).exit_code == 0


def test_what_was_generated_before_memory_ran_out_is_shown(files, monkeypatch):
    monkeypatch.chdir(files)
    fail_at(monkeypatch, gossamer.PackedArray, "decompress")
    result = invoke(*GENERATE, "--compare", "--json")
    assert "out of memory while unpacking model.layers.0" in refusal(result)
    (line,) = json.loads(result.stdout)
    assert line["model"] == "packed"


def test_a_model_whose_packing_is_interrupted_is_one_as_any(monkeypatch):
    model = tiny_model()
    prune_model(model, plan_pruning(model, 0.6), "magnitude")
    fail_at(monkeypatch, gossamer.nn.PackedLinear, "from_linear", 4, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        gossamer.hf.pack_model(model)
    assert len(packed_layers(model)) == 3
    assert model.is_quantized
    gossamer.hf.unpack_model(model)
    assert not packed_layers(model)


def test_a_model_that_is_packed_in_part_is_one_as_any(tmp_path, monkeypatch):
    model, ids = tiny_model(), tiny_windows()
    prune_model(model, plan_pruning(model, 0.6), "magnitude")
    expected = model(ids).logits
    with monkeypatch.context() as patch:
        fail_at(patch, gossamer.nn.PackedLinear, "from_linear", 4)
        with pytest.raises(torch.OutOfMemoryError, match=r"^out of memory while packing the model"):
            gossamer.hf.pack_model(model)
    assert len(packed_layers(model)) == 3
    model.save_pretrained(tmp_path / "part")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "part")
    torch.testing.assert_close(loaded(ids).logits, expected)
    with monkeypatch.context() as patch:
        fail_at(patch, gossamer.PackedArray, "decompress", 2)
        with pytest.raises(torch.OutOfMemoryError, match=r"^out of memory while unpacking model"):
            gossamer.hf.unpack_model(model)
    assert len(packed_layers(model)) == 2
    model.save_pretrained(tmp_path / "less")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "less")
    assert packed_layers(loaded).keys() == packed_layers(model).keys()
    gossamer.hf.unpack_model(model)
    assert torch.equal(model(ids).logits, expected)
    with pytest.raises(ValueError, match=r"^unpack_model: the model has no packed layers$"):
        gossamer.hf.unpack_model(model)


def test_a_lack_of_memory_keeps_its_class_and_says_so_once():
    for ask, kind in ((torch.empty, torch.OutOfMemoryError), (np.empty, MemoryError)):
        with pytest.raises(kind) as raised, memory_for("all", "x"), memory_for("a part", "y"):
            ask(1 << 58)
        assert str(raised.value).startswith("out of memory while a part: ")
        assert str(raised.value).endswith("; y")


@pytest.mark.parametrize(
    "error", [RuntimeError("is refused"), ValueError("out of memory"), OSError(28)]
)
def test_other_errors_pass(error):
    with pytest.raises(type(error)) as raised, memory_for("all", "x"):
        raise error
    assert raised.value is error


def test_what_comes_of_a_lack_of_memory_is_one():
    def close():
        try:
            raise torch.OutOfMemoryError(CUDA)
        finally:
            raise RuntimeError("capture was invalidated")

    expected = r"^out of memory while capturing: Tried"
    with pytest.raises(torch.OutOfMemoryError, match=expected), memory_for("capturing", "x"):
        close()


def test_comparing_needs_packed_layers(files, monkeypatch):
    monkeypatch.chdir(files)
    said = refusal(invoke("generate", "dense", "--prompt", "word1", "--compare"))
    assert "--compare: dense has no packed layers" in said
