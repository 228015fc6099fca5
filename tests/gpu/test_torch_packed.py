# SPDX-License-Identifier: Apache-2.0
"""Packed matrices over CUDA tensors, against the CPU's bytes and float64."""

import copy

import gossamer as gs
import numpy as np
import pytest

torch = pytest.importorskip("torch")
if not torch.cuda.is_available():
    pytest.skip("PyTorch sees no GPU", allow_module_level=True)

from gossamer.arrays.torch.host import to_numpy  # noqa: E402 - needs PyTorch

DTYPES = ["float32", "float16", "bfloat16", "int8", "float8_e4m3"]
FORMATS = ["bitmap", "gap4", "gap8"]
SHAPES = [(1, 1), (1, 700), (33, 65), (130, 1000), (513, 300), (700, 4097)]
ROUNDOFF = {torch.float32: 2.0**-24, torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}


def matrix(shape, density, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(shape, generator=generator).to(dtype)
    return W * (torch.rand(shape, generator=generator) < density)


def vectors(shape, dtype=torch.float32, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_product(y, W, x):
    """Hold y = x Wᵀ to the bound of sums in float32, by the framework's product in float64."""
    W, x64 = W.cuda().double(), x.cuda().double()
    exact, moduli = x64 @ W.T, x64.abs() @ W.abs().T
    n = (W != 0).sum(1).double() + 16
    bound = n * 2.0**-24 / (1 - n * 2.0**-24) * moduli + ROUNDOFF[y.dtype] * exact.abs() + 2.0**-24
    assert y.shape == exact.shape
    assert ((y.cuda().double() - exact).abs() <= bound).all()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_compress_writes_the_bytes_of_the_cpu(shape, format, dtype):
    W = matrix(shape, 0.3)
    P, Q = gs.compress(W.cuda(), format, dtype), gs.compress(W, format, dtype)
    parts, expected = P._storage.parts(), Q._storage.parts()
    assert parts.keys() == expected.keys()
    for name, part in parts.items():
        assert part.is_cuda
        assert part.dtype is expected[name].dtype
        assert part.shape == expected[name].shape
        assert to_numpy(part).tobytes() == to_numpy(expected[name]).tobytes()
    assert torch.equal(P.decompress("float32").cpu(), Q.decompress("float32"))


def test_auto_counts_and_falls_back_to_dense():
    for density, format in ((0.05, "gap8"), (0.5, "bitmap"), (1.0, "dense")):
        W = matrix((256, 1024), density)
        assert gs.compress(W.cuda()).format == gs.compress(W).format == format
    P = gs.compress(W.cuda())
    x = vectors((1024,))
    assert_product((P @ x.cuda())[None], W, x[None])


@pytest.mark.parametrize("shape", [*SHAPES, (20, 130000)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_products(shape, dtype, x_dtype):
    for density in (0.05, 0.2, 0.5):
        W = matrix(shape, density)
        P = gs.compress(W.cuda(), dtype=dtype, format="bitmap" if density > 0.3 else "gap8")
        dense = P.decompress("float32").cpu()
        for k in (1, 2, 7, 33, 65, 129):
            x = vectors((k, shape[1]), x_dtype)
            y = P @ x.cuda().T
            assert_product(y.T, dense, x)
            assert_product(x.cuda() @ P.T, dense, x)
        z = vectors((3, shape[0]), x_dtype)
        assert_product(z.cuda() @ P, dense.T, z)
        assert_product((P.T @ z[0].cuda())[None], dense.T, z[:1])


@pytest.mark.parametrize("shape", [(1300, 6152), (4300, 16400)])
@pytest.mark.parametrize("density", [0.5, 0.9])
def test_products_that_go_around_their_rings_of_stages(shape, density):
    W = matrix(shape, density, torch.float16)
    P = gs.compress(W.cuda(), "bitmap")
    for k in (8, 9, 20, 33, 64):
        x = vectors((k, shape[1]), torch.float16)
        assert_product(x.cuda() @ P.T, W, x)


def test_shapes_of_batches():
    W = matrix((30, 50), 0.5)
    P = gs.compress(W.cuda())
    x = vectors((2, 3, 50, 4)).cuda()
    y = P @ x
    assert y.shape == (2, 3, 30, 4)
    assert_product(y.mT.reshape(-1, 30), W, x.mT.reshape(-1, 50))
    assert (P @ torch.empty(50, 0, device="cuda")).shape == (30, 0)
    Q = gs.compress(torch.empty(3, 0, device="cuda"), "bitmap")
    for k in (1, 4):
        assert torch.equal((Q @ torch.empty(0, k, device="cuda")).cpu(), torch.zeros(3, k))
    assert (torch.empty(0, 30, device="cuda") @ P).shape == (0, 50)
    with pytest.raises(ValueError, match=r"x has shape \(49,\)"):
        P @ torch.ones(49, device="cuda")


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("k", [1, 2, 8, 40, 200])
def test_columns_wherever_they_lie(dtype, k):
    W = matrix((130, 70), 0.5)
    P = gs.compress(W.cuda(), "bitmap", dtype)
    dense = P.decompress("float32").cpu()
    x_dtype = torch.float32 if dtype == "float32" else torch.float16
    X = vectors((4, 70, k), x_dtype).cuda()
    wide = torch.zeros(4, 140, 2 * k, dtype=x_dtype, device="cuda")
    wide[:, ::2, ::2] = X
    for operand in (X, X.mT.contiguous().mT, wide[:, ::2, ::2], X.transpose(0, 1).contiguous()):
        y = P @ (operand.transpose(0, 1) if operand.shape[0] == 70 else operand)
        assert y.is_contiguous()
        assert_product(y.mT.reshape(-1, 130), dense, X.mT.reshape(-1, 70))
    assert torch.equal(P @ X[1], (P @ X)[1]) or k > 1  # one vector, several: kernels of their own
    assert_product((P @ X[:1, None])[0, 0].mT, dense, X[0].mT)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_transpose_is_laid_out_once(dtype):
    W = matrix((300, 170), 0.3)
    P = gs.compress(W.cuda(), "gap8", dtype)
    dense = P.decompress("float32").cpu()
    x = vectors((300,), getattr(torch, dtype)).cuda()
    first = x @ P
    assert_product(first[None], dense.T, x[None])
    assert all(torch.equal(y, first) for y in (P.T @ x, x @ P, (P.T @ x[:, None])[:, 0]))
    kept = P._storage._on_device()._transpose
    assert kept is not None
    nbytes = kept.nbytes
    assert nbytes < 4 * P.nbytes
    del kept
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = P.T @ x
    y.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, first)
    P._storage.values.mul_(2)
    torch.testing.assert_close(x @ P, first * 2)
    reused = [torch.full((nbytes,), 0xFF, dtype=torch.uint8, device="cuda") for _ in range(4)]
    y.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, first)  # of the values that were captured
    assert all((memory == 0xFF).all() for memory in reused)


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("k", [1, 20, 300])
def test_a_bias_is_added_to_the_rounded_product(dtype, k):
    from gossamer.nn import PackedLinear

    P = gs.compress(matrix((90, 130), 0.5).cuda(), "bitmap", dtype)
    b = vectors((90, 2), torch.float32, 5).cuda()[:, 1]
    x = vectors((k, 130), torch.float32 if dtype == "float32" else torch.float16).cuda()
    layer, plain = PackedLinear(P, b), PackedLinear(P)
    layer.bias.data = b  # strided
    assert torch.equal(layer(x), plain(x) + b.to(x.dtype))
    z = x.clone().requires_grad_()
    assert torch.equal(layer(z), layer(x))
    (gradient,) = torch.autograd.grad(layer(z).sum(), z)
    torch.testing.assert_close(gradient, torch.autograd.grad(plain(z).sum(), z)[0])


def test_the_same_bits_200_times():
    P = gs.compress(matrix((1000, 3000), 0.3, torch.float16).cuda())
    for k in (1, 8, 16, 32, 64):
        x = vectors((3000, k), torch.float16).cuda()
        first = P @ x
        assert all(torch.equal(P @ x, first) for _ in range(200))


@pytest.mark.parametrize("k", [1, 16])
def test_products_in_a_cuda_graph(k):
    W = matrix((512, 1024), 0.5, torch.float16)
    P = gs.compress(W.cuda())
    x = vectors((k, 1024), torch.float16).cuda()
    x @ P.T
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = x @ P.T
        z = y * 2
    for seed in (2, 3):
        x.copy_(vectors((k, 1024), torch.float16, seed))
        expected = x @ P.T
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, expected)
        assert torch.equal(z, expected * 2)


def test_the_first_product_in_a_graph_says_what_to_do():
    P = gs.compress(matrix((64, 64), 0.5, torch.float16).cuda())
    x = torch.ones(64, device="cuda", dtype=torch.float16)
    graph = torch.cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="cannot be captured"), torch.cuda.graph(graph):
        P @ x
    torch.cuda.synchronize()
    assert_product((P @ x)[None], P.decompress().cpu(), x.cpu()[None])


