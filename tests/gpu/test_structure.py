# SPDX-License-Identifier: Apache-2.0
"""Positions that stay on the GPU: constructed, validated, converted and multiplied there."""

from importlib.util import find_spec

import gossamer as gs
import numpy as np
import pytest
from cases import build, dense, every_dense_matrix, every_matrix, named
from gossamer.cuda import memory_of
from gossamer.cuda.structure import DeviceCooPattern, DevicePattern

every_framework = pytest.mark.parametrize(
    "framework", [name for name in ("cupy", "torch") if find_spec(name)]
)


def to_gpu(x, framework):
    x = np.array(x)
    if framework == "torch":
        import torch

        return torch.from_numpy(x).cuda()
    import cupy

    return cupy.asarray(x)


def to_host(x):
    return memory_of(x).to_host(x)


def on_gpu(A, framework):
    """The container with all its arrays on the GPU."""
    if A.format == "coo":
        data, row, col = (to_gpu(x, framework) for x in (A.data, A.row, A.col))
        return gs.coo_array((data, (row, col)), A.shape)
    parts = tuple(to_gpu(x, framework) for x in (A.data, A.indices, A.indptr))
    return (gs.csr_array if A.format == "csr" else gs.csc_array)(parts, A.shape)


def assert_same(A, B):
    """Hold a container on the GPU to one of NumPy arrays: positions, values and flags."""
    assert isinstance(A._csr()._pattern, DevicePattern)
    first, second = (C._index_arrays() for C in (A, B))
    for found, expected in zip(first, second, strict=True):
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    np.testing.assert_array_equal(to_host(A.data), B.data)


@every_framework
def test_index_dtype_is_changed_on_the_gpu(framework):
    for format in ("csr", "csc", "coo"):
        A = build(named("random_0.1"), np.float64, format, np.int64)
        make = getattr(gs, f"{format}_array")
        B = make(on_gpu(A, framework), index_dtype="int32")
        assert B.index_dtype == np.int32
        assert_same(B, make(A, index_dtype="int32"))


@every_framework
@every_matrix
def test_conversions_are_those_of_the_cpu(framework, matrix):
    for format in ("csr", "csc", "coo"):
        A = build(matrix, np.float64, format)
        B = on_gpu(A, framework)
        assert B.has_sorted_indices == A.has_sorted_indices
        assert B.has_canonical_format == A.has_canonical_format
        for convert in ("tocsr", "tocsc", "tocoo"):
            assert_same(getattr(B, convert)(), getattr(A, convert)())
        if A.nnz:
            found, expected = B.tocsr(canonical=True), A.tocsr(canonical=True)
            np.testing.assert_array_equal(found.indices, expected.indices)
            np.testing.assert_allclose(to_host(found.data), expected.data, rtol=1e-12, atol=1e-12)


@every_framework
@every_dense_matrix
def test_dense_matrices_and_back(framework, matrix):
    for dtype in (np.float16, np.float32, np.complex128):
        D = dense(matrix, np.dtype(dtype)).value.astype(dtype)
        for format in ("csr", "csc", "coo"):
            A = gs.fromdense(to_gpu(D, framework), format=format)
            assert_same(A, gs.fromdense(D, format=format))
            np.testing.assert_array_equal(to_host(A.todense()), D)


@every_framework
def test_int64_indices_stay(framework):
    A = build(named("random_1e-2"), np.float32, index_dtype=np.int64)
    B = on_gpu(A, framework)
    assert B.index_dtype == np.int64
    assert_same(B.tocsc(), A.tocsc())


@every_framework
@every_dense_matrix
def test_sparse_products(framework, matrix):
    A = build(matrix, np.float64)
    B = on_gpu(A, framework)
    for left, right, host in ((B, B.T, A @ A.T), (B.T, B, A.T @ A)):
        C, expected = left @ right, host.tocsr()
        assert isinstance(C._csr()._pattern, DevicePattern)
        np.testing.assert_array_equal(C.tocsr().indices, expected.indices)
        np.testing.assert_array_equal(C.tocsr().indptr, expected.indptr)
        np.testing.assert_allclose(to_host(C.tocsr().data), expected.data, rtol=1e-9, atol=1e-9)


@every_framework
def test_wrong_positions_are_named(framework):
    data, indptr = to_gpu(np.ones(3, np.float32), framework), to_gpu([0, 2, 3], framework)
    indices = to_gpu([0, 2, 1], framework)
    with pytest.raises(ValueError, match=r"csr_array: indices\[1\] = 9 is out of range"):
        gs.csr_array((data, to_gpu([0, 9, 1], framework), indptr), (2, 3))
    with pytest.raises(ValueError, match=r"csc_array: indptr\[2\] = 3 is less"):
        gs.csc_array((data, indices, to_gpu([0, 4, 3], framework)), (3, 2))
    with pytest.raises(ValueError, match=r"coo_array: row\[2\] = -1"):
        gs.coo_array((data, (to_gpu([0, 1, -1], framework), indices)), (2, 3))
    with pytest.raises(ValueError, match="indptr has 3 elements, expected 5"):
        gs.csr_array((data, indices, indptr), (4, 3))
    A = gs.csr_array((data, indices, indptr), (2, 3))
    assert to_host(A @ to_gpu(np.ones(3, np.float32), framework)).tolist() == [2, 1]


@every_framework
def test_what_is_written_to_index_arrays_later_is_not_seen(framework):
    indices = to_gpu([0, 2, 1], framework)
    parts = to_gpu(np.ones(3, np.float32), framework), indices, to_gpu([0, 2, 3], framework)
    A = gs.csr_array(parts, (2, 3))
    indices[...] = 77
    assert A.indices.tolist() == [0, 2, 1]


@every_framework
def test_positions_come_to_the_cpu_with_the_values(framework):
    A = build(named("unsorted"), np.float32)
    B = on_gpu(A, framework).to("cpu")
    assert not isinstance(B._pattern, DevicePattern)
    np.testing.assert_array_equal(B.tocsc().indices, A.tocsc().indices)
    C = on_gpu(build(named("unsorted"), np.float32, "coo"), framework)
    assert isinstance(C._pattern, DeviceCooPattern)
    assert not isinstance(C.to("cpu")._pattern, DeviceCooPattern)


@every_framework
def test_sums_and_slices(framework):
    A = build(named("random_0.1"), np.float64)
    B = on_gpu(A, framework)
    np.testing.assert_allclose(to_host(B.row_sums()), A.row_sums(), rtol=1e-12)
    np.testing.assert_allclose(to_host(B.col_sums()), A.col_sums(), rtol=1e-12)
    np.testing.assert_array_equal(to_host(B[3:7].todense()), A[3:7].todense())
    np.testing.assert_allclose(to_host((B + B.T.T).data), (A + A).data)


def test_gradients_through_structure():
    torch = pytest.importorskip("torch")
    A = build(named("duplicates"), np.float64, "coo")
    parts = [torch.from_numpy(np.array(x)).cuda() for x in (A.row, A.col)]
    values = torch.from_numpy(A.data.copy()).cuda().requires_grad_()
    B = gs.coo_array((values, tuple(parts)), A.shape).tocsr(canonical=True)
    weight = torch.randn(A.shape, dtype=torch.float64, device="cuda")
    (B.todense() * weight).sum().backward()
    expected = weight[parts[0].long(), parts[1].long()]
    assert torch.equal(values.grad, expected)
