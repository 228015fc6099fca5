# SPDX-License-Identifier: Apache-2.0
"""Sparse arrays over tensors, where PyTorch has something of its own: layouts, compilation.

What all frameworks share is in test_frameworks.py.
"""

import os
import pickle
import subprocess
import sys

import gossamer
import numpy as np
import pytest
from battery.battery import matrices
from cases import FORMATS, every_format, named

torch = pytest.importorskip("torch")
from gossamer import _engine, nn  # noqa: E402
from gossamer.arrays.torch import operations  # noqa: E402
from gossamer.arrays.torch.threads import on_threads_of_torch  # noqa: E402
from sparse_tensors import dense, operand, sparse, tracked  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402

DTYPES = (torch.float64, torch.complex128)
every_torch_dtype = pytest.mark.parametrize("dtype", DTYPES, ids=str)


@pytest.fixture(autouse=True)
def _nothing_compiled():
    """Every test compiles a few functions of its own: PyTorch counts them by their code."""
    torch.compiler.reset()


# ---- gradients, of both orders and both modes ----------------------------------------------------

VECTORS = {dtype: operand(7, dtype=dtype) for dtype in DTYPES}
STRUCTURAL = {
    "tocsr": lambda A: A.tocsr().data,
    "tocsc": lambda A: A.tocsc().data,
    "tocoo": lambda A: A.tocoo(canonical=True).data,
    "todense": lambda A: A.todense(),
    "slice": lambda A: A[1:6, 2:5].data,
    "element": lambda A: A[3, 4],
    "sum": lambda A: A.sum(),
    "col_sums": lambda A: A.sum(0),
    "row_sums": lambda A: A.sum(1),
    "diagonal": lambda A: A.diagonal(1),
    "trace": lambda A: A.trace(),
    "conjugate transpose": lambda A: A.H.tocsr().data,
    "sparse + sparse": lambda A: (A + 2 * A.tocsc()).data,
    "sparse @ sparse": lambda A: (A @ A.T).data,
    "x Aᵀ A x": lambda A: A.T @ (A @ VECTORS[A.dtype]),
}

# Here the compiler knows no operator.
COMPILED = {"sparse @ sparse": lambda A: A.matmat(A.T).data}


@every_torch_dtype
@every_format
@pytest.mark.parametrize("name", STRUCTURAL)
def test_gradients_through_structure(name, format, dtype):
    A = sparse(format, dtype)
    values = A.data.clone().requires_grad_()
    function = lambda values: STRUCTURAL[name](A._with_data(values))  # noqa: E731
    assert gradcheck(function, values, check_forward_ad=True)
    assert gradgradcheck(function, values)


@every_torch_dtype
@every_format
@pytest.mark.parametrize("shape", [(7,), (7, 3), (2, 7, 3), (2, 1, 7, 2)])
def test_gradients_of_products(shape, format, dtype):
    A = sparse(format, dtype)
    values, x = A.data.clone().requires_grad_(), tracked(*shape, dtype=dtype)
    assert gradcheck(lambda v, x: A._with_data(v) @ x, (values, x), check_forward_ad=True)
    assert gradgradcheck(lambda v, x: A._with_data(v) @ x, (values, x))
    z = x.detach().transpose(-1, -2).contiguous().requires_grad_() if x.ndim > 1 else x
    assert gradcheck(lambda v, z: z @ A._with_data(v).T, (values, z), check_forward_ad=True)
    assert gradgradcheck(lambda v, z: z @ A._with_data(v).T, (values, z))