def test_streams_do_not_share_workspace():
    W = matrix((2000, 5000), 0.1, torch.float16)
    P = gs.compress(W.cuda())
    xs = [vectors((5000,), torch.float16, seed).cuda() for seed in range(4)]
    expected = [P @ x for x in xs]
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in xs]
    for _ in range(20):
        results = []
        for x, stream in zip(xs, streams, strict=True):
            with torch.cuda.stream(stream):
                results.append([P @ x for _ in range(5)])
        torch.cuda.synchronize()
        for y, got in zip(expected, results, strict=True):
            assert all(torch.equal(y, one) for one in got)


def test_a_few_vectors_by_a_small_matrix_are_the_products_one_by_one():
    P = gs.compress(matrix((64, 128), 0.5).cuda(), format="bitmap")
    X = vectors((8, 128)).cuda()
    for x, y in zip(X, X @ P.T, strict=True):
        assert torch.equal(P @ x, y)


def test_values_written_anew_are_seen():
    P = gs.compress(matrix((64, 128), 0.5).cuda(), format="bitmap")
    x = torch.ones(128, device="cuda")
    first = P @ x
    P._storage.values.mul_(2)
    assert torch.equal(P @ x, first * 2)


def test_gradient_by_x():
    W = matrix((40, 60), 0.5)
    P = gs.compress(W.cuda())
    x = vectors((5, 60)).cuda().requires_grad_()
    (x @ P.T).square().sum().backward()
    y = W.double() @ x.detach().double().cpu().T
    expected = 2 * W.double().T @ y
    torch.testing.assert_close(x.grad.double().cpu(), expected.T, rtol=1e-4, atol=1e-4)


