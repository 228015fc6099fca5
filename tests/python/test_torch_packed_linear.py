# SPDX-License-Identifier: Apache-2.0
"""`PackedLinear` and `pack_linears`: states, casts, threads, memory that moves."""

import copy
import gc
import math
import pickle
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import gossamer
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gossamer import nn  # noqa: E402
from gossamer.arrays.torch import packed as torch_packed  # noqa: E402
from gossamer.cuda.packed import Parts  # noqa: E402
from packed_tensors import STORED, linear, operand, weight  # noqa: E402
from torch.nn.utils import parametrize, prune  # noqa: E402


def reloaded(packed, dtype):
    """A layer of other nonzeros that takes over the state."""
    other = torch.nn.Linear(70, 48, bias=packed.bias is not None)
    with torch.no_grad():
        other.weight[:, ::2] = 0
    twin = nn.PackedLinear.from_linear(other, packed.format, dtype)
    twin.load_state_dict(packed.state_dict())
    return twin


@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("bias", [True, False])
def test_packed_linear(dtype, bias):
    layer = linear(48, 70, bias=bias)
    packed = nn.PackedLinear.from_linear(layer, dtype=dtype)
    assert f"out_features=48, bias={bias}" in repr(packed)
    x = operand(2, 3, 70)
    expected = x @ packed.weight.T + (layer.bias if bias else 0)
    assert torch.equal(packed(x), expected)
    assert packed(x[0, 0]).shape == (48,)
    if dtype == "float32":
        torch.testing.assert_close(packed(x), layer(x))
    for twin in (copy.deepcopy(packed), reloaded(packed, dtype)):
        assert torch.equal(twin(x), expected)
        assert twin.values.data_ptr() != packed.values.data_ptr()


@pytest.mark.parametrize("kind", [nn.PackedLinear, nn.SparseLinear])
def test_layers_say_what_they_take(kind):
    layer = kind.from_linear(linear(48, 70))
    for x, message in (
        (np.ones(70), r"x is a ndarray; use torch.as_tensor"),
        ([1.0] * 70, r"x is a list"),
        (torch.ones(70, dtype=torch.int64), r"x has dtype torch.int64; convert it"),
    ):
        with pytest.raises(TypeError, match=message):
            layer(x)


def test_a_cast_that_packed_values_lack_leaves_the_layer():
    layer, x = nn.PackedLinear.from_linear(linear(48, 70)), operand(70)
    y = layer(x)
    with pytest.raises(TypeError, match=r"use float32, .* This layer stays as it was, of float32"):
        layer.double()
    assert torch.equal(layer(x), y)


def test_a_compiled_layer_pickles():
    layer = nn.PackedLinear.from_linear(linear(48, 70))
    layer.compile()
    x = operand(70)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer.forward(x))


def play_a_gpu(monkeypatch, matrix, product):
    """Let layers make a matrix and products of this kind where `product_on_a_gpu` is asked for."""
    monkeypatch.setattr(sys.modules[nn.PackedLinear.__module__], "new_device_matrix", matrix)
    monkeypatch.setattr(torch_packed, "device_product", product)


def product_on_a_gpu(layer, x):
    return torch_packed.fixed_product(x, layer._on_device(), False, True)


def test_threads_that_make_the_first_product_share_one_matrix(monkeypatch):
    """On a GPU a layer gives its packed arrays up meanwhile; the engine there is stood in for."""
    layer, x = nn.PackedLinear.from_linear(linear(48, 70)), operand(70)
    threads, made = 4, []
    together = threading.Barrier(threads, timeout=10)

    class Matrix:
        nbytes, scales = 0, None

        def __init__(self, parts, *_):
            self.stand_in = Parts(*[part if part is None else part[:0] for part in parts[:4]])
            made.append(self)
            time.sleep(0.01)  # for the others to come in

        def drop_packed(self):
            time.sleep(0.01)
            return True

    def product(matrix, *_):
        together.wait()
        return matrix

    play_a_gpu(monkeypatch, Matrix, product)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(2):
            used = set(pool.map(lambda x: product_on_a_gpu(layer, x), [x] * threads))
            assert used == set(made[:1]) == {layer._laid_out}
    assert len(made) == 1