@every_torch_dtype
def test_gradients_of_sums_of_duplicates_and_sampled_products(dtype):
    matrix = named("duplicates")
    coordinates = torch.from_numpy(matrix.row[:60]), torch.from_numpy(matrix.col[:60])
    values = tracked(60, dtype=dtype)

    def summed(values):
        return gossamer.coo_array((values, coordinates), (12, 9)).tocsr(canonical=True).data

    assert gradcheck(summed, values)
    assert gradgradcheck(summed, values)
    A, U, V = sparse(dtype=dtype), tracked(9, 3, dtype=dtype), tracked(7, 3, dtype=dtype)
    assert gradcheck(lambda U, V: gossamer.sddmm(A, U, V).data, (U, V), check_forward_ad=True)
    assert gradgradcheck(lambda U, V: gossamer.sddmm(A, U, V).data, (U, V))


def test_backward_allocates_no_dense_matrix():
    n, k = 4096, 4
    row, col = torch.randint(n, (2, 20_000), generator=torch.Generator().manual_seed(1))
    values, x = tracked(20_000, dtype=torch.float32), tracked(n, k, dtype=torch.float32)
    A = gossamer.coo_array((values, (row, col)), (n, n)).tocsr()
    with torch.profiler.profile(profile_memory=True) as profile:
        (A @ x).sum().backward()
    largest = max((event.self_cpu_memory_usage for event in profile.events()), default=0)
    assert 0 < largest < n * n  # a quarter of the dense matrix's bytes
    assert values.grad.shape == (20_000,)


# ---- torch.func, torch.library, torch.compile ----------------------------------------------------


def test_function_transforms():
    A, x = sparse(), operand(7, 3)
    D = A.todense()
    func = torch.func
    loss, expected = (lambda x, M=M: (M @ x).pow(3).sum() for M in (A, D))
    torch.testing.assert_close(func.grad(loss)(x), func.grad(expected)(x))
    torch.testing.assert_close(func.hessian(loss)(x), func.hessian(expected)(x))
    y, pull = func.vjp(lambda x: A @ x, x)
    torch.testing.assert_close(pull(y)[0], D.T @ y)
    torch.testing.assert_close(func.jvp(lambda x: A @ x, (x,), (x,))[1], D @ x)
    inner, expected = (  # whose tangents move with x
        lambda x, M=M: func.jvp(lambda x: (M @ x.sin()).sin(), (x,), (x * x,))[1] for M in (A, D)
    )
    torch.testing.assert_close(
        func.jvp(inner, (x,), (x + 1,))[1], func.jvp(expected, (x,), (x + 1,))[1]
    )
    torch.testing.assert_close(func.jacfwd(inner)(x), func.jacfwd(expected)(x))
    torch.testing.assert_close(func.vmap(lambda c: A @ c, in_dims=1, out_dims=1)(x), D @ x)
    V = operand(4, A.nnz)
    many = torch.stack([A._with_data(v) @ x for v in V])
    torch.testing.assert_close(func.vmap(lambda v: A._with_data(v) @ x)(V), many)
    per_sample = func.vmap(func.grad(lambda v, c: (A._with_data(v) @ c).sum()), (None, 1))(
        A.data, x
    )
    torch.testing.assert_close(
        per_sample.sum(0), func.grad(lambda v: (A._with_data(v) @ x).sum())(A.data)
    )


def registered():
    A = sparse()
    B, (T, index_map) = A.tocsc().tocsr() @ A.T, A._pattern.transpose()
    values = A.data.clone().requires_grad_()
    selection = gossamer.structure.Selection(A.nnz, index_map)
    a, t, b = A._pattern.number, T.number, B._pattern.number
    moved = operations.segment_sum(A.data, selection)
    keep = A, B, T, selection
    return keep, {
        "matmul": [
            (values, tracked(7, 3), a, False, False),
            (values, operand(3, 9), a, True, True),
        ],
        "sddmm": [(tracked(9, 3), tracked(7, 3), a)],
        "spgemm": [(values, moved.requires_grad_(), a, t, b, False)],
        "segment_sum": [(values, selection.number)],
        "todense": [(values, a, True)],
        "sample": [(tracked(9, 7), a, False)],
    }


@pytest.mark.parametrize("name", registered()[1])
def test_registrations_pass_opcheck(name):
    keep, calls = registered()
    for arguments in calls[name]:
        torch.library.opcheck(getattr(torch.ops.gossamer, name), arguments)
    assert keep


