# SPDX-License-Identifier: Apache-2.0
"""Tensors that are not what they look like, as operands of products."""

import ctypes

import gossamer
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

DENSE = torch.tensor([[0.0, 2.0, 0.0], [1.0, 0.0, 3.0]])
MATRICES = {"sparse": gossamer.fromdense(DENSE), "packed": gossamer.compress(DENSE, "bitmap")}
every_matrix = pytest.mark.parametrize("A", MATRICES.values(), ids=MATRICES)


@every_matrix
def test_devices_of_torch_are_taken(A):
    torch.testing.assert_close(A.to(torch.device("cpu")) @ torch.ones(3), DENSE @ torch.ones(3))


@every_matrix
def test_storage_given_up_is_refused(A):
    x = torch.ones(3)
    x.untyped_storage().resize_(0)
    with pytest.raises(ValueError, match="x has 3 elements and no memory"):
        A @ x


@every_matrix
def test_tensor_that_escaped_from_a_transform_is_unwrapped(A):
    escaped = []

    def keep(x):
        escaped.append(x)
        return x.sum()

    x = torch.arange(3.0)
    torch.func.jvp(keep, (x,), (x,))
    torch.func.grad(keep)(x)
    assert len(escaped) == 2
    for wrapper in escaped:
        torch.testing.assert_close(A @ wrapper, DENSE @ x)


@every_matrix
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("shape", [(3,), (3, 2), (4, 3, 2), (1,) * 8 + (3, 1)])
def test_strides_and_dtypes_are_read_as_they_are(A, dtype, shape):
    x = torch.arange(-4.0, 60.0).to(dtype)[::2][: torch.Size(shape).numel()].reshape(shape)
    strided = torch.stack([x, x], dim=-1)[..., 1]
    assert strided.is_contiguous() == (x.numel() == 1)
    expected = DENSE.to(dtype) @ x
    torch.testing.assert_close((A @ strided).to(dtype), expected)
    tracked = strided.clone().requires_grad_()
    torch.testing.assert_close((A @ tracked).detach().to(dtype), expected)


def test_expanded_values_are_read_as_they_are():
    A = MATRICES["sparse"]
    values = torch.tensor(2.0, requires_grad=True)
    x = torch.arange(3.0)
    ((A.with_data(values.expand(3)) @ x).sum()).backward()
    torch.testing.assert_close(values.grad, x.sum())
    torch.testing.assert_close(gossamer.sddmm(A, torch.ones(2), x).data, torch.tensor([1.0, 0, 2]))


@every_matrix
@pytest.mark.parametrize("transform", [torch.func.jacrev, torch.func.jacfwd])
def test_jacobians_by_operand_and_values(A, transform):
    x = torch.arange(3.0)
    torch.testing.assert_close(transform(lambda x: A @ x)(x), DENSE)
    fresh = gossamer.compress(DENSE, "bitmap") if A is MATRICES["packed"] else A
    by_values = transform(lambda values: fresh.with_data(values) @ x)(fresh.data)
    torch.testing.assert_close(by_values, torch.tensor([[1.0, 0, 0], [0, 0, 2]]))


@every_matrix
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_vectorized_jacobians_of_autograd(A, strategy):
    jacobian = torch.autograd.functional.jacobian
    x = torch.arange(3.0)
    found = jacobian(lambda x: A @ x, x, vectorize=True, strategy=strategy)
    torch.testing.assert_close(found, DENSE)
    hessian = torch.autograd.functional.hessian(lambda x: (A @ x).square().sum(), x, vectorize=True)
    torch.testing.assert_close(hessian, 2 * DENSE.T @ DENSE)


def test_vectorized_jacobian_of_a_sparse_layer():
    layer = gossamer.nn.SparseLinear.from_mask(DENSE != 0)
    jacobian = torch.autograd.functional.jacobian(layer, torch.ones(4, 3), vectorize=True)
    expected = torch.einsum("ik,oj->iokj", torch.eye(4), layer.weight.todense().detach())
    torch.testing.assert_close(jacobian, expected)


@pytest.mark.parametrize("make", [gossamer.fromdense, gossamer.compress])
@pytest.mark.parametrize("transform", [torch.func.grad, torch.vmap])
def test_structure_of_transformed_elements_is_refused(make, transform):
    with pytest.raises(TypeError, match=r"that torch.func transforms cannot be read.*with_data"):
        transform(lambda W: make(W).data.sum())(
            torch.ones(2, 2, 2) if transform is torch.vmap else DENSE
        )


