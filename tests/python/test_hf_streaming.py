# SPDX-License-Identifier: Apache-2.0
"""Models packed from folder to folder: the same files' contents, with little memory."""

import ctypes
import gc
import json
import shutil
import weakref

import pytest

torch = pytest.importorskip("torch", reason="the models are PyTorch's")
transformers = pytest.importorskip("transformers", reason="the models are those of transformers")
import gossamer.hf  # noqa: E402
from gossamer.hf import compress_checkpoint, memory  # noqa: E402
from gossamer.prune import plan_pruning, prune_model  # noqa: E402
from language_models import CONFIGS, tiny_model, tiny_tokenizer, tiny_windows  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

CPU = torch.device("cpu")


def save_pruned(folder, model, sparsity=0.6, **options):
    prune_model(model, plan_pruning(model, sparsity), "magnitude")
    model.save_pretrained(folder, **options)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def contents(folder):
    files = sorted(folder.glob("*.safetensors"))
    return {name: tensor for file in files for name, tensor in load_file(file).items()}


@pytest.mark.parametrize("architecture", sorted(CONFIGS))
@pytest.mark.parametrize("dtype", [None, "int8", "float8_e4m3"])
def test_writes_what_packing_in_memory_does(architecture, dtype, tmp_path):
    options = {"tie_word_embeddings": architecture == "llama"}
    model = tiny_model(architecture, **options)
    source = save_pruned(tmp_path / "pruned", model, max_shard_size="20KB")
    reports = compress_checkpoint(source, tmp_path / "packed", dtype, max_shard_bytes=15_000)
    names = gossamer.hf.pack_model(model, dtype)
    model.save_pretrained(tmp_path / "expected")
    got, expected = contents(tmp_path / "packed"), contents(tmp_path / "expected")
    assert got.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (got[name].dtype, got[name].shape) == (tensor.dtype, tensor.shape), name
        assert torch.equal(got[name].view(torch.uint8), tensor.view(torch.uint8)), name
    configs = [
        json.loads((tmp_path / n / "config.json").read_text()) for n in ("packed", "expected")
    ]
    assert configs[0]["quantization_config"] == configs[1]["quantization_config"]
    assert {r.name for r in reports if r.format != "dense"} == set(names)
    assert len(list((tmp_path / "packed").glob("model-*-of-*.safetensors"))) > 1
    loaded = gossamer.hf.load_model(tmp_path / "packed")
    with torch.no_grad():
        assert torch.equal(loaded(tiny_windows()).logits, model(tiny_windows()).logits)
    assert gossamer.hf.load_tokenizer(tmp_path / "packed")("word0").input_ids == [3]


