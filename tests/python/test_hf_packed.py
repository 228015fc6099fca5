# SPDX-License-Identifier: Apache-2.0
"""Packed language models: saved, loaded by transformers, run, and refused where damaged."""

import json
import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="the models are PyTorch's")
transformers = pytest.importorskip("transformers", reason="the models are those of transformers")
import gossamer.hf  # noqa: E402
from commands import invoke, refusal  # noqa: E402
from gossamer.nn import PackedLinear  # noqa: E402
from gossamer.prune import plan_pruning, prune_model  # noqa: E402
from language_models import (  # noqa: E402
    CONFIGS,
    save_tiny,
    text,
    tiny_model,
    tiny_tokenizer,
    tiny_windows,
)
from safetensors.torch import load_file, save_file  # noqa: E402
from torch.nn.utils import prune  # noqa: E402

DTYPES = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")
# Largest difference of the logits, relative to the largest: rounding of the values.
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 2e-2, "int8": 3e-2, "float8_e4m3": 0.2}


def pruned_model(architecture="llama", sparsity=0.6, **options):
    model = tiny_model(architecture, **options)
    prune_model(model, plan_pruning(model, sparsity), "magnitude")
    return model


def packed_model(*arguments, dtype=None, **options):
    model = pruned_model(*arguments, **options)
    assert gossamer.hf.pack_model(model, dtype)
    return model


def logits(model):
    with torch.no_grad():
        return model(tiny_windows().to(model.device)).logits.float().cpu()


def difference(a, b):
    return ((a - b).abs().max() / b.abs().max()).item()


def load(folder, **options):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, **options)


# Round trips


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_save_and_load(architecture, tmp_path):
    dense = pruned_model(architecture)
    model = packed_model(architecture)
    model.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())["quantization_config"]
    assert (config["quant_method"], config["version"]) == ("gossamer", 1)
    loaded = load(tmp_path)
    assert isinstance(loaded.get_submodule(next(iter(config["layers"]))), PackedLinear)
    assert not any(p.device.type == "meta" for p in (*loaded.parameters(), *loaded.buffers()))
    assert torch.equal(logits(loaded), logits(model))
    assert difference(logits(loaded), logits(dense)) < TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_value_types(dtype, tmp_path):
    model = packed_model(dtype=dtype)
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert torch.equal(logits(loaded), logits(model))
    assert difference(logits(loaded), logits(pruned_model())) < TOLERANCE[dtype]
    layer = loaded.model.layers[0].mlp.up_proj
    assert str(layer.weight.dtype).removeprefix("torch.").startswith(dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_models_of_16_bits(dtype, tmp_path):
    model = packed_model(dtype=None, architecture="llama")
    half = tiny_model(dtype=dtype)
    prune_model(half, plan_pruning(half, 0.6), "magnitude")
    gossamer.hf.pack_model(half)
    half.save_pretrained(tmp_path)
    loaded = load(tmp_path)
    assert loaded.dtype is dtype
    assert logits(loaded).isfinite().all()
    assert difference(logits(loaded), logits(model)) < 0.05


@pytest.mark.parametrize("tied", [True, False])
def test_tied_weights_and_shards_and_saving_again(tied, tmp_path):
    model = packed_model(tie_word_embeddings=tied)
    assert (model.lm_head.weight is model.model.embed_tokens.weight) is tied
    model.save_pretrained(tmp_path / "first", max_shard_size="20KB")
    shards = list((tmp_path / "first").glob("model-*.safetensors"))
    assert len(shards) > 1
    loaded = load(tmp_path / "first")
    assert (loaded.lm_head.weight is loaded.model.embed_tokens.weight) is tied
    loaded.save_pretrained(tmp_path / "second")
    assert torch.equal(logits(load(tmp_path / "second")), logits(model))
    configs = [
        json.loads((tmp_path / name / "config.json").read_text())["quantization_config"]
        for name in ("first", "second")
    ]
    assert configs[0] == configs[1]


@pytest.mark.parametrize("device_map", ["cpu", "auto", {"": "cpu"}])
def test_device_map(device_map, tmp_path):
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    model = packed_model()
    model.save_pretrained(tmp_path)
    loaded = load(tmp_path, device_map=device_map)
    assert difference(logits(loaded), logits(model)) < TOLERANCE["float32"]


def test_packed_layers_stay_in_memory_where_a_device_map_puts_them_on_the_disk(tmp_path):
    pytest.importorskip("accelerate", reason="device_map needs accelerate")
    model = packed_model()
    model.save_pretrained(tmp_path)
    rest = ("model.embed_tokens", "model.norm", "model.rotary_emb", "lm_head")
    device_map = {"model.layers": "disk", **dict.fromkeys(rest, "cpu")}
    loaded = load(tmp_path, device_map=device_map, offload_folder=tmp_path / "offload")
    assert loaded.model.layers[0].mlp.up_proj.values.device.type == "cpu"
    assert difference(logits(loaded), logits(model)) < TOLERANCE["float32"]


def test_values_keep_their_type_whatever_the_model_is_loaded_in(tmp_path):
    packed_model(dtype="int8").save_pretrained(tmp_path)
    loaded = load(tmp_path, dtype=torch.bfloat16)
    layer = loaded.model.layers[0].mlp.up_proj
    assert (layer.values.dtype, layer.scales.dtype) == (torch.int8, torch.float32)
    assert loaded.model.embed_tokens.weight.dtype is torch.bfloat16


@pytest.mark.parametrize(
    ("stored", "dtype"),
    [("float32", "bfloat16"), ("float32", "float16"), ("float16", "bfloat16"), ("int8", "float16")],
)
def test_models_are_loaded_in_another_dtype(stored, dtype, tmp_path):
    model = packed_model(dtype=stored)
    model.save_pretrained(tmp_path / "a")
    loaded = gossamer.hf.load_model(tmp_path / "a", dtype)
    got = logits(loaded)
    assert difference(got, logits(model)) < TOLERANCE[dtype]
    assert gossamer.hf.generate(loaded, tiny_windows(1, 6)[0], 3).tokens
    loaded.save_pretrained(tmp_path / "b")
    again = load(tmp_path / "b")
    assert again.dtype is getattr(torch, dtype)
    assert torch.equal(logits(again), got)


# What is packed


def test_a_dtype_that_packed_layers_do_not_take_is_refused(tmp_path):
    packed_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"^dtype = torch\.float64; packed layers take one of "):
        load(tmp_path, dtype=torch.float64)


