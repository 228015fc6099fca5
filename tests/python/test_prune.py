# SPDX-License-Identifier: Apache-2.0
"""Pruning of tiny random models by every method."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pruning needs PyTorch")
transformers = pytest.importorskip("transformers", reason="the models are those of transformers")
from gossamer.nn import PackedLinear  # noqa: E402
from gossamer.prune import METHODS, calibration_windows, plan_pruning, prune_model  # noqa: E402
from gossamer.prune.magnitude import zero_lowest_of_rows, zero_smallest  # noqa: E402
from gossamer.prune.sparsegpt import prune_and_compensate  # noqa: E402
from language_models import CONFIGS, tiny_model, tiny_windows  # noqa: E402

CALIBRATED = ("wanda", "sparsegpt")


def weights_of(model):
    return {name: weight.clone() for name, weight in model.state_dict().items()}


# Choosing what is pruned


def test_plan_takes_the_linear_layers_of_the_blocks():
    plan = plan_pruning(tiny_model(), 0.5)
    assert len(plan.blocks) == 2
    names = [target.name for target in plan]
    assert len(names) == 14
    assert names[0] == "model.layers.0.self_attn.q_proj"
    assert not any("lm_head" in name for name in names)


def test_plan_follows_patterns_and_the_last_one_counts():
    plan = plan_pruning(
        tiny_model(), 0.5, {"*.mlp.*": 0.7, "*.down_proj": 0.1}, skip=["model.layers.0.*.o_proj"]
    )
    shares = {target.name: target.sparsity for target in plan}
    assert shares["model.layers.1.mlp.up_proj"] == 0.7
    assert shares["model.layers.1.mlp.down_proj"] == 0.1
    assert shares["model.layers.1.self_attn.o_proj"] == 0.5
    assert "model.layers.0.self_attn.o_proj" not in shares


@pytest.mark.parametrize(
    ("sparsity", "sparsity_of", "skip", "message"),
    [
        (1.5, {}, (), r"sparsity of '\*' is 1.5"),
        (0.5, {"*.mlp.*": -1}, (), "sparsity of .* is -1"),
        (0.5, {"*.mpl.*": 0.5}, (), r"'\*.mpl.\*' matches no layer"),
        (0.5, {}, ("nothing",), "'nothing' matches no layer"),
    ],
)
def test_plan_refuses(sparsity, sparsity_of, skip, message):
    with pytest.raises(ValueError, match=message):
        plan_pruning(tiny_model(), sparsity, sparsity_of, skip)


def test_plan_refuses_to_prune_nothing():
    with pytest.raises(ValueError, match=r"^skip = \['\*'\] leaves no layer to prune$"):
        plan_pruning(tiny_model(), 0.5, skip=["*"])


def test_plan_refuses_models_without_linear_layers():
    config = transformers.GPT2Config(n_layer=1, n_head=2, n_embd=8, vocab_size=32)
    with pytest.raises(ValueError, match="GPT2LMHeadModel without a list of blocks"):
        plan_pruning(transformers.GPT2LMHeadModel(config), 0.5)


def test_plan_refuses_packed_models():
    model = tiny_model()
    down = model.model.layers[0].mlp.down_proj
    model.model.layers[0].mlp.down_proj = PackedLinear.from_linear(down, "bitmap")
    with pytest.raises(ValueError, match="the model is packed; prune the one it was made from"):
        plan_pruning(model, 0.5)


def test_plan_refuses_shared_weights():
    model = tiny_model()
    first, second = (layer.mlp for layer in model.model.layers)
    second.up_proj.weight = first.up_proj.weight
    with pytest.raises(ValueError, match=r"'model.layers.0.mlp.up_proj' and .* share"):
        plan_pruning(model, 0.5)
    plan_pruning(model, 0.5, skip=["*.up_proj"])


# Methods


@pytest.mark.parametrize("sparsity", [0, 0.3, 0.5, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_smallest_moduli_of_all(sparsity, dtype):
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(shape, generator=generator).to(dtype) for shape in ((7, 9), (4, 5))]
    before = torch.cat([weight.flatten() for weight in weights])
    zero_smallest(weights, sparsity)
    after = torch.cat([weight.flatten() for weight in weights])
    gone = after == 0
    assert gone.sum() == round(sparsity * 83)
    assert torch.equal(after[~gone], before[~gone])
    if 0 < sparsity < 1:
        assert before[gone].abs().max() <= before[~gone].abs().min()


def test_equal_moduli_give_exactly_the_share():
    weights = [torch.ones(3, 4), -torch.ones(5, 2)]
    zero_smallest(weights, 0.6)
    assert [int((weight == 0).sum()) for weight in weights] == [12, 1]
    rows = torch.ones(3, 10)
    zero_lowest_of_rows(rows, rows.abs(), 0.3)
    assert (rows == 0).sum(1).tolist() == [3, 3, 3]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("architecture", sorted(CONFIGS))
def test_every_method_reaches_the_sparsity(method, architecture):
    model = tiny_model(architecture)
    plan = plan_pruning(model, 0.5)
    targets = {f"{target.name}.weight" for target in plan}
    before = weights_of(model)
    windows = tiny_windows() if method in CALIBRATED else None
    seen = []
    reports = prune_model(
        model, plan, method, windows, progress=lambda done, total: seen.append((done, total))
    )
    assert seen[-1] == (2, 2)
    assert len(reports) == len(targets)
    assert np.mean([report.density for report in reports]) == pytest.approx(0.5, abs=0.02)
    if method != "magnitude-global":
        assert all(report.density == pytest.approx(0.5, abs=0.01) for report in reports)
    for name, weight in model.state_dict().items():
        kept = weight != 0 if name in targets else torch.ones_like(weight, dtype=torch.bool)
        if method != "sparsegpt" or name not in targets:
            assert torch.equal(weight[kept], before[name][kept]), name


def test_wanda_scores_are_those_of_the_pruned_model():
    """The second block is pruned by its inputs after the first was."""
    model = tiny_model()
    dense = weights_of(model)
    plan = plan_pruning(model, 0.5)
    windows = tiny_windows()
    prune_model(model, plan, "wanda", windows)
    layer = model.model.layers[1].mlp.down_proj
    pruned = layer.weight.detach().clone()
    inputs = []
    # down_proj's inputs while the second block was not pruned yet.
    for name, weight in model.named_parameters():
        if name.startswith("model.layers.1."):
            weight.data.copy_(dense[name])
    layer.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0]))
    with torch.no_grad():
        for window in windows.split(1):
            model(window)
    norms = torch.cat([x.reshape(-1, x.shape[-1]) for x in inputs]).norm(dim=0)
    scores = dense["model.layers.1.mlp.down_proj.weight"].abs() * norms
    for row, score in zip(pruned, scores, strict=True):
        assert score[row == 0].max() <= score[row != 0].min() * (1 + 1e-5)


def test_sparsegpt_loses_less_than_wanda_than_magnitude():
    """On correlated inputs whose features differ in size."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(48, 160, generator=generator)
    sizes = torch.logspace(-1, 1, 160)[torch.randperm(160, generator=generator)]
    mixing = torch.randn(160, 160, generator=generator) * sizes
    inputs = torch.randn(2000, 160, generator=generator) @ mixing
    pruned = {name: weight.clone() for name in ("magnitude", "wanda", "sparsegpt")}
    zero_smallest([pruned["magnitude"]], 0.5)
    zero_lowest_of_rows(pruned["wanda"], weight.abs() * inputs.norm(dim=0), 0.5)
    prune_and_compensate(pruned["sparsegpt"], inputs.T @ inputs, 0.5)
    assert (pruned["sparsegpt"] == 0).float().mean() == pytest.approx(0.5, abs=1e-3)
    lost = {name: ((W - weight) @ inputs.T).norm().item() for name, W in pruned.items()}
    assert lost["sparsegpt"] < lost["wanda"] < lost["magnitude"]