def test_packed_linear_moves_to_the_gpu():
    from gossamer.nn import PackedLinear

    torch.manual_seed(0)
    linear = torch.nn.Linear(96, 64).half()
    linear.weight.data *= matrix((64, 96), 0.4).ne(0)
    packed = PackedLinear.from_linear(linear)
    x = vectors((4, 7, 96), torch.float16)
    expected = torch.nn.functional.linear(x.float(), linear.weight.float(), linear.bias.float())
    y = packed.cuda()(x.cuda())
    assert y.dtype is torch.float16
    torch.testing.assert_close(y.float().cpu(), expected, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", ["float16", "int8", "float8_e4m3"])
def test_a_layer_keeps_one_arrangement(dtype, format):
    from gossamer.nn import PackedLinear

    W = matrix((1000, 3000), 0.5, torch.float16)
    P = gs.compress(W, format, dtype)
    layer = PackedLinear(P, torch.zeros(1000, dtype=torch.float16))
    stored = {name: part.clone() for name, part in layer.state_dict().items()}
    dense = P.decompress("float32")
    x = vectors((100, 3000), torch.float16)
    torch.mm(x.cuda(), x.cuda().T, out_dtype=torch.float32)  # cuBLAS keeps a workspace
    if dtype == "float16":
        gs.compress(W.cuda()) @ x.T.cuda()  # so does a stream for bitmap tiles
    before = torch.cuda.memory_allocated()
    layer.cuda()
    assert_product(layer(x.cuda()), dense, x)
    assert layer.values.numel()
    assert_product(layer(x[:40].cuda()), dense, x[:40])
    assert_product(layer(x[:1].cuda()), dense, x[:1])
    assert not layer.values.numel()
    kept = torch.cuda.memory_allocated() - before
    assert layer.nbytes <= kept < layer.nbytes + (1 << 20)
    assert kept < 1.2 * P.nbytes + (1 << 20)
    for k in (1, 3, 17, 100):
        assert_product(layer(x[:k].cuda()), dense, x[:k])
    if dtype == "float16":  # what was rounded to a zero of 8 bits is not stored again
        for name, part in layer.state_dict().items():
            assert torch.equal(part.cpu(), stored[name]), name
    assert torch.equal(layer.weight.decompress("float32").cpu(), dense)
    for other in (copy.deepcopy(layer), layer.cuda(), layer.cpu().cuda()):
        assert_product(other(x[:1].cuda()), dense, x[:1])
    layer.load_state_dict(stored)
    assert_product(layer(x[:1].cuda()), dense, x[:1])
    assert_product(layer.cpu().float()(x[:2].float()), dense, x[:2].float())


def test_a_layer_is_laid_out_anew_for_batches_that_keep_coming():
    from gossamer.cuda.tuning import PATIENCE
    from gossamer.nn import PackedLinear

    W = matrix((1000, 3000), 0.5, torch.float16)
    layer = PackedLinear(gs.compress(W.cuda()))
    x = vectors((17, 3000), torch.float16).cuda()
    bytes_of = {}
    for k in (1, 17):
        layer.lay_out(k)
        bytes_of[k] = layer.nbytes
    assert bytes_of[1] != bytes_of[17]
    assert_product(layer(x[:1]), W, x[:1])
    for _ in range(PATIENCE):
        assert_product(layer(x), W, x)
        assert layer.nbytes == bytes_of[1]
    for _ in range(2):
        assert_product(layer(x), W, x)
        assert layer.nbytes == bytes_of[17]
    assert_product(layer(x[:1]), W, x[:1])
    assert layer.nbytes == bytes_of[1]


@pytest.mark.parametrize(
    ("before", "captured"),
    [(1, 1), (40, 40), (40, 256), (256, 256)],
    ids=["delta rows", "tiles", "unpacked tiles", "unpacked arrays"],
)
def test_what_a_graph_walks_stays(before, captured):
    from gossamer.nn import PackedLinear

    W = matrix((300, 640), 0.5, torch.float16)
    layer = PackedLinear(gs.compress(W.cuda()))
    x = vectors((captured, 640), torch.float16).cuda()
    layer(x[:before])
    expected = layer(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
    for other in (40, 1):
        layer.lay_out(other)
    assert_product(layer(x[:1]), W, x[:1])
    reused = [torch.full((layer.nbytes,), 0xFF, dtype=torch.uint8, device="cuda") for _ in range(4)]
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, expected)
    del reused


@pytest.mark.parametrize("vectors_captured", [1, 256], ids=["laid out", "packed"])
@pytest.mark.parametrize("change", ["state", "cast", "values"])
def test_a_graph_walks_what_a_layer_had_before(change, vectors_captured):
    from gossamer.nn import PackedLinear

    W = matrix((300, 640), 0.5, torch.float16)
    other = PackedLinear(gs.compress(matrix((300, 640), 0.2, torch.float16).cuda(), "bitmap"))
    layer = PackedLinear(gs.compress(W.cuda(), "bitmap"))
    x = vectors((vectors_captured, 640), torch.float16).cuda()
    z = x.clone().requires_grad_()
    tracked, expected = layer(z), layer(x)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
    size = layer.nbytes
    if change == "state":
        layer.load_state_dict(other.state_dict())
    elif change == "cast":
        layer.float()
    else:
        state = {name: part.cuda() for name, part in other.state_dict().items()}
        layer.load_state_dict(state, assign=True)
    layer(x.to(layer.values.dtype))
    reused = [torch.full((size,), 0xFF, dtype=torch.uint8, device="cuda") for _ in range(8)]
    graph.replay()
    tracked.sum().backward()
    torch.cuda.synchronize()
    assert torch.equal(y, expected)
    row = W.double().sum(0)
    assert ((z.grad[0].cpu().double() - row).abs() <= 2e-2 * W.double().abs().sum(0)).all()
    del reused


def test_a_layer_in_a_graph_and_compiled():
    from gossamer.nn import PackedLinear

    W = matrix((512, 1024), 0.5, torch.float16)
    layer = PackedLinear(gs.compress(W.cuda()))
    x = vectors((1, 1024), torch.float16).cuda()
    expected = layer(x)
    assert torch.equal(torch.compile(layer, fullgraph=True)(x), expected)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer(x)
    y.zero_()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, expected)
    z = x.clone().requires_grad_()
    layer(z).sum().backward()
    torch.testing.assert_close(z.grad[0].cpu().float(), W.float().sum(0), rtol=1e-2, atol=1e-2)