@pytest.mark.parametrize("kind", [torch.nn.Linear, lambda *n: torch.nn.Sequential()])
def test_what_is_no_language_model_is_refused(kind):
    with pytest.raises(TypeError, match=r"^pack_model: model is a .*gossamer\.nn\.pack_linears"):
        gossamer.hf.pack_model(kind(3, 3))


def test_what_does_not_pay_stays_dense():
    model = pruned_model(sparsity=0.05)
    assert gossamer.hf.pack_model(model) == []
    model = pruned_model()
    names = gossamer.hf.pack_model(model, skip=["*.self_attn.*"])
    assert names
    assert all(".mlp." in name for name in names)
    assert type(model.lm_head) is torch.nn.Linear
    model = pruned_model()
    assert gossamer.hf.pack_model(model, min_gain=50) == []


def test_unpacked_models_are_the_pruned_ones(tmp_path):
    model = packed_model("phi")
    gossamer.hf.unpack_model(model)
    dense = pruned_model("phi")
    for name, weight in dense.state_dict().items():
        assert torch.equal(model.state_dict()[name], weight), name
    model.save_pretrained(tmp_path)
    assert "quantization_config" not in json.loads((tmp_path / "config.json").read_text())


def test_a_layer_with_two_names_is_packed_and_unpacked_under_both():
    model = pruned_model()
    first, second = (block.mlp for block in model.model.layers[:2])
    second.up_proj = first.up_proj
    gossamer.hf.pack_model(model)
    assert isinstance(first.up_proj, PackedLinear)
    assert second.up_proj is first.up_proj
    gossamer.hf.unpack_model(model)
    assert type(first.up_proj) is torch.nn.Linear
    assert second.up_proj is first.up_proj


def test_models_that_share_a_configuration_are_unpacked_one_by_one():
    first, second = packed_model(), pruned_model()
    second.config = first.config
    expected = logits(second)
    gossamer.hf.pack_model(second)
    for model in (first, second):
        gossamer.hf.unpack_model(model)
        assert torch.equal(logits(model), expected)
        with pytest.raises(ValueError, match="the model has no packed layers"):
            gossamer.hf.unpack_model(model)