@pytest.mark.parametrize(
    ("drops", "part"), [(False, "values"), (False, "scales"), (True, "scales")]
)
def test_on_a_gpu_a_layer_watches_what_its_gradient_reads(monkeypatch, drops, part):
    """The engine there is stood in for; it keeps the packed arrays, or the layer gives them up."""

    class Matrix:
        def __init__(self, parts, *_):
            self.scales = parts[3]
            self.stand_in = Parts(*[part[:0] for part in parts[:3]], self.scales)

        def drop_packed(self):
            return drops

    play_a_gpu(monkeypatch, Matrix, lambda matrix, x, *_: x[:48].clone())
    layer = nn.PackedLinear.from_linear(linear(48, 70), dtype="int8")
    y = product_on_a_gpu(layer, operand(70).requires_grad_())
    assert (layer._laid_out is not None) == drops
    getattr(layer, part).mul_(2)
    with pytest.raises(RuntimeError, match="written to after a product"):
        y.sum().backward()


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("change", ["another state", "the same state", "a cast", "other values"])
def test_on_a_gpu_a_layer_keeps_what_a_graph_walks(monkeypatch, captured, change):
    """The engine there is stood in for."""

    class Matrix:
        nbytes, scales, graph = 0, None, []

        def __init__(self, parts, *_):
            self.stand_in = Parts(*[part[:0] for part in parts[:3]], None)

        def drop_packed(self):
            return False

        def leave_to_graphs(self, owner):
            self.graph += [owner] * captured
            return captured

    play_a_gpu(monkeypatch, Matrix, lambda matrix, x, *_: x[:48].clone())
    layer = nn.PackedLinear.from_linear(linear(48, 70), "bitmap")
    product_on_a_gpu(layer, operand(70))
    before = [weakref.ref(layer._matrix[0].matrix), weakref.ref(layer.positions)]
    if change == "another state":
        other = torch.nn.Linear(70, 48)
        prune.l1_unstructured(other, "weight", 0.8)
        other = nn.PackedLinear(gossamer.compress(other.weight.detach(), "bitmap"), other.bias)
        layer.load_state_dict(other.state_dict())
    elif change == "the same state":
        layer.load_state_dict(layer.state_dict())
    elif change == "a cast":
        layer.half()
    else:
        layer.values = 2 * layer.values
        product_on_a_gpu(layer, operand(70))
    gc.collect()
    assert (before[0]() is not None) == captured
    if captured:
        assert before[1]() is not None


def test_casts_leave_scales_and_bytes_alone():
    layer = linear(48, 70)
    for dtype in ("int8", "float8_e4m3"):
        packed = nn.PackedLinear.from_linear(layer, dtype=dtype)
        values, scales = packed.values.clone(), packed.scales.clone()
        packed.half()
        assert torch.equal(packed.values, values)
        assert torch.equal(packed.scales, scales)
        assert packed.bias.dtype is torch.float16
    half = nn.PackedLinear.from_linear(layer).half()
    assert half.weight.dtype is torch.float16
    assert half(operand(70, dtype=torch.float16)).dtype is torch.float16


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_all_parts_are_moved(dtype):
    packed = nn.PackedLinear.from_linear(linear(48, 70), dtype=dtype)
    packed.share_memory()
    assert all(part.is_shared() for part in packed.buffers())
    empty = copy.deepcopy(packed).to("meta").to_empty(device="cpu")
    empty.load_state_dict(packed.state_dict())
    x = operand(70)
    assert torch.equal(empty(x), packed(x))


def test_a_wrong_state_is_refused():
    packed = nn.PackedLinear.from_linear(linear(48, 70))
    for name, change, message in (
        ("row_offsets", lambda x: x.flip(0), "values has rank 1|row_offsets"),
        ("values", lambda x: x[1:], "values has rank 1"),
        ("positions", lambda x: torch.full_like(x, 255), "column|bits set"),
        ("values", lambda x: x.double(), "expected one of"),
    ):
        state = packed.state_dict()
        state[name] = change(state[name])
        with pytest.raises(RuntimeError, match=message):
            packed.load_state_dict(state)
    state = packed.state_dict()
    del state["positions"]
    with pytest.raises(RuntimeError, match=r"Missing key.*positions"):
        packed.load_state_dict(state)