def test_macko_on_the_gpu():
    from gossamer import macko

    M = matrix((512, 1024), 0.5, torch.float16).cuda()
    V = vectors((1024,), torch.float16).cuda()
    compressed = macko.compress(M)
    assert all(part.is_cuda for part in compressed[:3])
    for _ in range(3):
        assert_product(macko.multiply(compressed, V)[None], M.cpu(), V[None])


def test_errors_leave_the_process_usable():
    P = gs.compress(matrix((8, 8), 0.5).cuda())
    with pytest.raises(ValueError, match="x is on cpu"):
        P @ torch.ones(8)
    with pytest.raises(TypeError, match="nothing is cast silently"):
        P @ torch.ones(8, dtype=torch.float64, device="cuda")
    with pytest.raises(ValueError, match="two axes"):
        gs.compress(torch.ones(8, device="cuda"))
    for shape in [(8,), (8, 2)]:
        freed = torch.ones(shape, device="cuda")
        freed.untyped_storage().resize_(0)
        with pytest.raises(ValueError, match="elements and no memory"):
            gs.compress(torch.eye(8, device="cuda"), "bitmap") @ freed
    with pytest.raises(ValueError, match=r"W\[1\] holds an infinite"):
        gs.compress(torch.tensor([[1.0], [np.inf]], device="cuda"), dtype="int8")
    with pytest.raises(ValueError, match="threshold"):
        gs.compress(torch.ones(8, 8, device="cuda"), threshold=-1.0)
    assert (P @ torch.ones(8, device="cuda")).isfinite().all()


