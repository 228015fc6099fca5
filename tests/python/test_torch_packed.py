# SPDX-License-Identifier: Apache-2.0
"""Packed arrays over tensors: products, gradients, layers, compilation, MACKO's interface."""

import copy
import gc
import pickle
import symtable
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import gossamer
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gossamer import macko, nn  # noqa: E402
from gossamer.cuda.packed import Parts  # noqa: E402

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
STORED = ("float32", "float16", "bfloat16", "int8", "float8_e4m3")


def weight(rows=48, cols=70, dtype=torch.float32, density=0.4):
    generator = torch.Generator().manual_seed(rows + cols)
    W = torch.randn(rows, cols, generator=generator)
    return W.mul_(torch.rand(rows, cols, generator=generator) < density).to(dtype)


def linear(*shape, bias=True):
    layer = torch.nn.Linear(*shape[::-1], bias=bias)
    with torch.no_grad():
        layer.weight.copy_(weight(*shape))
    return layer


def operand(*shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).to(dtype)


@pytest.mark.parametrize("x_dtype", DTYPES, ids=str)
@pytest.mark.parametrize("dtype", STORED)
@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8"])
def test_products_have_the_bits_of_numpy(format, dtype, x_dtype):
    W = weight()
    P, N = gossamer.compress(W, format, dtype), gossamer.compress(W.numpy(), format, dtype)
    assert all(isinstance(part, torch.Tensor) for part in P._storage.parts().values())
    for shape in ((70,), (70, 5), (2, 1, 70, 3)):
        x = operand(*shape, dtype=x_dtype)
        host = gossamer.arrays.adapter_of(x).tonumpy(x)
        y, expected = P @ x, N @ host
        assert y.shape == expected.shape
        assert str(y.dtype) == f"torch.{expected.dtype}"
        np.testing.assert_array_equal(y.float().numpy(), expected.astype(np.float32))
    for shape in ((48,), (5, 48), (2, 1, 3, 48)):
        x = operand(*shape, dtype=x_dtype)
        host = gossamer.arrays.adapter_of(x).tonumpy(x)
        np.testing.assert_array_equal((x @ P).float().numpy(), (host @ N).astype(np.float32))
    assert torch.equal(P.decompress("float32"), torch.from_numpy(N.decompress("float32")))


def test_values_are_shared_and_results_of_every_layout():
    P = gossamer.compress(weight())
    assert torch.equal(P.tocsr().todense(), weight())
    assert "dtype=torch.float32" in repr(P)
    X = operand(70, 6)
    expected = P @ X
    for layout in (X.T.contiguous().T, X.repeat_interleave(2, 0)[::2], X.flip(0).flip(0)):
        assert torch.equal(P @ layout, expected)
    assert torch.equal(P @ X[(None,) * 7], expected[(None,) * 7])  # nine axes
    assert torch.equal(P @ torch.complex(X, X).conj().imag, -expected)  # a lazy negation


@pytest.mark.parametrize("shape", [(70,), (70, 4), (2, 70, 4)])
def test_gradient_by_the_operand(shape):
    W, x = weight(), operand(*shape).requires_grad_()
    g = operand(*shape[:-2], 48, *shape[-1:]) if len(shape) > 1 else operand(48)
    (by_packed,) = torch.autograd.grad(gossamer.compress(W) @ x, x, g)
    (by_dense,) = torch.autograd.grad(W @ x, x, g)
    torch.testing.assert_close(by_packed, by_dense)


