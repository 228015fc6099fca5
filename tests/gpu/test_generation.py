# SPDX-License-Identifier: Apache-2.0
"""Packed language models on a GPU: what a decoder keeps, and its steps as one graph."""

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
if not torch.cuda.is_available():
    pytest.skip("PyTorch sees no GPU", allow_module_level=True)

import gossamer.hf  # noqa: E402
from allocation import allocated  # noqa: E402
from gossamer.cli.bench.llm_decoding import graphed  # noqa: E402
from gossamer.hf.generation import Decoder  # noqa: E402
from gossamer.hf.layout import packed_layers  # noqa: E402
from gossamer.hf.memory import drop_workspaces  # noqa: E402
from gossamer.prune import plan_pruning, prune_model  # noqa: E402
from language_models import tiny_model, tiny_windows  # noqa: E402


def packed_model(device="cuda", dtype=torch.float32):
    model = tiny_model(dtype=dtype)
    prune_model(model, plan_pruning(model, 0.5), "magnitude")
    model.to(device)
    assert gossamer.hf.pack_model(model)
    return model


def test_captured_steps_take_the_tokens_of_eager_ones():
    prompt = tiny_windows(1, 6)[0]
    eager = gossamer.hf.generate(packed_model(), prompt, 8).tokens
    assert gossamer.hf.generate(packed_model(), prompt, 8, compiled=True).tokens == eager


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_steps_on_another_gpu_than_the_current_one_are_captured():
    prompt = tiny_windows(1, 6)[0]
    eager = gossamer.hf.generate(packed_model("cuda:1"), prompt, 8).tokens
    for device in ("cuda:1", "cuda:0", "cuda:1"):
        found = gossamer.hf.generate(packed_model(device), prompt, 8, compiled=True).tokens
        assert found == eager


def test_a_decoder_gives_up_packed_arrays_and_has_its_whole_cache_on_the_gpu():
    model = packed_model()
    decoder = Decoder(model, 16, compiled=True)
    decoder.read(tiny_windows(1, 6).cuda())
    assert all(layer.row_offsets.numel() == 0 for layer in packed_layers(model).values())
    parts = [part for layer in decoder.cache.layers for part in (layer.keys, layer.values)]
    assert parts
    assert all(part.is_cuda for part in parts)


def test_a_decoder_keeps_one_workspace_of_cublas():
    model, prompt = packed_model(), tiny_windows(1, 6)[0]
    gossamer.hf.generate(model, prompt, 8, compiled=True)  # compiles, and loads cuBLAS
    drop_workspaces()
    before = torch.cuda.memory_allocated()
    torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    workspace = torch.cuda.memory_allocated() - before
    drop_workspaces()
    before = torch.cuda.memory_allocated()
    peak = gossamer.hf.generate(model, prompt, 8, compiled=True).peak_bytes
    assert workspace > 1 << 20
    assert peak - before < 2 * workspace


def test_captured_steps_have_small_workspaces_of_cublas():
    model, prompt = packed_model(), tiny_windows(1, 6).cuda()
    drop_workspaces()
    before = torch.cuda.memory_allocated()
    torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    workspace = torch.cuda.memory_allocated() - before
    decoder = Decoder(model, 16, compiled=True)
    decoder.read(prompt)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    for _ in range(4):
        decoder.step(prompt[:, -1:])
    assert torch.cuda.max_memory_allocated() - before < workspace // 2
    before = torch.cuda.memory_allocated()
    torch.ones(64, 64, device="cuda") @ torch.ones(64, 64, device="cuda")
    assert torch.cuda.memory_allocated() - before >= workspace


def test_decoders_of_several_batches_share_a_model():
    model, prompt = packed_model(dtype=torch.float16), tiny_windows(9, 6).cuda()
    fresh = {}
    for batch in (1, 9):
        decoder = Decoder(packed_model(dtype=torch.float16), 16, compiled=True)
        tokens = decoder.read(prompt[:batch]).argmax(-1, keepdim=True)
        fresh[batch] = [decoder.step(tokens).clone() for _ in range(4)]
    decoders = {batch: Decoder(model, 16, compiled=True) for batch in (1, 9)}
    tokens = {n: d.read(prompt[:n]).argmax(-1, keepdim=True) for n, d in decoders.items()}
    sizes = {layer.nbytes for layer in packed_layers(model).values()}
    for turn in range(4):
        for batch, decoder in decoders.items():
            assert torch.equal(decoder.step(tokens[batch]), fresh[batch][turn])
    del decoder, decoders
    assert {layer.nbytes for layer in packed_layers(model).values()} == sizes


@pytest.mark.parametrize("batch", [1, 20])
def test_decoding_often_takes_no_more_than_once(batch):
    model = packed_model(dtype=torch.float16)
    prompt = tiny_windows(batch, 6).cuda()

    def decode():
        decoder = Decoder(model, 16, compiled=True)
        tokens = decoder.read(prompt).argmax(-1, keepdim=True)
        for _ in range(4):
            tokens = decoder.step(tokens).argmax(-1, keepdim=True)

    decode()
    drop_workspaces()
    before = allocated()
    for _ in range(5):
        decode()
        drop_workspaces()
        assert allocated(before) <= before


def test_graphs_of_benchmarks_keep_what_they_read():
    x = torch.ones(1000, device="cuda")
    kept = weakref.ref(x)
    replay = graphed(lambda x=x: x.add_(1), x.device)
    del x
    gc.collect()
    torch.cuda.empty_cache()
    before = kept()[0].item()
    replay()
    assert kept()[0].item() == before + 1