@pytest.mark.parametrize("kind", [nn.PackedLinear, nn.SparseLinear])
def test_a_state_of_another_shape_names_the_layer(kind):
    model, other = (torch.nn.Sequential(kind.from_linear(linear(n, 70))) for n in (48, 24))
    said = rf"0: {kind.__name__} of shape \(48, 70\): .* 25 elements.* 49"
    with pytest.raises(RuntimeError, match=said):
        model.load_state_dict(other.state_dict())
    with pytest.raises(RuntimeError, match=rf"\s{kind.__name__} of shape"):
        model[0].load_state_dict(other[0].state_dict())


def test_a_dense_weight_is_packed_as_that_of_a_layer():
    dense, x = linear(48, 70), operand(70)
    expected = nn.PackedLinear.from_linear(dense, "gap8", "bfloat16", 0.1)
    layer = nn.PackedLinear.from_dense(dense.weight, dense.bias, "gap8", "bfloat16", 0.1)
    assert repr(layer) == repr(expected)
    assert torch.equal(layer(x), expected(x))
    with pytest.raises(TypeError, match=r"from_dense: weight is Linear.*PackedLinear.from_linear"):
        nn.PackedLinear.from_dense(dense)


def test_parts_of_the_weight_cannot_be_deleted():
    packed = nn.PackedLinear.from_linear(linear(48, 70), dtype="int8")
    before = packed(operand(70))
    for name in ("values", "positions", "row_offsets", "scales"):
        with pytest.raises(AttributeError, match=f"PackedLinear: {name} is a part of the weight"):
            delattr(packed, name)
    assert torch.equal(packed(operand(70)), before)
    packed.register_buffer("other", torch.ones(1))
    del packed.other
    assert not hasattr(packed, "other")


def test_linear_layers_of_doubles_are_packed_where_a_dtype_is_asked_for():
    model = torch.nn.Sequential(linear(48, 70).double())
    with pytest.raises(TypeError, match=r"0\.weight has dtype float64"):
        nn.pack_linears(model)
    assert nn.pack_linears(model, dtype="float32") == ["0"]
    assert model[0].values.dtype is torch.float32


@pytest.mark.parametrize(
    ("source", "factor", "dtype", "said"),
    [
        (torch.float64, 1e300, "float32", "is out of range for float32"),
        (torch.float64, 1e300, "int8", "is out of range for float32"),
        (torch.float32, 1e30, "float16", "is out of range for float16"),
        (torch.float64, 1e30, "float16", "is out of range for float16"),
        (torch.float32, math.nan, "int8", "infinite or NaN"),
    ],
)
def test_a_layer_that_the_dtype_does_not_hold_leaves_those_before_it(source, factor, dtype, said):
    model = torch.nn.Sequential(linear(48, 70), linear(70, 48).to(source))
    model[1].weight.data *= factor
    with pytest.raises(ValueError, match=f"pack_linears: 1: .*{said}"):
        nn.pack_linears(model, dtype=dtype)
    assert all(type(layer) is torch.nn.Linear for layer in model)


def test_layers_of_float8_are_packed_in_8_bits():
    model = torch.nn.Sequential(linear(48, 70))
    model[0].weight = torch.nn.Parameter(model[0].weight.to(torch.float8_e5m2), requires_grad=False)
    assert nn.pack_linears(model, dtype="int8") == ["0"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_parts_of_another_weight_come_together_or_not_at_all(dtype):
    packed = nn.PackedLinear.from_linear(linear(48, 70), "bitmap", dtype)
    x = operand(70)
    before = packed(x)
    other = nn.PackedLinear.from_linear(linear(48, 70), "bitmap").state_dict()
    other["values"] = other["values"] + 1
    if dtype is torch.float32:
        del other["positions"]
    for strict in (True, False):
        with pytest.raises(RuntimeError, match="missing beside the rest"):
            packed.load_state_dict(other, strict=strict)
        assert torch.equal(packed(x), before)
    packed.load_state_dict({"bias": packed.bias + 1}, strict=False)
    torch.testing.assert_close(packed(x), before + 1)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [(nn.PackedLinear, "pack_linears"), (nn.SparseLinear, "SparseLinear.from_linear")],
)
def test_a_dense_state_is_left_out_with_the_way_to_load_it(kind, advice):
    dense = torch.nn.Sequential(linear(48, 70))
    model = torch.nn.Sequential(kind.from_linear(linear(48, 70)))
    values = model[0].values.clone()
    said = pytest.warns(UserWarning, match=rf"no dense weight .* dense model, .*{advice}")
    with said, pytest.raises(RuntimeError, match=r"Unexpected key.*0\.weight"):
        model.load_state_dict(dense.state_dict())
    with said:
        keys = model.load_state_dict(dense.state_dict(), strict=False)
    assert keys.unexpected_keys == ["0.weight"]
    assert "0.values" in keys.missing_keys
    assert torch.equal(model[0].values, values)