def test_every_operation_has_an_opcheck():
    names = torch._C._dispatch_get_all_op_names()
    ours = {name.partition("::")[2] for name in names if name.startswith("gossamer::")}
    assert ours == {*registered()[1], "packed_matmul", "packed_sddmm"}  # in test_torch_packed.py


@pytest.mark.parametrize("format", ["csr", "csc"])
def test_products_compile_without_a_graph_break(format):
    A, x = sparse(format, rows=7), operand(7)
    X = operand(3, 7)
    for product in (
        lambda x: A @ x,
        lambda x: x @ A,
        lambda x: A.T @ (A @ x),
        lambda x: gossamer.functions._matvec(A, x),
    ):
        torch.testing.assert_close(torch.compile(product, fullgraph=True)(x), product(x))
    compiled = torch.compile(lambda X: X @ A, fullgraph=True, dynamic=True)
    for rows in (3, 2):
        torch.testing.assert_close(compiled(X[:rows]), X[:rows] @ A)


@every_format
@pytest.mark.parametrize("name", STRUCTURAL)
def test_structure_compiles_without_a_graph_break(name, format):
    A = sparse(format)
    function = COMPILED.get(name, STRUCTURAL[name])
    compiled = torch.compile(
        lambda values: function(A.with_data(values)), fullgraph=True, backend="aot_eager"
    )
    for scale in (1, 2):
        values, twin = ((A.data * scale).requires_grad_() for _ in range(2))
        result, expected = compiled(values), function(A.with_data(twin))
        assert torch.equal(result, expected)
        result.square().sum().backward()
        expected.square().sum().backward()
        torch.testing.assert_close(values.grad, twin.grad)


def test_training_compiles_without_a_graph_break():
    layer = nn.SparseLinear(sparse(), torch.zeros(9, dtype=torch.float64))
    x = operand(5, 7)
    step = torch.compile(lambda x: layer(x).square().sum(), fullgraph=True)
    step(x).backward()
    compiled = [p.grad.clone() for p in layer.parameters()]
    layer.zero_grad()
    layer(x).square().sum().backward()
    for got, parameter in zip(compiled, layer.parameters(), strict=True):
        torch.testing.assert_close(got, parameter.grad)


@pytest.mark.parametrize("transform", [torch.func.grad, torch.vmap])
@pytest.mark.parametrize("make", [nn.SparseLinear, lambda A: lambda x: x @ A.T])
def test_compiled_functions_outlive_transformations(make, transform):
    layer, x = make(sparse()), operand(3, 7)
    compiled = torch.compile(lambda x: layer(x).square().sum(), backend="aot_eager")
    expected = layer(x).square().sum()
    for _ in range(2):
        transformed = transform(compiled)(x)
        torch.testing.assert_close(transformed, transform(lambda x: layer(x).square().sum())(x))
        torch.testing.assert_close(compiled(x), expected)


def test_what_cannot_be_compiled_says_so():
    A, x = sparse(rows=7), operand(7)
    forward = torch.compile(
        lambda x: torch.func.jvp(lambda x: A @ x, (x,), (x,))[1], fullgraph=True
    )
    with pytest.raises(Exception, match=r"forward-mode .* not supported inside torch.compile"):
        forward(x)
    backward = torch.compile(
        torch.func.grad(lambda x: (A @ x).sum()), fullgraph=True, backend="aot_eager"
    )
    with pytest.raises(Exception, match=r"torch.func.grad, vjp .* not supported inside torch.com"):
        backward(x)
    for make in (
        lambda x: gossamer.fromdense(x[None]).data,
        lambda x: gossamer.coo_array((x, ([0] * 7, [1] * 7)), (7, 7)).data,
        lambda x: gossamer.csr_array((x, A.indices[:7], [0, 7]), (1, 7)).data,
        lambda x: gossamer.diags(x).data,
        lambda x: nn.SparseLinear.from_mask((x != 0)[None])(x),
    ):
        with pytest.raises(Exception, match=r"positions cannot .* torch.compile.* A.with_data"):
            torch.compile(make, fullgraph=True, backend="eager")(x)
    with pytest.raises(Exception, match=r"the row index is an array inside torch.compile"):
        torch.compile(lambda i: A[i].data, fullgraph=True, backend="eager")(torch.tensor([0, 1]))
    picked = np.array([0, 1])
    for pick, axis in ((lambda x: A[picked].data, "row"), (lambda x: A[:, picked].data, "column")):
        with pytest.raises(Exception, match=rf"the {axis} index is an array inside torch.compile"):
            torch.compile(pick, backend="eager")(x)