def test_unpacked_layers_take_the_dtype_of_the_model():
    model = packed_model(dtype="float16")
    expected = logits(model)
    gossamer.hf.unpack_model(model)
    assert model.model.layers[0].mlp.up_proj.weight.dtype is torch.float32
    assert difference(logits(model), expected) < TOLERANCE["float32"]


@pytest.mark.parametrize(
    ("model_dtype", "dtype"),
    [(torch.bfloat16, "float16"), (torch.float16, "bfloat16"), (torch.float16, "float32")],
)
def test_values_whose_products_have_another_dtype_are_refused(model_dtype, dtype):
    model = pruned_model(dtype=model_dtype)
    with pytest.raises(ValueError, match=f"dtype is '{dtype}'.*are float32, which its other"):
        gossamer.hf.pack_model(model, dtype)
    for fitting in ("int8", str(model_dtype).removeprefix("torch.")):
        model = pruned_model(dtype=model_dtype)
        assert gossamer.hf.pack_model(model, fitting)
        assert logits(model).isfinite().all()


def test_pack_model_says_what_it_takes():
    with pytest.raises(TypeError, match=r"pack_model: model is a str, .*hf\.load_model\("):
        gossamer.hf.pack_model("pruned")
    model = pruned_model()
    name = "model.layers.0.mlp.up_proj"
    prune.l1_unstructured(model.get_submodule(name), "weight", 0.7)
    with pytest.raises(ValueError, match=rf"{name}\.weight is computed by a hook"):
        gossamer.hf.pack_model(model)


def test_packed_models_are_not_packed_again():
    with pytest.raises(ValueError, match="is packed or quantized already"):
        gossamer.hf.pack_model(packed_model())


# Refusals


def python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_without_the_import_loading_fails(tmp_path):
    """In a process of its own: transformers only warns of a method it does not know."""
    model = packed_model()
    model.save_pretrained(tmp_path)
    code = (
        "import torch, transformers\n"
        f"model = transformers.AutoModelForCausalLM.from_pretrained({str(tmp_path)!r})\n"
        "print(model(torch.tensor([[3, 4]])).logits.sum().item())\n"
    )
    refused = python(code)
    assert refused.returncode != 0
    assert "mismatch" in refused.stderr.lower()
    accepted = python("import gossamer.hf\n" + code)
    assert accepted.returncode == 0, accepted.stderr
    with torch.no_grad():
        expected = model(torch.tensor([[3, 4]])).logits.sum().item()
    assert float(accepted.stdout) == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def saved(tmp_path):
    packed_model(dtype="int8").save_pretrained(tmp_path)
    return tmp_path


def change_config(folder, change):
    file = folder / "config.json"
    config = json.loads(file.read_text())
    change(config["quantization_config"])
    file.write_text(json.dumps(config))


LAYER = "model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.update(version=2), "layout version 2, and this Gossamer reads version 1"),
        (lambda q: q.update(version="1"), "layout version '1', and this Gossamer reads version 1"),
        (lambda q: q.update(version=True), "layout version True, and this Gossamer reads"),
        (lambda q: q["layers"].update({LAYER: 3}), f"'{LAYER}' is malformed"),
        (lambda q: q["layers"][LAYER].update(format="gap5"), "malformed"),
        (lambda q: q["layers"][LAYER].update(dtype="int4"), "malformed"),
        (lambda q: q["layers"][LAYER].update(slots=-1), "malformed"),
        (lambda q: q["layers"][LAYER].update(shape=[48]), "malformed"),
        (lambda q: q["layers"][LAYER].update(more=1), "malformed"),
        (lambda q: q["layers"][LAYER].update(shape=[32, 48]), r"packed as \(32, 48\), but"),
        (lambda q: q["layers"].update({"model.x": q["layers"][LAYER]}), "has no such layer"),
        (lambda q: q["layers"].update({"model.norm": q["layers"][LAYER]}), "here a LlamaRMSNorm"),
        (lambda q: q["layers"][LAYER].update(slots=5), "mismatched"),
        (lambda q: q["layers"].pop(LAYER), "mismatched"),
    ],
)
def test_wrong_configuration(saved, change, message):
    change_config(saved, change)
    with pytest.raises((ValueError, RuntimeError), match=message):
        load(saved)