@every_matrix
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_traced_programs_multiply_what_they_are_given(A):
    program = torch.jit.trace(lambda x: A @ x, torch.zeros(3))
    x = torch.arange(3.0)
    torch.testing.assert_close(program(x), DENSE @ x)


@every_matrix
def test_pytorchs_names_of_products(A):
    x = torch.arange(3.0)
    for name, given in (("mv", x), ("mm", x[:, None]), ("matmul", x)):
        torch.testing.assert_close(getattr(torch, name)(A, given), DENSE @ given)
    torch.testing.assert_close(torch.mm(torch.ones(1, 2), A), torch.ones(1, 2) @ DENSE)


@every_matrix
def test_operands_of_pytorchs_products_have_names(A):
    x = torch.arange(3.0)
    torch.testing.assert_close(torch.mm(A, mat2=x[:, None]), DENSE @ x[:, None])
    torch.testing.assert_close(torch.mv(vec=x, input=A), DENSE @ x)
    torch.testing.assert_close(torch.sparse.mm(A, x[:, None]), DENSE @ x[:, None])
    torch.testing.assert_close(torch.matmul(other=A, input=torch.ones(2)), DENSE.sum(0))


@every_matrix
@pytest.mark.parametrize("name", ["mm", "mv", "matmul"])
def test_what_pytorchs_products_take_besides_is_refused(A, name):
    x = torch.ones(3) if name == "mv" else torch.ones(3, 1)
    y = torch.full((2, *x.shape[1:]), 7.0)
    with pytest.raises(TypeError, match=rf"torch.{name} of .* its two operands only, not out"):
        getattr(torch, name)(A, x, out=y)
    assert y.eq(7).all()


@pytest.mark.parametrize("name", ["add", "sub"])
def test_scaled_sums_are_refused(name):
    A, function = MATRICES["sparse"], getattr(torch, name)
    with pytest.raises(TypeError, match=rf"torch.{name} of .*only, not alpha; scale an operand"):
        function(A, A, alpha=3)
    torch.testing.assert_close(function(A, other=A).todense(), function(DENSE, DENSE))


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.float64])
def test_autocast_leaves_alone_what_16_bits_would_cut(dtype):
    W = DENSE.to(dtype) * (1 + 1j if dtype.is_complex else 1)
    for values, x in ((W, torch.ones(3, dtype=dtype)), (W, torch.ones(3)), (DENSE, W[1])):
        layer = gossamer.nn.SparseLinear(gossamer.fromdense(values))
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer(x), values.to(dtype) @ x.to(dtype))


@every_matrix
def test_nested_tensors_are_refused(A):
    x = torch.nested.nested_tensor([torch.ones(3), torch.ones(3)], layout=torch.strided)
    with pytest.raises(TypeError, match=r"x is a nested tensor; multiply x.unbind\(\) one by one"):
        A @ x


@pytest.mark.parametrize("make", [gossamer.fromdense, gossamer.compress])
def test_structure_of_tensors_without_elements_is_refused(make):
    with pytest.raises(TypeError, match='a tensor on the device "meta" has no elements to read'):
        make(DENSE.to("meta"))


def test_layers_on_the_device_without_elements():
    for layer in (
        gossamer.nn.SparseLinear.from_mask(DENSE != 0),
        gossamer.nn.PackedLinear(gossamer.compress(DENSE, "bitmap")),
    ):
        y = layer.to("meta")(torch.ones(5, 3, device="meta"))
        assert (y.shape, y.device.type) == ((5, 2), "meta")


@pytest.mark.parametrize("there", ["meta", "cpu"])
def test_operands_on_another_device_are_refused(there):
    """PyTorch's dispatcher would take one device's kernel for all, and leave results unwritten."""
    x = torch.ones(3, device="cpu" if there == "meta" else "meta")
    for layer in (
        gossamer.nn.SparseLinear.from_mask(DENSE != 0),
        gossamer.nn.PackedLinear(gossamer.compress(DENSE, "bitmap")),
    ):
        layer.to(there)
        for call in (layer, lambda x, layer=layer: torch.func.jvp(layer, (x,), (x,))):
            with pytest.raises(ValueError, match=rf"values is on {there} and x on {x.device}"):
                call(x)
    A, away = MATRICES["sparse"], torch.ones(3, device="meta")
    with pytest.raises(ValueError, match=r"u is on meta and v on cpu; move one .* u.to\('cpu'\)"):
        gossamer.sddmm(A, away[:2], torch.ones(3))
    with pytest.raises(ValueError, match="B is on meta and A on cpu"):
        A @ A.with_data(away).T
    with pytest.raises(ValueError, match=r"data is on Device\(meta, 0\) and P on Device\(cpu, 0\)"):
        MATRICES["packed"].with_data(away)