def test_compiled_multiples():
    A, x = sparse(rows=7), operand(7)
    compiled = torch.compile(lambda x: A.multiply(np.float32(3)) @ x, backend="eager")
    assert torch.equal(compiled(x), A.multiply(np.float32(3)) @ x)


# ---- PyTorch's sparse tensors --------------------------------------------------------------------


@pytest.mark.parametrize("matrix", matrices()[:12], ids=lambda m: m.name)
@pytest.mark.parametrize("layout", [torch.sparse_csr, torch.sparse_csc, torch.sparse_coo])
@pytest.mark.filterwarnings("ignore:Sparse")
def test_torch_sparse_tensors_there_and_back(matrix, layout):
    coo = torch.sparse_coo_tensor(
        np.stack([matrix.row, matrix.col]), matrix.data, (matrix.rows, matrix.cols)
    ).coalesce()
    tensor = coo.to_sparse(layout=layout) if min(coo.shape) else coo
    A = gossamer.from_torch(tensor)
    assert A.format == str(tensor.layout)[-3:]
    assert torch.equal(A.todense(), tensor.to_dense())
    back = A.to_torch()
    assert back.layout is tensor.layout
    assert torch.equal(back.to_dense(), tensor.to_dense())
    assert A.data.data_ptr() == tensor._values().data_ptr() if layout is torch.sparse_coo else True
    if tensor.layout is torch.sparse_csr:
        assert back.values().data_ptr() == tensor.values().data_ptr()
        assert back.col_indices().data_ptr() == tensor.col_indices().data_ptr()
    if tensor.layout is torch.sparse_coo:
        assert back._indices().data_ptr() == tensor._indices().data_ptr()
        copied = gossamer.from_torch(tensor, copy=True).to_torch()
        assert torch.equal(copied._indices(), tensor._indices())
        assert not A.nnz or copied._indices().data_ptr() != tensor._indices().data_ptr()


@pytest.mark.filterwarnings("ignore:Sparse")
def test_gradients_pass_torch_sparse_tensors():
    values = tracked(2)
    tensor = torch.sparse_csr_tensor(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), values, (2, 2))
    A = gossamer.from_torch(tensor)
    (A @ torch.tensor([3.0, 5.0], dtype=torch.float64)).sum().backward()
    assert values.grad.tolist() == [5.0, 3.0]


@pytest.mark.filterwarnings("ignore:Sparse")
def test_other_torch_tensors_are_refused():
    with pytest.raises(TypeError, match=r"tensor is torch.strided, expected .* torch.sparse_csr"):
        gossamer.from_torch(torch.eye(2))
    with pytest.raises(TypeError, match=r"tensor is list"):
        gossamer.from_torch([1.0])
    batch = torch.eye(2).expand(3, 2, 2).to_sparse_csr()
    with pytest.raises(ValueError, match=r"shape \(3, 2, 2\)"):
        gossamer.from_torch(batch)
    with pytest.raises(TypeError, match=r"A holds numpy arrays, expected torch tensors"):
        gossamer.eye(2).to_torch()