def change_tensors(folder, change):
    file = folder / "model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file, {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop(f"{LAYER}.weight"), "weight' is missing"),
        (lambda t: t.pop(f"{LAYER}.weight_scales"), "weight_scales' is missing"),
        (lambda t: t[f"{LAYER}.weight_row_offsets"][1].fill_(2**20), "row_offsets"),
        (lambda t: t[f"{LAYER}.weight_positions"].fill_(255), "packed layer 'model.layers.0"),
        (lambda t: t[f"{LAYER}.weight_scales"].fill_(-1), "scales"),
        (lambda t: t.update({f"{LAYER}.weight": t[f"{LAYER}.weight"][1:].clone()}), "mismatched"),
    ],
)
def test_damaged_tensors(saved, change, message):
    change_tensors(saved, change)
    with pytest.raises((ValueError, RuntimeError), match=message):
        load(saved)


# Generating


@pytest.mark.parametrize("compiled", [False, True])
def test_generation_takes_the_likeliest_tokens(compiled):
    model = packed_model()
    prompt = tiny_windows(1, 6)[0]
    seen = []
    result = gossamer.hf.generate(model, prompt, 5, compiled=compiled, on_token=seen.append)
    expected, ids = [], prompt
    with torch.no_grad():
        for _ in result.tokens:
            expected.append(int(model(ids[None]).logits[0, -1].argmax()))
            ids = torch.cat([ids, torch.tensor(expected[-1:])])
    assert result.tokens == expected == seen
    assert result.first_seconds > 0
    assert len(expected) == 5 or expected[-1] == 2
    assert result.peak_bytes is None or result.peak_bytes > 0


def test_generation_is_drawn_by_the_seed():
    model = packed_model()
    prompt = tiny_windows(1, 6)[0]
    drawn = [
        gossamer.hf.generate(model, prompt, 20, temperature=1.0, seed=seed).tokens
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(
    ("length", "new", "temperature", "message"),
    [
        (0, 1, 0.0, "a prompt of 0 tokens, expected at least 1$"),
        (4, 0, 0.0, "max_new_tokens = 0, expected at least 1$"),
        (4, 1, -1.0, "temperature = -1.0, expected at least 0$"),
        (100, 29, 0.0, "are 129, more than the model's 128 positions"),
    ],
)
def test_generation_refuses(length, new, temperature, message):
    prompt = torch.full((length,), 3)
    with pytest.raises(ValueError, match=message):
        gossamer.hf.generate(tiny_model(), prompt, new, temperature=temperature)


@pytest.mark.parametrize("given", [None, ":16:8"])
@pytest.mark.parametrize("settable", [False, True])
def test_captured_steps_ask_for_small_workspaces_unless_the_user_has(given, settable, monkeypatch):
    from gossamer.hf.memory import own_workspaces

    name, sizes, freed = "CUBLAS_WORKSPACE_CONFIG", {"cublas": 32 << 20, "cublaslt": 8 << 20}, []
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: freed.append(1), False)
    for library in sizes:
        function = f"{library}_workspace_size"
        monkeypatch.setattr(
            torch.backends.cuda,
            function,
            lambda size=None, library=library: (
                sizes.update({library: size or sizes[library]}) or sizes[library]
            ),
            raising=False,
        )
        if not settable:
            monkeypatch.delattr(torch.backends.cuda, function)
    monkeypatch.delenv(name, raising=False)
    if given:
        monkeypatch.setenv(name, given)
    before = dict(sizes)
    with own_workspaces():
        assert len(freed) == 1
        inside = set(sizes.values()), os.environ.get(name)
    assert len(freed) == 2
    assert (sizes, os.environ.get(name)) == (before, given)
    large = {32 << 20, 8 << 20}
    small = ({4 << 20}, None) if settable else (large, ":4096:1")
    assert inside == ((large, given) if given else small)