def test_sparsegpt_drops_features_that_are_always_zero_for_free():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(8, 32, generator=generator)
    inputs = torch.randn(500, 32, generator=generator)
    inputs[:, 5::2] = 0
    pruned = weight.clone()
    prune_and_compensate(pruned, inputs.T @ inputs, 0.25)
    assert torch.isfinite(pruned).all()


# Interruptions and wrong input


@pytest.mark.parametrize("method", CALIBRATED)
def test_interrupted_runs_go_on(method, tmp_path):
    windows = tiny_windows()
    model = tiny_model()
    prune_model(model, plan_pruning(model, 0.5), method, windows)
    whole = weights_of(model)

    def interrupt(done, total):
        raise KeyboardInterrupt

    model = tiny_model()
    with pytest.raises(KeyboardInterrupt):
        prune_model(
            model, plan_pruning(model, 0.5), method, windows,
            unfinished=tmp_path, progress=interrupt,
        )  # fmt: skip
    assert (tmp_path / "block-00000.safetensors").exists()
    model = tiny_model()
    prune_model(model, plan_pruning(model, 0.5), method, windows, unfinished=tmp_path)
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, whole[name]), name

    model = tiny_model()
    (tmp_path / "block-00001.safetensors").write_bytes(b"torn")
    prune_model(model, plan_pruning(model, 0.5), method, windows, unfinished=tmp_path)
    assert torch.equal(model.model.layers[1].mlp.up_proj.weight, whole[
        "model.layers.1.mlp.up_proj.weight"
    ])  # fmt: skip
    model = tiny_model()
    with pytest.raises(ValueError, match="was begun with sparsity"):
        prune_model(model, plan_pruning(model, 0.6), method, windows, unfinished=tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b""])