def test_blocks_of_two_frameworks_are_not_stacked():
    blocks = [gossamer.eye(2), gossamer.asarray(torch.eye(2))]
    with pytest.raises(TypeError, match=r"vstack: blocks\[1\] holds torch arrays and blocks\[0\] "):
        gossamer.vstack(blocks)


# ---- bad input -----------------------------------------------------------------------------------


def test_wrong_tensors():
    A = sparse()
    with pytest.raises(TypeError, match=r"data has dtype int64, expected one of float16"):
        gossamer.csr_array((torch.ones(1, dtype=torch.int64), [0], [0, 1]), (1, 1))
    with pytest.raises(TypeError, match=r"layout torch.sparse_coo, expected a dense one"):
        A @ operand(7).to_sparse()
    with pytest.raises(TypeError, match=r"quantized tensor; call its dequantize\(\)"):
        A @ torch.quantize_per_tensor(torch.ones(7), 0.1, 0, torch.qint8)
    with pytest.raises(ValueError, match=r"x is on meta and A on cpu; move one of them"):
        A @ operand(7).to("meta")
    with pytest.raises(ValueError, match=r"x has shape \(8,\), expected \(7,\)"):
        A @ operand(8)
    with pytest.raises(TypeError, match=r"indices is a torch.Tensor .* without gradients"):
        gossamer.csr_array((torch.ones(1), torch.zeros(1, requires_grad=True), [0, 1]), (1, 1))
    with pytest.raises(TypeError, match=r"indices has dtype float32"):
        gossamer.csr_array((torch.ones(1), torch.zeros(1), [0, 1]), (1, 1))


def test_layouts_and_lazy_views_of_operands():
    A = sparse(dtype=torch.complex128)
    X = operand(7, 4, dtype=torch.complex128)
    D = A.todense()
    for x in (X.conj(), X.T.contiguous().T, X[:, ::2], X.mT.mH.conj(), X.repeat(2, 1)[::2][:7]):
        torch.testing.assert_close(A @ x, D @ x)
    lazily = gossamer.csr_array((A.data.conj(), A.indices, A.indptr), A.shape)
    torch.testing.assert_close(lazily @ X, D.conj() @ X)
    real = sparse()
    torch.testing.assert_close(real @ X.conj().imag, real.todense() @ X.conj().imag)
    strided = torch.stack([real.data, real.data], 1)[:, 0]
    torch.testing.assert_close(real._with_data(strided) @ X.real, real @ X.real)


def test_values_with_gradients_are_saved(tmp_path):
    pytest.importorskip("safetensors")
    layer = nn.SparseLinear(sparse())
    gossamer.save_safetensors(tmp_path / "w", {"w": layer.weight, "values": layer.values})
    loaded = gossamer.load_safetensors(tmp_path / "w")
    np.testing.assert_array_equal(loaded["w"].todense(), dense())
    np.testing.assert_array_equal(loaded["values"], layer.values.detach())


@pytest.mark.parametrize("format", ["csr", "csc", "coo"])
def test_files_hold_no_gradients(tmp_path, format):
    pytest.importorskip("fast_matrix_market")
    A = nn.SparseLinear(sparse()).weight.asformat(format)
    assert A.data.requires_grad
    gossamer.io.save_npz(tmp_path / "a.npz", A)
    gossamer.io.write_matrix_market(tmp_path / "a.mtx", A)
    np.testing.assert_array_equal(gossamer.io.load_npz(tmp_path / "a.npz").todense(), dense())
    read = gossamer.io.read_matrix_market(tmp_path / "a.mtx")
    np.testing.assert_array_equal(read.todense(), dense())


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
def test_integers_are_refused_by_the_name_of_the_call(layout):
    tensor = getattr(torch.eye(2, dtype=torch.int64), f"to_sparse_{layout}")()
    with pytest.raises(TypeError, match=r"^from_torch: tensor has dtype int64, .*tensor.to\(torch"):
        gossamer.from_torch(tensor)