@pytest.mark.parametrize("kind", [nn.PackedLinear, nn.SparseLinear])
@pytest.mark.parametrize("part", [None, [1.0, 2.0]])
def test_parts_of_a_state_that_are_no_tensors_are_named(kind, part):
    layer = kind.from_linear(linear(48, 70))
    before = copy.deepcopy(layer.state_dict())
    bias = before.pop("bias")
    for name in before:
        said = rf"{name} is a {type(part).__name__}, expected a tensor"
        with pytest.raises(RuntimeError, match=said):
            layer.load_state_dict({**before, "bias": bias, name: part})
    for name, kept in before.items():
        assert torch.equal(layer.state_dict()[name], kept)


def test_autocast_gives_its_dtype():
    packed = nn.PackedLinear.from_linear(linear(48, 70))
    with torch.autocast("cpu", torch.bfloat16):
        assert packed(operand(3, 70)).dtype is torch.bfloat16


def test_layer_compiles_without_a_graph_break():
    packed, x = nn.PackedLinear.from_linear(linear(48, 70)), operand(3, 70)
    assert torch.equal(torch.compile(packed, fullgraph=True)(x), packed(x))


def test_pack_linears():
    tied = torch.nn.Embedding(48, 70)
    model = torch.nn.ModuleDict(
        {
            "first": torch.nn.Sequential(linear(48, 70), torch.nn.ReLU()),
            "full": torch.nn.Linear(48, 48),
            "skipped": linear(48, 48),
            "embedding": tied,
            "head": torch.nn.Linear(70, 48, bias=False),
        }
    )
    model["head"].weight = tied.weight
    before = model["first"](operand(2, 70))
    names = nn.pack_linears(model, skip=lambda name, layer: name == "skipped")
    assert names == ["first.0"]
    assert isinstance(model["first"][0], nn.PackedLinear)
    assert type(model["full"]) is type(model["skipped"]) is type(model["head"]) is torch.nn.Linear
    torch.testing.assert_close(model["first"](operand(2, 70)), before)
    assert nn.pack_linears(model, min_gain=3) == []
    with pytest.raises(TypeError, match=r"model is a linear layer, .* PackedLinear.from_linear"):
        nn.pack_linears(torch.nn.Linear(4, 4))


def hooked(how, layer):
    if how in ("l1_unstructured", "bias"):
        name = "bias" if how == "bias" else "weight"
        prune.l1_unstructured(layer, name, 0.7)
    else:
        getattr(torch.nn.utils, how)(layer)
    return layer