@pytest.mark.parametrize("make", [gossamer.fromdense, gossamer.compress])
def test_structure_of_fake_tensors_is_refused(make):
    fake = pytest.importorskip("torch._subclasses.fake_tensor")
    with fake.FakeTensorMode():
        W = torch.ones(2, 3)
    with pytest.raises(TypeError, match=r"elements of a FakeTensor cannot be read .* plain tensor"):
        make(W)


@pytest.mark.skipif(
    not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"), reason="this PyTorch has no such API"
)
@pytest.mark.parametrize("version", [1, 2])
def test_tensors_are_described_by_the_known_version_of_the_exchange_api(version):
    pointer, capsule = ctypes.pythonapi.PyCapsule_GetPointer, ctypes.pythonapi.PyCapsule_New
    pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    capsule.restype = ctypes.py_object
    capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = b"dlpack_exchange_api"
    head = ctypes.string_at(pointer(torch.Tensor.__dlpack_c_exchange_api__, name), 48)
    api = ctypes.create_string_buffer(version.to_bytes(4, "little") + head[4:])

    class Other(torch.Tensor):
        __dlpack_c_exchange_api__ = capsule(ctypes.addressof(api), name, None)

    other = torch.empty(0).as_subclass(Other)
    assert gossamer._engine.has_exchange_api(other) == (version == 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_leaves_products_of_containers_alone(dtype):
    W = torch.eye(4)
    x = torch.ones(4, dtype=dtype)
    for A in (gossamer.fromdense(W), gossamer.compress(W, "bitmap")):
        with torch.autocast("cpu", torch.bfloat16):
            assert (A @ x).dtype is torch.float32
            torch.testing.assert_close(A @ x, torch.ones(4))


def test_functions_that_containers_have_not_tell_the_way():
    A, P = gossamer.fromdense(torch.eye(4)), gossamer.compress(torch.eye(4), "bitmap")
    for array, name, rest in ((A, "A", r"A.with_data\(f\(A.data"), (P, "P", r"P.decompress\(\)")):
        way = rf": write {name} @ x or x @ {name}.T for products, {rest}"
        with pytest.raises(TypeError, match=rf"PyTorch's relu does not take a .*{way}"):
            torch.relu(array)
        with pytest.raises(TypeError, match=rf"PyTorch's linear does .*: write x @ {name}\.T$"):
            torch.nn.functional.linear(torch.ones(4), array)
    for call, advice in (
        (torch.abs, "abs(A)"),
        (torch.sum, "A.sum(axis)"),
        (torch.diagonal, "A.diagonal(...)"),
        (torch.sqrt, "A.with_data(torch.sqrt(A.data)), A canonical"),
        (torch.clone, "A.copy()"),
        (lambda A: torch.transpose(A, 0, 1), "A.T"),
        (lambda A: torch.cat([A, A]), "gossamer.vstack or gossamer.hstack"),
        (lambda A: torch.vstack([A, A]), "gossamer.vstack([A, B])"),
    ):
        with pytest.raises(TypeError) as caught:
            call(A)
        assert str(caught.value).endswith(f" does not take a CSRArray: write {advice}")
    with pytest.raises(TypeError, match=r"PackedArray: write P\.tocsr\(\)\.sum\(\.\.\.\)$"):
        torch.sum(P)


def test_rows_that_share_memory_may_be_more_than_memory_has_bytes():
    """2**57 rows of 128 bytes, which begin anywhere in a cache line."""
    rows = 2**57
    A = gossamer.csr_array((torch.ones(2, dtype=torch.float64), [0, rows - 1], [0, 2]), (1, rows))
    for first in range(3):
        row = torch.ones(20, dtype=torch.float64)[first : first + 16]
        assert (A @ row.expand(rows, 16)).tolist() == [[2.0] * 16]