def test_infinities_reach_the_rows_that_store_their_column():
    W = matrix((50, 400), 0.3)
    W[7, 100], W[8, 100] = 2.0, 0.0
    P = gs.compress(W.cuda())
    x = torch.ones(400)
    x[100] = torch.inf
    y = (P @ x.cuda()).cpu()
    assert not y[W[:, 100] != 0].isfinite().any()


@pytest.mark.parametrize("count", [1, 200])
def test_buffers_that_stand_in_for_one_call_leave_a_laid_out_layer_as_it_was(count):
    W, x = matrix((300, 200), 0.5), vectors((count, 200)).cuda()
    layer = gs.nn.PackedLinear(gs.compress(W.cuda(), "bitmap", "int8"))
    other = gs.nn.PackedLinear(gs.compress(3 * W.cuda(), "bitmap", "int8"))
    other_buffers = dict(other.named_buffers())
    expected = [each(x) for each in (layer, other)]
    for _ in range(2):
        found = torch.func.functional_call(layer, other_buffers, (x,))
        assert torch.equal(found, expected[1])
        assert torch.equal(layer(x), expected[0])
        layer(x[:1])
    assert not layer.row_offsets.numel()  # laid out
    scales = 4 * layer.scales
    for _ in range(3):
        found = torch.func.functional_call(layer, {"scales": scales}, (x,))
        assert torch.equal(found, 4 * expected[0])
    assert torch.equal(layer(x), expected[0])


@pytest.mark.parametrize("replaced", ["values", "positions", "row_offsets", "scales"])
def test_a_first_product_by_buffers_of_one_call_keeps_the_layers_own(replaced):
    W, x = matrix((300, 200), 0.5), vectors((1, 200)).cuda()
    layer, other = (
        gs.nn.PackedLinear(gs.compress(w.contiguous().cuda(), "bitmap", "int8"))
        for w in (W, W.roll(1, 1))
    )
    expected = gs.nn.PackedLinear(layer.weight)(x)
    buffers = {replaced: getattr(other, replaced).clone()}
    for _ in range(3):
        torch.func.functional_call(layer, buffers, (x,))
    for _ in range(3):
        assert torch.equal(layer(x), expected)
    assert not layer.row_offsets.numel()  # laid out
    assert torch.equal(gs.nn.PackedLinear(layer.weight)(x), expected)


def test_parts_of_a_laid_out_layer_replaced_for_one_call():
    W, x = matrix((300, 200), 0.5), vectors((1, 200)).cuda()
    layer = gs.nn.PackedLinear(gs.compress(W.cuda(), "bitmap"))
    layer.register_buffer("steps", torch.ones(3, device="cuda"))
    twice = 2 * layer.values
    expected = layer(x)
    assert not layer.row_offsets.numel()  # laid out
    for _ in range(3):
        assert torch.equal(torch.func.functional_call(layer, {"values": twice}, (x,)), 2 * expected)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer.cpu().steps, torch.ones(3))
    torch.testing.assert_close(layer(x.cpu()), expected.cpu(), rtol=1e-3, atol=1e-3)


def test_registered_products_read_the_arrays_that_they_are_given():
    W, x = matrix((300, 200), 0.5).cuda(), vectors((1, 200)).cuda()
    product = torch.ops.gossamer.packed_matmul

    def multiply(values, positions, row_offsets, scales):
        return product(values, positions, row_offsets, scales, x, "bitmap", 300, 200, False, True)

    P, flipped = (gs.compress(w.contiguous(), "bitmap")._storage for w in (W, W.flip(1)))
    positions = P.positions.clone()
    place = positions.data_ptr()
    multiply(P.values, positions, P.row_offsets, None)
    del positions
    positions = flipped.positions.clone()
    assert positions.data_ptr() == place
    values = P.values
    found = multiply(values, positions, flipped.row_offsets, None)
    expected = multiply(values.clone(), positions.clone(), flipped.row_offsets, None)
    assert torch.equal(found, expected)

    Q = gs.compress(W, "bitmap", "int8")._storage
    once, twice = (
        multiply(Q.values, Q.positions, Q.row_offsets, scales)
        for scales in (Q.scales, 2 * Q.scales)
    )
    assert torch.equal(twice, 2 * once)