def test_forward_mode_and_second_order():
    P, x = gossamer.compress(weight()), operand(70)
    torch.testing.assert_close(torch.func.jvp(lambda x: P @ x, (x,), (x,))[1], P @ x)
    hessian = torch.func.hessian(lambda x: (P @ x).square().sum())(x)
    torch.testing.assert_close(hessian, 2 * weight().T @ weight(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("source", ["dense", "sparse"])
@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8", "dense"])
def test_compress_carries_the_gradient(format, source):
    W, x = weight().requires_grad_(), operand(70, 3)
    given = gossamer.fromdense(W) if source == "sparse" else W
    P = gossamer.compress(given, format, threshold=0.5)
    plain = gossamer.compress(weight(), format, threshold=0.5)
    assert torch.equal(P.data, plain.data)
    kept = W.abs() > 0.5
    for result, expected in (
        (P @ x, (W * kept) @ x),
        (P.decompress(), W * kept),
        (P.tocsr().data, W[kept]),
    ):
        torch.testing.assert_close(result, expected)
        (got,) = torch.autograd.grad(result.square().sum(), W, retain_graph=True)
        (by_dense,) = torch.autograd.grad(expected.square().sum(), W)
        torch.testing.assert_close(got, by_dense)
    assert not gossamer.compress(W.detach(), format).data.requires_grad


@pytest.mark.parametrize("format", ["gap4", "gap8"])
def test_gradients_reach_values_that_are_rounded_to_zero(format):
    W = torch.zeros(2, 600)
    gap = {"gap4": 15, "gap8": 255}[format]
    W[0, gap], W[0, gap + 1], W[1, 3] = 1e-10, 2.0, 3.0  # behind the largest gap, as a filler is
    W.requires_grad_()
    (gossamer.compress(W, format, "float16") @ torch.ones(600)).sum().backward()
    assert torch.equal(W.grad, (W != 0).float())


def test_values_of_8_bits_have_no_gradient_and_say_so():
    with pytest.raises(TypeError, match=r"rounded to int8; pack W.detach\(\), or as float32"):
        gossamer.compress(weight().requires_grad_(), dtype="int8")
    packed = nn.PackedLinear.from_linear(linear(48, 70), dtype="int8")
    packed.scales.requires_grad_()
    with pytest.raises(RuntimeError, match=r"scales of a packed matrix are fixed"):
        packed(operand(70)).sum().backward()


@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8"])
def test_second_order_by_values_and_operand(format):
    W, X = weight().double().requires_grad_(), operand(70, 3).double().requires_grad_()
    P, x = gossamer.compress(weight(), format), operand(70, 3).requires_grad_()
    values = P.data.clone().requires_grad_()
    loss = lambda y: y.pow(3).sum()  # noqa: E731
    by_packed = torch.autograd.grad(loss(P.with_data(values) @ x), (values, x), create_graph=True)
    by_dense = torch.autograd.grad(loss((W * (W != 0)) @ X), (W, X), create_graph=True)
    second = torch.autograd.grad(sum(g.square().sum() for g in by_packed), (values, x))
    expected = torch.autograd.grad(sum(g.square().sum() for g in by_dense), (W, X))
    for got, exact in zip((P.with_data(second[0]).decompress(), second[1]), expected, strict=True):
        assert (got - exact).abs().max() < 1e-5 * exact.abs().max()


def test_values_of_any_layout_are_taken():
    P, x = gossamer.compress(weight(), "gap8"), operand(70)
    strided = torch.stack([P.data, P.data], 1)[:, 0]
    assert torch.equal(P.with_data(strided) @ x, P @ x)


def test_vmap_over_the_values():
    P, x = gossamer.compress(weight(), "gap8"), operand(70)
    many = torch.stack([P.data, 2 * P.data, -P.data])
    mapped = torch.vmap(lambda v: P.with_data(v) @ x)(many)
    torch.testing.assert_close(mapped, torch.stack([P @ x, 2 * (P @ x), -(P @ x)]))


def test_training_compiles_without_a_graph_break():
    P, x = gossamer.compress(weight(), "gap4"), operand(70, 3)
    step = torch.compile(lambda v: (P.with_data(v) @ x).square().sum(), fullgraph=True)
    values, twin = (P.data.clone().requires_grad_() for _ in range(2))
    step(values).backward()
    (P.with_data(twin) @ x).square().sum().backward()
    torch.testing.assert_close(values.grad, twin.grad)


def test_what_is_compiled_for_one_matrix_is_not_run_for_another():
    first, second = torch.zeros(2, 8, 40)
    first[:, [0, 30]] = second[:, [16, 30]] = 1  # in gap4 both have a filler, in another slot
    step = torch.compile(lambda P, v: P.with_data(v) @ torch.ones(40), fullgraph=True)
    for W in (first, second, first):
        P = gossamer.compress(W, "gap4")
        v = torch.arange(1.0, 1 + len(P.data))
        expected = P.with_data(v) @ torch.ones(40)
        assert torch.equal(step(P, v), expected)


def test_vmap_over_the_operand():
    P, x = gossamer.compress(weight()), operand(3, 5, 70)
    expected = x @ P.T
    mapped = torch.vmap(torch.vmap(lambda row: P @ row))(x)
    torch.testing.assert_close(mapped, expected)
    torch.testing.assert_close(torch.vmap(lambda X: X @ P.T, in_dims=2)(x.movedim(0, 2)), expected)


def test_registration_passes_opcheck():
    P = gossamer.compress(weight(), dtype="int8")
    parts = P._storage.parts().values()
    for x, transpose, swapped in (
        (operand(70), False, False),
        (operand(3, 70).requires_grad_(), False, True),
        (operand(2, 48, 3), True, False),
    ):
        arguments = (*parts, x, P.format, *P.shape, transpose, swapped)
        torch.library.opcheck(torch.ops.gossamer.packed_matmul, arguments)
    P = gossamer.compress(weight())
    values, positions, row_offsets = P._storage.parts().values()
    values = values.clone().requires_grad_()
    arguments = (values, positions, row_offsets, None, operand(70), P.format, *P.shape)
    torch.library.opcheck(torch.ops.gossamer.packed_matmul, (*arguments, False, False))
    for u, v in ((operand(48), operand(70)), (operand(2, 48, 3), operand(2, 70, 3))):
        factors = u.requires_grad_(), v.requires_grad_()
        arguments = (*factors, positions, row_offsets, P.format, *P.shape, len(values))
        torch.library.opcheck(torch.ops.gossamer.packed_sddmm, arguments)


def test_products_compile_without_a_graph_break():
    P, x, X = gossamer.compress(weight(48, 48)), operand(48), operand(3, 48)
    for product in (lambda x: P @ x, lambda x: x @ P, lambda x: gossamer.multiply(P, x)):
        assert torch.equal(torch.compile(product, fullgraph=True)(x), product(x))
    compiled = torch.compile(lambda X: X @ P.T, fullgraph=True, dynamic=True)
    assert torch.equal(compiled(X), X @ P.T)
    assert torch.equal(compiled(X[:2]), X[:2] @ P.T)


def test_wrong_operands():
    P, N = gossamer.compress(weight()), gossamer.compress(weight().numpy())
    x = operand(70)
    with pytest.raises(TypeError, match=r"x has dtype float64, expected one of float32"):
        P @ x.double()
    with pytest.raises(TypeError, match=r"x is a numpy.ndarray and P holds torch tensors"):
        P @ x.numpy()
    with pytest.raises(TypeError, match=r"x is a torch.Tensor and P holds NumPy arrays"):
        N @ x
    with pytest.raises(ValueError, match=r"x has shape \(71,\), expected \(70,\)"):
        P @ operand(71)
    with pytest.raises(TypeError, match=r"layout torch.sparse_coo"):
        P @ x.to_sparse()
    with pytest.raises(ValueError, match=r"x is on meta and P on cpu; move one of them"):
        P @ x.to("meta")
    with pytest.raises(TypeError, match=r"W is a quantized tensor; call its dequantize"):
        gossamer.compress(torch.quantize_per_tensor(weight(), 0.1, 0, torch.qint8))
    with pytest.raises(TypeError, match=r"PyTorch's sin does not take a PackedArray; give it"):
        torch.sin(P)


# ---- layers --------------------------------------------------------------------------------------


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
    with pytest.raises(TypeError, match=r"torch.float64 values cannot be packed; use float32"):
        layer.double()
    assert torch.equal(layer(x), y)


def test_a_compiled_layer_pickles():
    layer = nn.PackedLinear.from_linear(linear(48, 70))
    layer.compile()
    x = operand(70)
    assert torch.equal(pickle.loads(pickle.dumps(layer))(x), layer.forward(x))


def reloaded(packed, dtype):
    """A layer of other nonzeros that takes over the state."""
    other = torch.nn.Linear(70, 48, bias=packed.bias is not None)
    with torch.no_grad():
        other.weight[:, ::2] = 0
    twin = nn.PackedLinear.from_linear(other, packed.format, dtype)
    twin.load_state_dict(packed.state_dict())
    return twin


def test_threads_that_make_the_first_product_share_one_matrix(monkeypatch):
    """On a GPU a layer gives its packed arrays up meanwhile; the engine there is stood in for."""
    layer, x = nn.PackedLinear.from_linear(linear(48, 70)), operand(70)
    threads, made = 4, []
    together = threading.Barrier(threads, timeout=10)

    class Matrix:
        nbytes = 0

        def __init__(self, *parts):
            self.stand_in = Parts(*[part if part is None else part[:0] for part in parts[:4]])
            made.append(self)
            time.sleep(0.01)  # for the others to come in

        def drop_packed(self):
            time.sleep(0.01)
            return True

    def product(matrix, x, *_, **options):
        together.wait()
        return matrix

    layers = sys.modules[nn.PackedLinear.__module__]
    monkeypatch.setattr(layers, "new_device_matrix", Matrix)
    monkeypatch.setattr(layers, "device_product", product)
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(2):
            used = set(pool.map(layer._product_on_device, [x] * threads))
            assert used == set(made[:1]) == {layer._laid_out}
    assert len(made) == 1


@pytest.mark.parametrize(
    ("drops", "part"), [(False, "values"), (False, "scales"), (True, "scales")]
)
def test_on_a_gpu_a_layer_watches_what_its_gradient_reads(monkeypatch, drops, part):
    """The engine there is stood in for; it keeps the packed arrays, or the layer gives them up."""

    class Matrix:
        def __init__(self, *parts):
            self.stand_in = Parts(*[part[:0] for part in parts[:3]], parts[3])

        def drop_packed(self):
            return drops

    layers = sys.modules[nn.PackedLinear.__module__]
    monkeypatch.setattr(layers, "new_device_matrix", Matrix)
    monkeypatch.setattr(layers, "device_product", lambda matrix, x, *_, **options: x[:48].clone())
    layer = nn.PackedLinear.from_linear(linear(48, 70), dtype="int8")
    y = layer._product_on_device(operand(70).requires_grad_())
    assert (layer._laid_out is not None) == drops
    getattr(layer, part).mul_(2)
    with pytest.raises(RuntimeError, match="written to after a product"):
        y.sum().backward()


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


# ---- MACKO's page --------------------------------------------------------------------------------


def test_macko_with_tensors():
    M = weight(192, 192, torch.float16)
    v = operand(192, dtype=torch.float16)
    compressed = macko.compress(M)
    assert [type(part) for part in compressed] == [torch.Tensor] * 3 + [int] * 2
    expected = gossamer.compress(M, "gap4") @ v
    assert torch.equal(macko.multiply(compressed, v), expected)
    compiled = torch.compile(macko.multiply, fullgraph=True)
    assert torch.equal(compiled(compressed, v), expected)
    broken = (*compressed[:2], compressed[2] + 1, *compressed[3:])
    with pytest.raises(ValueError, match=r"row_offsets"):
        macko.multiply(broken, v)


def test_a_compiler_may_read_the_parts_where_they_are():
    """CUDA graphs of PyTorch's compiler must not copy them: products know a matrix by its place."""
    backends = pytest.importorskip("torch._dynamo.backends.common")
    from torch._guards import TracingContext

    P, static = gossamer.compress(torch.eye(40), "bitmap"), []

    def backend(graph, inputs):
        metadata = TracingContext.get().fw_metadata
        static.extend((inputs[i].dtype, inputs[i].shape) for i in metadata.static_input_indices)
        return graph.forward

    compiled = torch.compile(
        lambda x: P @ x, backend=backends.aot_autograd(fw_compiler=backend), fullgraph=True
    )
    torch.testing.assert_close(compiled(torch.ones(40)), torch.ones(40))
    parts = P._storage.parts().values()
    assert sorted(static, key=str) == sorted(((x.dtype, x.shape) for x in parts), key=str)


def test_macko_parts_are_described_once_and_followed():
    W, x = weight(), operand(70)
    compressed = gossamer.macko.compress(W)
    values = compressed[0]
    first = gossamer.macko.to_packed(compressed)
    assert gossamer.macko.to_packed(compressed) is gossamer.macko.to_packed(compressed)
    torch.testing.assert_close(gossamer.macko.multiply(compressed, x), first @ x)
    values.mul_(2)
    torch.testing.assert_close(gossamer.macko.multiply(compressed, x), first @ x)
    torch.testing.assert_close(first @ x, 2 * W @ x)
    before = weakref.ref(gossamer.macko.to_packed(compressed))
    del first
    values.data = 3 * values  # as Module.to does it
    torch.testing.assert_close(gossamer.macko.multiply(compressed, x), 6 * W @ x)
    gc.collect()
    assert before() is None
    assert gossamer.macko.to_packed(compressed) is gossamer.macko.to_packed(compressed)
    values.requires_grad_()
    gossamer.macko.multiply(compressed, x).sum().backward()
    assert values.grad is not None
    alive = weakref.ref(values)
    del values, compressed
    gc.collect()
    assert alive() is None


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


def test_super_is_compiled_as_torch_compile_reads_it():
    # Python 3.12 and newer compile super() otherwise in modules whose top level names it.
    for path in Path(gossamer.__file__).parent.rglob("*.py"):
        assert (
            "super" not in symtable.symtable(path.read_text(), str(path), "exec").get_identifiers()
        )
