# SPDX-License-Identifier: Apache-2.0
"""Packed arrays over tensors: products, gradients, compilation, MACKO's interface."""

import copy
import gc
import pickle
import symtable
import weakref
from pathlib import Path

import gossamer
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gossamer import macko, nn  # noqa: E402
from gossamer.cuda.packed import Parts  # noqa: E402
from packed_tensors import DTYPES, STORED, linear, operand, weight  # noqa: E402


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
def test_float8_pickles(format):
    P = gossamer.compress(weight(), format, "float8_e4m3")
    for array in (P, P.T, copy.deepcopy(P)):
        restored = pickle.loads(pickle.dumps(array))
        assert restored.dtype is torch.float8_e4m3fn
        assert torch.equal(restored.decompress(), array.decompress())


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
    with pytest.raises(TypeError, match=r"x is a numpy.ndarray and P holds torch arrays"):
        P @ x.numpy()
    with pytest.raises(TypeError, match=r"x is a torch.Tensor and P holds numpy arrays"):
        N @ x
    for matrix, sparse in ((P, gossamer.fromdense(weight().T)), (N, N.tocsr().T)):
        for product in (lambda x: matrix @ x, lambda x: x @ matrix):  # noqa: B023
            with pytest.raises(TypeError, match=r"a CS[RC]Array do not multiply.* P.tocsr"):
                product(sparse)
    with pytest.raises(ValueError, match=r"x has shape \(71,\), expected \(70,\)"):
        P @ operand(71)
    with pytest.raises(TypeError, match=r"layout torch.sparse_coo"):
        P @ x.to_sparse()
    with pytest.raises(ValueError, match=r"x is on meta and P on cpu; move one of them"):
        P @ x.to("meta")
    with pytest.raises(TypeError, match=r"W is a quantized tensor; call its dequantize"):
        gossamer.compress(torch.quantize_per_tensor(weight(), 0.1, 0, torch.qint8))
    with pytest.raises(
        TypeError, match=r"PyTorch's sin does not take a PackedArray: write P @ x or x"
    ):
        torch.sin(P)


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


def test_super_is_compiled_as_torch_compile_reads_it():
    # Python 3.12 and newer compile super() otherwise in modules whose top level names it.
    for path in Path(gossamer.__file__).parent.rglob("*.py"):
        assert (
            "super" not in symtable.symtable(path.read_text(), str(path), "exec").get_identifiers()
        )


def test_a_write_to_the_values_leaves_nothing_of_the_matrix_before(monkeypatch):
    from gossamer.arrays.torch import packed

    class Matrix:
        pass

    monkeypatch.setattr(packed, "device_matrix", lambda *_: Matrix())
    storage = gossamer.compress(torch.eye(8), "bitmap")._storage
    first = weakref.ref(storage._on_device())
    assert storage._on_device() is first()
    storage.values.mul_(2)
    assert storage._on_device() is not first()
    gc.collect()
    assert first() is None


def test_what_operations_keep_of_tensors_goes_with_their_memory():
    from gossamer.arrays.torch.lifetimes import KeptWithMemory

    class Made:
        pass

    tensor, other, kept = torch.ones(8), torch.ones(8), KeptWithMemory()
    made = [weakref.ref(kept.of([tensor], ("a",), Made))]
    tensor.zero_()
    made.append(weakref.ref(kept.of([tensor], ("a",), Made)))
    made.append(weakref.ref(kept.of([tensor], ("b",), Made)))
    gc.collect()
    assert [found() is None for found in made] == [True, False, False]
    assert kept.of([tensor], ("a",), Made) is made[1]()
    both = weakref.ref(kept.of([tensor, None, other], ("a",), Made))
    assert kept.of([tensor, None, other], ("a",), Made) is both()
    assert both() is not made[1]()
    other.zero_()
    assert kept.of([tensor, None, other], ("a",), Made) is not both()
    assert len(kept) == 3
    del other
    gc.collect()
    assert both() is None
    assert len(kept) == 2
    view = tensor[2:]
    del tensor
    gc.collect()
    assert len(kept) == 2
    del view
    gc.collect()
    assert not len(kept)
    assert all(found() is None for found in made)


def test_what_a_gradient_by_the_values_needs_goes_with_the_matrix():
    from gossamer.arrays.torch import packed

    gc.collect()
    before = len(packed._patterns)
    P = gossamer.compress(weight(), "gap8")
    values = P.data.clone().requires_grad_()
    (P.with_data(values) @ operand(70)).sum().backward()
    assert len(packed._patterns) == before + 1
    del P, values
    gc.collect()
    assert len(packed._patterns) == before


@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8"])
def test_gradients_by_the_values_see_a_write_to_the_positions(format):
    W = torch.zeros(2, 4, 8)
    W[0, :, ::2] = W[1, :, 1::2] = 1
    P, other = (gossamer.compress(w, format) for w in W)
    layer = nn.PackedLinear(P)
    for packed, dense in ((P, W[0]), (other, W[1])):
        layer.load_state_dict(nn.PackedLinear(packed).state_dict())
        values = layer.weight.data.clone().requires_grad_()
        (layer.weight.with_data(values) @ torch.arange(8.0)).sum().backward()
        gradient = layer.weight.with_data(values.grad).decompress()
        torch.testing.assert_close(gradient, dense * torch.arange(8.0))


def test_products_on_a_gpu_tell_matrices_apart_by_all_their_parts(monkeypatch):
    from gossamer.arrays.torch import cuda

    monkeypatch.setattr(cuda, "new_device_matrix", lambda parts, *_: list(parts))
    parts = [*gossamer.compress(weight(), "bitmap", "int8")._storage.parts().values()]
    first = cuda.device_matrix(Parts(*parts), "bitmap", (48, 70))
    assert cuda.device_matrix(Parts(*parts), "bitmap", (48, 70)) is first
    for i in range(4):
        others = [part.clone() if i == j else part for j, part in enumerate(parts)]
        assert cuda.device_matrix(Parts(*others), "bitmap", (48, 70)) is not first
    parts[1].copy_(parts[1].clone())
    assert cuda.device_matrix(Parts(*parts), "bitmap", (48, 70)) is not first