@pytest.mark.parametrize("how", ["l1_unstructured", "bias", "weight_norm", "spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_pack_linears_refuses_weights_that_a_hook_computes(how):
    model = torch.nn.Sequential(linear(48, 48), hooked(how, linear(48, 48)))
    part = "bias" if how == "bias" else "weight"
    with pytest.raises(ValueError, match=rf"1\.{part} is computed by a hook.*prune\.remove\("):
        nn.pack_linears(model)
    assert all(type(layer) is torch.nn.Linear for layer in model)
    assert nn.pack_linears(model, skip=lambda name, layer: name == "1") == ["0"]
    if how in ("l1_unstructured", "bias"):
        x = operand(3, 48)
        expected = model(x)
        prune.remove(model[1], part)
        assert nn.pack_linears(model) == ["1"]
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("second", "error", "message"),
    [
        (torch.nn.Linear(48, 48).double(), TypeError, r"1\.weight has dtype float64"),
        (torch.nn.Linear(48, 48, device="meta"), ValueError, r"1\.weight is on the meta device"),
    ],
)
def test_pack_linears_looks_at_all_layers_first(second, error, message):
    model = torch.nn.Sequential(linear(48, 48), second)
    with pytest.raises(error, match=message):
        nn.pack_linears(model)
    assert all(type(layer) is torch.nn.Linear for layer in model)


def test_pack_linears_names_the_layer_with_wrong_values():
    model = torch.nn.Sequential(linear(48, 48), linear(48, 48))
    with torch.no_grad():
        model[1].weight[3, 4] = float("nan")
    for dtype in ("int8", torch.int8, "fp8", torch.float8_e4m3fn):
        with pytest.raises(ValueError, match=r"pack_linears: 1: weight holds an infinite or NaN"):
            nn.pack_linears(model, dtype=dtype)
        assert all(type(layer) is torch.nn.Linear for layer in model)


@pytest.mark.parametrize("part", ["weight", "bias"])
def test_pack_linears_refuses_weights_that_a_parametrization_computes(part):
    model = torch.nn.Sequential(linear(48, 48), linear(48, 48))
    parametrize.register_parametrization(model[1], part, torch.nn.Identity())
    with pytest.raises(ValueError, match=rf"1\.{part} is computed by a p.*remove_parametrizations"):
        nn.pack_linears(model)
    assert type(model[0]) is torch.nn.Linear
    assert nn.pack_linears(model, skip=lambda name, layer: name == "1") == ["0"]
    parametrize.remove_parametrizations(model[1], part)
    assert nn.pack_linears(model) == ["1"]


def test_pack_linears_replaces_a_layer_under_all_its_names():
    layer = linear(48, 48)
    model = torch.nn.ModuleDict({"a": torch.nn.Sequential(layer), "b": layer})
    assert nn.pack_linears(model) == ["a.0"]
    assert isinstance(model["b"], nn.PackedLinear)
    assert model["a"][0] is model["b"]


def test_pack_linears_keeps_hooks_and_their_handles():
    model = torch.nn.Sequential(linear(48, 48))
    x = operand(3, 48)
    plain = model(x)
    after = model[0].register_forward_hook(lambda layer, inputs, y: 2 * y)
    before = model[0].register_forward_pre_hook(lambda layer, inputs: (3 * inputs[0],))
    expected = model(x)
    assert nn.pack_linears(model) == ["0"]
    torch.testing.assert_close(model(x), expected)
    after.remove()
    before.remove()
    torch.testing.assert_close(model(x), plain)


def test_pack_linears_says_what_it_takes():
    with pytest.raises(TypeError, match=r"model is a str, .* gossamer\.hf\.load_model\("):
        nn.pack_linears("model")


def test_packed_linear_refuses_what_it_cannot_hold():
    P = gossamer.compress(weight())
    with pytest.raises(TypeError, match=r"a PackedArray over tensors.* PackedLinear.from_linear"):
        nn.PackedLinear(gossamer.compress(weight().numpy()))
    with pytest.raises(ValueError, match=r"transposed view"):
        nn.PackedLinear(P.T)
    with pytest.raises(ValueError, match=r"bias has shape \(47,\), expected \(48,\)"):
        nn.PackedLinear(P, torch.zeros(47))
    with pytest.raises(ValueError, match=r"x has shape \(3, 71\), expected \(..., 70\)"):
        nn.PackedLinear(P)(operand(3, 71))


@pytest.mark.parametrize("part", ["values", "positions", "row_offsets", "scales"])
def test_a_write_between_product_and_gradient_is_an_error(part):
    x = operand(70).requires_grad_()
    P = gossamer.compress(weight(), "bitmap", "int8")
    layer = nn.PackedLinear(gossamer.compress(weight(), "bitmap", "int8"))
    for product, written in ((P @ x, P._storage.parts()[part]), (layer(x), getattr(layer, part))):
        written.mul_(2)
        with pytest.raises(RuntimeError, match="written to after a product"):
            product.sum().backward()


def test_memory_that_moves_under_a_tensor_is_followed():
    W, x = weight(), operand(70)
    P, layer = gossamer.compress(W, "bitmap"), nn.PackedLinear(gossamer.compress(W, "bitmap"))
    for values, product in ((P.data, lambda: P @ x), (layer.values, lambda: layer(x))):
        torch.testing.assert_close(product(), W @ x)
        values.data = 3 * values
        torch.testing.assert_close(product(), 3 * W @ x)
    storages = P._storage, layer._matrix[0]
    before = [storage.host for storage in storages]
    layer.share_memory()
    for part in P._storage.parts().values():
        part.share_memory_()
    for product in (lambda: P @ x, lambda: layer(x)):
        torch.testing.assert_close(product(), 3 * W @ x)
    after = P._storage.host, layer._matrix[0].host
    assert all(new is not old for new, old in zip(after, before, strict=True))


def test_a_layer_that_moved_keeps_nothing_of_before():
    layer = nn.PackedLinear.from_linear(linear(48, 70))
    layer(operand(70))
    before = weakref.ref(layer.values)
    layer.half()
    gc.collect()
    assert before() is None


def test_a_layer_takes_strided_values_and_a_bias_of_more_axes():
    W, x = weight(), operand(70)
    layer = nn.PackedLinear(gossamer.compress(W, "bitmap"), torch.zeros(48))
    strided = torch.stack([3 * layer.values, layer.values], 1)[:, 0]
    y = torch.func.functional_call(layer, {"values": strided}, (x,))
    torch.testing.assert_close(y, 3 * W @ x)
    bias = operand(3, 48)
    torch.testing.assert_close(
        torch.func.functional_call(layer, {"bias": bias}, (x,)), W @ x + bias
    )


@pytest.mark.parametrize(
    "replaced", [("scales",), ("values", "positions", "row_offsets", "scales")]
)
def test_buffers_that_stand_in_for_one_call_leave_the_layer_as_it_was(replaced):
    layer, x = nn.PackedLinear(gossamer.compress(weight(), "bitmap", "int8")), operand(70)
    other = nn.PackedLinear(gossamer.compress(weight(), "bitmap", "int8"))
    other.scales.mul_(3)
    buffers = {name: getattr(other, name) for name in replaced}
    expected = layer(x)
    made = layer._matrix
    torch.testing.assert_close(torch.func.functional_call(layer, buffers, (x,)), 3 * expected)
    assert layer._matrix is made
    assert torch.equal(layer(x), expected)


def test_a_product_waits_while_buffers_are_exchanged():
    from gossamer.nn.packed_linear import _exchange

    x = operand(70)
    layer, other = (nn.PackedLinear(gossamer.compress(k * weight(), "bitmap")) for k in (1, 3))
    before, after = layer(x), other(x)
    assert not torch.equal(before, after)
    with ThreadPoolExecutor(1) as pool:
        with _exchange:
            layer._matrix = other._matrix
            found = pool.submit(layer, x)
            time.sleep(0.1)
            layer._buffers = other._buffers
        assert torch.equal(found.result(), after)


@pytest.mark.parametrize("replaced", ["values", "positions", "row_offsets", "scales"])
def test_a_layer_forgets_the_buffers_of_a_first_product(replaced):
    W, x = weight(), operand(70)
    layer = nn.PackedLinear(gossamer.compress(W, "bitmap", "int8"))
    expected = nn.PackedLinear(layer.weight)(x)
    other = nn.PackedLinear(gossamer.compress(W.roll(1, 1), "bitmap", "int8"))
    buffers = {replaced: getattr(other, replaced).clone()}
    for _ in range(3):
        torch.func.functional_call(layer, buffers, (x,))
    for _ in range(3):
        assert torch.equal(layer(x), expected)
    assert _ran_by_what_is_kept(layer, x)


def test_parts_given_for_good_are_multiplied_by_what_is_kept_for_them():
    W, x = weight(), operand(70)
    layer = nn.PackedLinear(gossamer.compress(W, "bitmap"))
    layer(x)
    layer.values = 3 * layer.values
    for _ in range(3):
        torch.testing.assert_close(layer(x), 3 * W @ x)
    assert _ran_by_what_is_kept(layer, x)


def _ran_by_what_is_kept(layer, x):
    made = layer._matrix
    layer(x)
    return layer._matrix is made and all(
        part is getattr(layer, name) for name, part in made[1]._asdict().items()
    )


def test_a_layer_takes_buffers_of_its_user():
    W, x = weight(), operand(70)
    layer = nn.PackedLinear(gossamer.compress(W, "bitmap"))
    layer.register_buffer("steps", torch.ones(3))
    expected = W @ x
    torch.testing.assert_close(layer(x), expected)
    assert layer.nbytes == layer.weight.nbytes
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(x), expected)
        assert torch.equal(twin.steps, layer.steps)
    other = nn.PackedLinear(gossamer.compress(torch.zeros_like(W), "bitmap"))
    other.register_buffer("steps", torch.zeros(3))
    other.load_state_dict(layer.state_dict())
    torch.testing.assert_close(other(x), expected)
    assert torch.equal(other.steps, layer.steps)
    assert layer.half().steps.dtype is torch.float16