def test_threads_may_leave_small_workspaces_in_any_order(monkeypatch):
    from gossamer.hf.memory import own_workspaces

    name = "CUBLAS_WORKSPACE_CONFIG"
    monkeypatch.setattr(torch._C, "_cuda_clearCublasWorkspaces", lambda: None, False)
    monkeypatch.delattr(torch.backends.cuda, "cublas_workspace_size", False)
    monkeypatch.delenv(name, raising=False)
    with own_workspaces():
        assert os.environ.pop(name)  # as another thread that left before
    assert name not in os.environ


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_blocks_are_compiled_once_for_all(architecture):
    torch.compiler.reset()
    torch._dynamo.utils.counters.clear()
    model = packed_model(architecture)
    prompt = tiny_windows(1, 6)[0]
    eager = gossamer.hf.generate(model, prompt, 8).tokens
    numbers = [m.layer_idx for m in model.modules() if hasattr(m, "layer_idx")]
    assert gossamer.hf.generate(model, prompt, 8, compiled=True).tokens == eager
    # Mistral's cache counts in Python: the first count, any other, and a full window are cases.
    most = 3 if architecture == "mistral" else 1
    assert 1 <= torch._dynamo.utils.counters["stats"]["unique_graphs"] <= most
    assert numbers == [m.layer_idx for m in model.modules() if hasattr(m, "layer_idx")]
    assert gossamer.hf.generate(model, prompt, 8).tokens == eager


# Commands


@pytest.fixture
def folders(tmp_path):
    """A pruned and a packed model, and a text."""
    save_tiny(tmp_path / "dense")
    pruned_model().save_pretrained(tmp_path / "pruned")
    tiny_tokenizer().save_pretrained(tmp_path / "pruned")
    (tmp_path / "text.txt").write_text(text())
    packed = invoke("compress", tmp_path / "pruned", "-o", tmp_path / "packed", "--json")
    assert packed.exit_code == 0, packed.output
    return tmp_path, json.loads(packed.stdout)


def test_compress_eval_generate(folders):
    folder, record = folders
    assert record["bytes"] < record["dense_bytes"]
    formats = {layer["name"]: layer["format"] for layer in record["layers"]}
    assert formats["lm_head"] == "dense"
    assert formats[LAYER] in ("bitmap", "gap4", "gap8")
    assert record["seconds"] > 0
    options = "--text", folder / "text.txt", "--length", 64
    results = [
        json.loads(invoke("eval", folder / name, *options, "--json").stdout)
        for name in ("pruned", "packed")
    ]
    assert results[1]["perplexity"] == pytest.approx(results[0]["perplexity"], rel=1e-5)
    options = ("--prompt", "word1 word2 word3", "--max-new-tokens", 6)
    compared = invoke("generate", folder / "packed", *options, "--compare", "--json")
    assert compared.exit_code == 0, compared.output
    packed, unpacked = json.loads(compared.stdout)
    assert (packed["model"], unpacked["model"]) == ("packed", "unpacked")
    assert packed["tokens"] == unpacked["tokens"]
    assert packed["model_bytes"] < unpacked["model_bytes"]
    shown = invoke("generate", folder / "packed", *options)
    assert packed["text"] in " ".join(shown.stdout.split())
    assert "tokens/s" in shown.stdout


def test_models_that_are_compared_are_warm(folders, monkeypatch):
    calls, generate = [], gossamer.hf.generate

    def recorded(model, prompt, max_new_tokens, **options):
        calls.append((len(prompt), max_new_tokens))
        return generate(model, prompt, max_new_tokens, **options)

    monkeypatch.setattr(gossamer.hf, "generate", recorded)
    command = ("generate", folders[0] / "packed", "--prompt", "word1 word2", "--max-new-tokens", 3)
    assert invoke(*command, "--json").exit_code == 0
    alone = calls.copy()
    assert alone[0][1] == 3
    assert invoke(*command, "--json", "--compare").exit_code == 0
    assert calls[1:] == [(1, 1), *alone] * 2


def test_one_token_has_no_rate(folders):
    command = ("generate", folders[0] / "packed", "--prompt", "word1", "--max-new-tokens", 1)
    (line,) = json.loads(invoke(*command, "--json").stdout, parse_constant=pytest.fail)
    assert line["tokens_per_second"] is None
    assert "nan" not in invoke(*command).stdout


@pytest.mark.parametrize("seed", [-(1 << 63), 1 << 64])
def test_seeds_are_those_of_pytorch(folders, seed):
    command = (
        "generate",
        folders[0] / "packed",
        "--prompt",
        "word1",
        "--temperature",
        1,
        "--seed",
        seed,
    )
    result = invoke(*command, "--max-new-tokens", 1)
    if seed < 0:
        assert result.exit_code == 0, result.output
    else:
        assert "Invalid value for '--seed'" in refusal(result)