def test_damaged_settings_of_a_run_are_named(content, tmp_path):
    (tmp_path / "settings.json").write_bytes(content)
    model = tiny_model()
    with pytest.raises(ValueError, match=r"settings\.json is damaged; remove .* to begin anew$"):
        prune_model(model, plan_pruning(model, 0.5), "wanda", tiny_windows(), unfinished=tmp_path)


def test_wrong_input():
    model = tiny_model()
    plan = plan_pruning(model, 0.5)
    with pytest.raises(ValueError, match="method = 'random', expected one of magnitude"):
        prune_model(model, plan, "random")
    with pytest.raises(ValueError, match="'wanda' needs calibration windows"):
        prune_model(model, plan)
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match=r"layers.1.mlp.up_proj' are not all finite"):
        prune_model(model, plan, "magnitude")


def words(text, **_):
    return {"input_ids": [len(word) for word in text.split()]}


def test_windows_are_drawn_by_the_seed():
    text = " ".join("a" * n for n in range(1, 100))
    windows = calibration_windows(words, text, samples=5, length=7, seed=3)
    assert windows.shape == (5, 7)
    assert windows.dtype == torch.int64
    assert torch.equal(windows[:, 1:] - windows[:, :-1], torch.ones(5, 6, dtype=torch.int64))
    assert torch.equal(windows, calibration_windows(words, text, 5, 7, seed=3))
    assert not torch.equal(windows, calibration_windows(words, text, 5, 7, seed=4))
    whole = calibration_windows(words, text, 2, 99)
    assert whole.tolist() == [list(range(1, 100))] * 2


def test_windows_refuse_short_texts():
    with pytest.raises(ValueError, match="text is empty"):
        calibration_windows(words, " \n")
    with pytest.raises(ValueError, match="has 3 tokens, fewer than a window of 4"):
        calibration_windows(words, "one two three", 1, 4)