def test_index_tensors():
    indices, indptr = torch.tensor([1, 0]), torch.tensor([0, 1, 2])
    A = gossamer.csr_array((torch.ones(2), indices, indptr), (2, 2))
    assert A.index_dtype == np.int64
    indices[0] = 99
    assert A.indices.tolist() == [1, 0]
    borrowed = gossamer.csr_array((torch.ones(2), indices.int() % 2, indptr), (2, 2), copy=False)
    assert (borrowed @ torch.ones(2)).tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(A)).data.tolist() == [1, 1]


def test_formats_agree():
    x = operand(7)
    first, *others = (sparse(format) @ x for format in FORMATS)
    for other in others:
        torch.testing.assert_close(other, first)


# ---- containers as pytrees -----------------------------------------------------------------------


def test_values_that_do_not_fit_the_structure_are_refused():
    with pytest.raises(ValueError, match=r"values have shape \(2,\), expected"):
        torch.utils._pytree.tree_map(lambda values: values[:2].clone(), sparse())


RENUMBERED = """
import os
from gossamer.structure import registry
class Structure: pass
numbers = []
for _ in range(2):
    read, write = os.pipe()
    if os.fork() == 0:
        os.write(write, str(registry.register(Structure())).encode())
        os._exit(0)
    numbers.append(os.read(read, 100))
assert numbers[0] != numbers[1], numbers
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_forked_children_number_structures_apart():
    subprocess.run([sys.executable, "-c", RENUMBERED], check=True, timeout=120)


# ---- threads -------------------------------------------------------------------------------------

SHARED_THREADS = """
import os, numpy, torch, gossamer
torch.set_num_threads(3)
gossamer.set_num_threads(3)
x = torch.rand(5000, 200)
torch.nn.functional.silu(x)
before = len(os.listdir("/proc/self/task"))
A = gossamer.fromdense(torch.rand(5000, 5000))
y = A @ x
B = gossamer.fromdense(torch.rand(400, 400))
B @ B
with gossamer.set_num_threads(1):
    P = gossamer.compress(torch.rand(5000, 200), dtype="bfloat16")
P @ x.T
assert len(os.listdir("/proc/self/task")) == before, "the engine started threads beside PyTorch's"
A.to("numpy") @ x.numpy()
assert len(os.listdir("/proc/self/task")) == before + 2, "NumPy's product ran on PyTorch's threads"
child = os.fork()
if child == 0:
    os._exit(0 if numpy.array_equal((A @ x).numpy(), y.numpy()) else 1)
assert os.waitpid(child, 0)[1] == 0, "a forked child computes something else"
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_products_run_on_the_threads_of_pytorch():
    if "OpenMP" not in torch.__config__.parallel_info().partition("ATen parallel backend:")[2]:
        pytest.skip("this PyTorch does not keep OpenMP threads")
    subprocess.run([sys.executable, "-c", SHARED_THREADS], check=True, timeout=120)


def test_the_adapter_takes_the_threshold_by_name():
    W = torch.tensor([[0.5, 2.0], [0.0, 1.0]])
    A = gossamer.fromdense(W)
    pattern, values = A._arrays.fromdense(W, threshold=0.7)
    assert pattern.nnz == 2
    assert values.tolist() == [2.0, 1.0]


def test_a_call_within_another_leaves_it_the_threads_of_pytorch():
    def team():
        in_use = _engine.use_openmp(0)
        _engine.use_openmp(in_use)
        return in_use

    inner = on_threads_of_torch(team)
    before, within, after = on_threads_of_torch(lambda: (team(), inner(), team()))()
    assert before == within == after
    assert team() == 0


@every_format
def test_transformations_take_containers(format):
    A, x = sparse(format), operand(7)
    gradient = torch.func.grad(lambda A: (A @ x).pow(2).sum())(A)
    assert (gradient.format, gradient.shape) == (format, A.shape)
    expected = 2 * (A.todense() @ x)[:, None] * x * (A.todense() != 0)
    torch.testing.assert_close(gradient.todense(), expected)