def test_compress_says_that_nothing_was_packed(folders):
    folder, _ = folders
    done = invoke("compress", folder / "dense", "-o", folder / "packed", "--overwrite")
    assert done.exit_code == 0, done.output
    assert "nothing was packed: none of the layers would be 1.2 times smaller" in done.stderr
    assert "gossamer prune" in done.stderr
    done = invoke("compress", folder / "pruned", "-o", folder / "packed", "--overwrite")
    assert "nothing was packed" not in done.stderr


def test_compress_prints_a_table_and_takes_types(folders):
    folder, _ = folders
    again = ("compress", folder / "pruned", "-o", folder / "packed", "--overwrite")
    result = invoke(*again, "--dtype", "fp8", "--shard", "20KB")
    assert result.exit_code == 0, result.output
    assert "float8_e4m3" in result.stdout
    files = sorted((folder / "packed").glob("model-*.safetensors"))
    assert len(files) > 1
    listed = json.loads(invoke("info", folder / "packed", "--json").stdout)
    assert sorted({entry["file"] for entry in listed}) == [str(file) for file in files]
    assert f"all {len(files)} files: " in invoke("info", folder / "packed").stdout
    assert invoke(*again, "--dtype", "float8_e4m3").exit_code == 0
    wrong = invoke(*again, "--dtype", "int4")
    assert (wrong.exit_code, "int4" in wrong.stderr) == (2, True)
    assert "fp8" in wrong.stderr
    twice = invoke("compress", folder / "packed", "-o", folder / "twice")
    assert (twice.exit_code, "packed or quantized already" in twice.stderr) == (2, True)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "fp8"])
def test_info_lists_packed_layers(folders, dtype):
    folder, _ = folders
    again = ("compress", folder / "pruned", "-o", folder / "packed", "--dtype", dtype)
    record = json.loads(invoke(*again, "--overwrite", "--json").stdout)
    listed = invoke("info", folder / "packed", "--json")
    assert listed.exit_code == 0, listed.output
    entries = {entry["name"]: entry for entry in json.loads(listed.stdout)}
    for layer in record["layers"]:
        packed = layer["format"] != "dense"
        entry = entries[layer["name"] if packed else f"{layer['name']}.weight"]
        assert (entry["format"], entry["dtype"]) == (layer["format"], layer["dtype"])
        assert entry["nbytes"] == layer["bytes"]
        if packed:
            assert entry["density"] == pytest.approx(layer["density"], abs=1e-3)
    assert not [name for name in entries if name.endswith(("_positions", "_offsets", "_scales"))]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda q: q.update(version=99), "layout version 99, and this Gossamer reads version 1"),
        (lambda q: q.update(layers=None), "layers = None, expected the layouts"),
        (lambda q: q["layers"].update({"a": {}}), "layer 'a'"),
        (lambda q: q["layers"][LAYER].update(slots=0), "mismatched with the 0 of the config"),
        (lambda q: q["layers"][LAYER].update(offsets="int64"), "offsets = int32, mismatched with"),
    ],
)
def test_info_refuses_a_wrong_configuration(folders, change, message):
    folder, _ = folders
    change_config(folder / "packed", change)
    assert message in refusal(invoke("info", folder / "packed" / "model.safetensors"))


def test_commands_name_a_damaged_file(folders):
    folder, _ = folders
    file = folder / "packed" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    message = refusal(invoke("eval", folder / "packed", "--text", folder / "text.txt"))
    assert "file not fully covered" in message
    assert message.startswith(str(file))


def test_bench_llm_at_a_tiny_shape(tmp_path):
    plot = tmp_path / "llm.png"
    result = invoke(
        "bench", "llm", "--shape", "tiny", "--device", "cpu", "--dtype", "float32", "--densities",
        "0.9,0.3", "--batch", "1,2", "--steps", 3, "--eager", "--json", "-", "--plot", plot,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    results = json.loads(result.stdout)
    assert [(case["density"], case["batch"]) for case in results["cases"]] == [
        (None, 1), (0.9, 1), (0.3, 1), (None, 2), (0.9, 2), (0.3, 2),
    ]  # fmt: skip
    for case in results["cases"]:
        assert case["tokens_per_second"] == pytest.approx(case["batch"] / case["step_seconds"])
        assert bool(case["formats"]) == (case["density"] == 0.3)
        assert 0 < case["split"]["linear"] < 1
    assert results["cases"][2]["model_bytes"] < results["cases"][0]["model_bytes"]
    assert results["wrong"] == []
    assert plot.read_bytes().startswith(b"\x89PNG")
