# SPDX-License-Identifier: Apache-2.0
"""Language models on a GPU without enough memory: each step fails with a line, and can be made."""

import gc
import time
from contextlib import contextmanager

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
if not torch.cuda.is_available():
    pytest.skip("PyTorch sees no GPU", allow_module_level=True)

import gossamer.hf  # noqa: E402
from commands import invoke, refusal  # noqa: E402
from gossamer.hf.layout import packed_layers  # noqa: E402
from gossamer.hf.memory import drop_workspaces  # noqa: E402
from gossamer.prune import plan_pruning, prune_model  # noqa: E402
from language_models import text, tiny_tokenizer, tiny_windows  # noqa: E402

#: What PyTorch may take in turn, bytes.
LIMITS = [0, *(int(4e6 * 1.35**i) for i in range(16))]
PROMPT = tiny_windows(1, 6)[0]


@contextmanager
def no_more_than(nbytes):
    """Let PyTorch take only so much more of the GPU in the body."""
    free_memory()
    reserved = torch.cuda.memory_reserved()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(reserved / total)
    filling = fill(reserved - torch.cuda.memory_allocated())
    torch.cuda.set_per_process_memory_fraction((reserved + nbytes) / total)
    try:
        yield
    finally:
        filling.clear()
        torch.cuda.set_per_process_memory_fraction(1.0)


def fill(nbytes):
    """Return blocks that take what is free in segments that earlier tests still use a part of."""
    blocks = []
    while nbytes >= 512:
        try:
            blocks.append(torch.empty(nbytes, dtype=torch.uint8, device="cuda"))
        except torch.OutOfMemoryError:
            nbytes //= 2
    return blocks


def free_memory():
    gc.collect()
    drop_workspaces()
    torch.cuda.empty_cache()
    # As they were asked for: what PyTorch rounds them up to depends on what was free before.
    return torch.cuda.memory_stats()["requested_bytes.all.current"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A pruned model with layers of some megabytes, it packed, and a text."""
    folder = tmp_path_factory.mktemp("models")
    config = transformers.LlamaConfig(
        vocab_size=64, hidden_size=512, intermediate_size=2048, num_hidden_layers=4,
        num_attention_heads=8, num_key_value_heads=4, max_position_embeddings=128,
        bos_token_id=1, eos_token_id=2, pad_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float16)
    prune_model(model, plan_pruning(model, 0.5), "magnitude")
    gossamer.hf.save_checkpoint(folder / "pruned", model, tiny_tokenizer())
    gossamer.hf.pack_model(model)
    gossamer.hf.save_checkpoint(folder / "packed", model, tiny_tokenizer())
    (folder / "text.txt").write_text(text(2000))
    gc.collect()
    gc.freeze()  # what is there now, of which transformers has a lot, is not looked at again
    yield folder
    gc.unfreeze()


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, device_map="cuda")


def logits(model):
    with torch.inference_mode():
        return model(PROMPT[None].cuda()).logits


def attempts(call, kept=0, prepare=None):
    """Call with ever more memory until there is enough; yield what each one says, None at last.

    Before each, `prepare` is called with all memory. Once the caller has let go what there is, all
    that it took is free, but for as many bytes in all as may be kept.
    """
    before = max(free_memory(), kept)
    for nbytes in LIMITS:
        said = None
        if prepare:
            prepare()
        with no_more_than(nbytes):
            try:
                call()
            except torch.OutOfMemoryError as error:
                said = str(error)
        assert said is None or "out of memory" in said
        yield said
        if said is None:
            return
        check_freed(before)
    pytest.fail(f"{LIMITS[-1]} bytes are not enough")


def check_freed(before):
    """Raise unless no more is in use than before."""
    # Threads of transformers go on with the tensor that they have begun, and CUDA tells a little
    # later than it destroys a graph.
    for _ in range(10):
        if free_memory() <= before + (1 << 19):
            return
        time.sleep(0.1)
    pytest.fail(f"{free_memory()} bytes are in use, {before} before")


@pytest.mark.parametrize("name", ["pruned", "packed"])
def test_loading(folders, name):
    expected, models = logits(load(folders / name)), []
    said = list(attempts(lambda: models.append(load(folders / name))))
    assert len(said) > 1
    assert torch.equal(logits(*models), expected)


@pytest.mark.parametrize("compiled", [False, True])
def test_generating(folders, compiled):
    model, found = load(folders / "packed"), []
    expected = gossamer.hf.generate(model, PROMPT, 8, compiled=compiled).tokens
    laid_out = free_memory()  # which may take more than packed arrays
    del model
    model = load(folders / "packed")

    def generate():
        found.append(gossamer.hf.generate(model, PROMPT, 8, compiled=compiled).tokens)

    *said, _ = attempts(generate, laid_out)
    assert said
    assert all(line.startswith("out of memory while ") for line in said)
    assert found == [expected]


@pytest.mark.parametrize("name", ["pruned", "packed"])
def test_packing_and_unpacking(folders, name):
    expected, models, lines = logits(load(folders / "pruned")), [], []
    call = {"pruned": gossamer.hf.pack_model, "packed": gossamer.hf.unpack_model}[name]

    def prepare():
        models[:] = [load(folders / name)]

    for said in attempts(lambda: call(*models), prepare=prepare):
        lines.append(said)
        for model in models:
            torch.testing.assert_close(logits(model), expected, rtol=0.02, atol=0.02)
            if packed_layers(model):
                gossamer.hf.unpack_model(model)
            assert torch.equal(logits(model), expected)
            del model
        models.clear()
    doing = "out of memory while packing " if name == "pruned" else "out of memory while unpacking "
    assert any(line is not None and line.startswith(doing) for line in lines)


def test_saving_what_steps_walk(folders, tmp_path):
    model = load(folders / "packed")
    expected = gossamer.hf.generate(model, PROMPT, 8, compiled=True).tokens
    for said in attempts(lambda: gossamer.hf.save_checkpoint(tmp_path / "new", model, None)):
        assert (tmp_path / "new").exists() == (said is None)
        assert len(list(tmp_path.iterdir())) == (said is None)
    found = gossamer.hf.generate(load(tmp_path / "new"), PROMPT, 8, compiled=True).tokens
    assert found == expected


@pytest.mark.parametrize("method", ["wanda", "sparsegpt"])
def test_pruning_goes_on(folders, method, tmp_path):
    windows, weights = tiny_windows(8, 64), []

    def prune(unfinished=None):
        model = load(folders / "pruned")
        prune_model(model, plan_pruning(model, 0.7), method, windows, unfinished=unfinished)
        weights.append(model.model.layers[-1].mlp.down_proj.weight.cpu())

    prune()
    assert len(list(attempts(lambda: prune(tmp_path / "unfinished")))) > 1
    assert torch.equal(*weights)


@pytest.mark.parametrize(
    "command",
    [
        ("generate", "packed", "--prompt", "word1", "--max-new-tokens", "4", "--compare"),
        ("generate", "packed", "--prompt", "word1", "--max-new-tokens", "4", "--compile"),
        ("eval", "packed", "--text", "text.txt"),
    ],
)
def test_commands_fail_with_a_line(folders, command, monkeypatch):
    monkeypatch.chdir(folders)
    lines = []
    for nbytes in LIMITS:
        with no_more_than(nbytes):
            result = invoke(*command, "--device", "cuda")
        if result.exit_code == 0:
            break
        lines.append(refusal(result).splitlines()[-1])
    assert lines
    assert result.exit_code == 0
    for line in lines:
        assert "out of memory while " in line
        assert " take" in line or " does without" in line