def growth(call):
    """Most memory taken during a call beyond what was taken before."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    memory.reset_peak(CPU)
    before = memory.peak_bytes(CPU)
    call()
    return memory.peak_bytes(CPU) - before


@pytest.fixture
def large(tmp_path):
    """A model of 150 MB in files of 30 MB."""
    if memory.peak_bytes(CPU) is None:
        pytest.skip("this system does not tell the peak memory of a process")
    config = CONFIGS["llama"](tie_word_embeddings=True, bos_token_id=1, eos_token_id=2)
    config.update({"hidden_size": 768, "intermediate_size": 2304, "num_hidden_layers": 5})
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    return save_pruned(tmp_path / "pruned", model, 0.8, max_shard_size="30MB")


def test_memory_stays_at_the_packed_model_and_one_layer(large, tmp_path):
    dense = sum(file.stat().st_size for file in large.glob("*.safetensors"))
    layer = 768 * 2304 * 4
    compress_checkpoint(large, tmp_path / "packed")  # what is loaded once
    packed = sum(file.stat().st_size for file in (tmp_path / "packed").glob("*.safetensors"))
    # An MB or two for the allocator; a dense copy would be five times the packed model.
    assert packed + layer + 4_000_000 < dense / 2
    assert growth(lambda: compress_checkpoint(large, tmp_path / "packed")) < (
        packed + layer + 4_000_000
    )
    small = {"max_shard_bytes": 4_000_000}
    assert growth(lambda: compress_checkpoint(large, tmp_path / "packed", **small)) < (
        4_000_000 + 2 * layer + 4_000_000
    )
    gossamer.hf.load_model(tmp_path / "packed")
    assert growth(lambda: gossamer.hf.load_model(tmp_path / "packed")) < packed + layer + 4_000_000


def test_packing_in_memory_gives_up_each_dense_layer(monkeypatch):
    model = tiny_model()
    prune_model(model, plan_pruning(model, 0.8), "magnitude")
    dense, alive = [], []

    def skip(name, layer):
        if layer is model.lm_head:
            return True
        dense.append(weakref.ref(layer))
        return False

    def compress(*arguments):
        alive.append(sum(reference() is not None for reference in dense))
        return gossamer.compress(*arguments)

    monkeypatch.setattr(gossamer.nn.packed_linear, "compress", compress)
    assert len(gossamer.nn.pack_linears(model, skip=skip)) == len(dense) == 14
    assert alive == list(range(14, 0, -1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "has no tensor 'model"),
        (
            lambda t: t.update({"lm_head.weight": torch.zeros(3, 3)}),
            r"'lm_head.weight' has shape \(3, 3\), mismatched with the \(64, 32\)",
        ),
    ],
)
def test_refuses_other_tensors(change, message, tmp_path):
    source = save_pruned(tmp_path / "pruned", tiny_model())
    tensors = load_file(source / "model.safetensors")
    change(tensors)
    save_file(tensors, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=message):
        compress_checkpoint(source, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["pruned"]


@pytest.mark.parametrize("name", ["model.safetensors", "model.safetensors.index.json"])
def test_refuses_damaged_files(name, tmp_path):
    size = "20KB" if name.endswith("json") else "5GB"
    source = save_pruned(tmp_path / "pruned", tiny_model(), max_shard_size=size)
    (source / name).write_bytes((source / name).read_bytes()[:100])
    with pytest.raises(ValueError, match=name):
        compress_checkpoint(source, tmp_path / "packed")
    assert [path.name for path in tmp_path.iterdir()] == ["pruned"]


@pytest.mark.parametrize("weight_map", [{"a": 5}, {"a": ["b"]}])
def test_refuses_an_index_of_no_files(weight_map, tmp_path):
    source = save_pruned(tmp_path / "pruned", tiny_model(), max_shard_size="20KB")
    index = source / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    with pytest.raises(ValueError, match="is no index of safetensors files"):
        compress_checkpoint(source, tmp_path / "packed")


def test_names_the_tensor_that_cannot_be_packed(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = 1e6
    source = save_pruned(tmp_path / "pruned", model)
    with pytest.raises(ValueError, match=r"layers.1.mlp.up_proj.weight: .*W\[3, 4\] = 1e\+06"):
        compress_checkpoint(source, tmp_path / "packed", "float16")


def test_does_not_replace_what_holds_the_source(tmp_path):
    source = save_pruned(tmp_path / "models" / "pruned", tiny_model())
    (tmp_path / "models" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"would be replaced, and .* with it"):
        compress_checkpoint(source, tmp_path / "models")
    assert (source / "model.safetensors").is_file()


def test_read_only_settings_are_copied(tmp_path):
    source = save_pruned(tmp_path / "pruned", tiny_model())
    (source / "generation_config.json").chmod(0o444)
    compress_checkpoint(source, tmp_path / "packed")
    assert (tmp_path / "packed" / "generation_config.json").stat().st_mode & 0o200
    (tmp_path / "new").touch()
    modes = {file.stat().st_mode for file in (tmp_path / "packed").iterdir()}
    assert modes == {(tmp_path / "new").stat().st_mode}


def test_refuses_what_is_packed_and_what_is_no_model(tmp_path):
    source = save_pruned(tmp_path / "pruned", tiny_model())
    compress_checkpoint(source, tmp_path / "packed")
    with pytest.raises(ValueError, match="packed or quantized already"):
        compress_checkpoint(tmp_path / "packed", tmp_path / "twice")
    shutil.rmtree(source)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        compress_checkpoint(source, tmp_path / "other")
    (tmp_path / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(ValueError, match=r"a\.gguf is no safetensors file"):
        compress_checkpoint(tmp_path / "a.gguf", tmp_path / "other")
