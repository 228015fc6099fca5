# SPDX-License-Identifier: Apache-2.0
"""SparseLinear, PyTorch's layer over a sparse weight."""

import copy
import pickle

import gossamer
import numpy as np
import pytest

torch = pytest.importorskip("torch")
from gossamer import nn  # noqa: E402
from sparse_tensors import dense, operand, sparse  # noqa: E402
from torch.autograd import gradcheck, gradgradcheck  # noqa: E402


def test_a_sparse_layer_of_a_dense_weight():
    dense = sparse().todense().requires_grad_()
    layer = nn.SparseLinear.from_dense(dense)
    assert layer.bias is None
    torch.testing.assert_close(layer.weight.todense(), dense)
    few = nn.SparseLinear.from_dense(dense, torch.ones(9, dtype=dense.dtype), threshold=0.5)
    assert len(few.values) == int((dense.abs() > 0.5).sum())
    torch.testing.assert_close(few.bias, torch.ones(9, dtype=dense.dtype))
    with pytest.raises(TypeError, match=r"from_dense: weight is Linear.*SparseLinear.from_linear"):
        nn.SparseLinear.from_dense(torch.nn.Linear(2, 3))


def test_sparse_linear_is_a_linear_layer():
    dense_layer = torch.nn.Linear(7, 9)
    mask = dense() != 0
    layer = nn.SparseLinear.from_linear(dense_layer, mask)
    with torch.no_grad():
        dense_layer.weight *= mask
    assert f"nnz={int(mask.sum())}" in repr(layer)
    for shape in ((7,), (4, 7), (2, 3, 7)):
        x = operand(*shape, dtype=torch.float32)
        torch.testing.assert_close(layer(x), dense_layer(x))
    x = operand(4, 7, dtype=torch.float32)
    layer(x).square().sum().backward()
    dense_layer(x).square().sum().backward()
    torch.testing.assert_close(layer.values.grad, dense_layer.weight.grad[mask])
    torch.testing.assert_close(layer.bias.grad, dense_layer.bias.grad)
    assert layer.double()(x.double()).dtype is torch.float64
    layer.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype is torch.bfloat16


def test_values_and_x_meet_in_one_dtype():
    layer = nn.SparseLinear.from_mask(dense() != 0)
    for narrow in (torch.float16, torch.bfloat16, torch.float32):
        assert layer(operand(7, dtype=narrow)).dtype is torch.float32
    assert layer(operand(7)).dtype is torch.float64


@pytest.mark.parametrize("missing", ["values", "indices", "indptr"])
def test_another_pattern_comes_whole_or_not_at_all(missing):
    W, x = dense(), operand(7)
    layer = nn.SparseLinear(gossamer.fromdense(W))
    other = nn.SparseLinear(gossamer.fromdense(W.flip(0)))  # as many values
    state, before = other.state_dict(), layer(x)
    del state[missing]
    with pytest.raises(RuntimeError, match=f"{missing} missing beside the rest"):
        layer.load_state_dict(state, strict=False)
    assert torch.equal(layer(x), before)
    layer.load_state_dict({"values": 2 * layer.values.detach()}, strict=False)
    assert torch.equal(layer(x), 2 * before)


def test_a_bias_gets_gradients_of_both_orders():
    layer = nn.SparseLinear(gossamer.fromdense(dense()), torch.zeros(9, dtype=torch.float64))
    leaves = [t.detach().clone().requires_grad_() for t in (layer.values, layer.bias)]

    def call(x, values, bias):
        return torch.func.functional_call(layer, {"values": values, "bias": bias}, (x,))

    for shape in ((7,), (3, 7), (2, 0, 7)):
        x = operand(*shape).requires_grad_()
        assert gradcheck(call, (x, *leaves))
        assert gradgradcheck(call, (x, *leaves))
        plain = call(x, *leaves) - leaves[1]
        torch.testing.assert_close(plain, x @ gossamer.fromdense(dense()).T)


def test_sparse_linear_copies_and_state():
    layer = nn.SparseLinear.from_linear(torch.nn.Linear(7, 9), dense() != 0)
    x = operand(4, 7, dtype=torch.float32)
    other = nn.SparseLinear.from_mask(dense(9, 7, density=0.8) != 0)
    assert len(other.values) != len(layer.values)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
        assert twin.values.data_ptr() != layer.values.data_ptr()
    state = layer.state_dict()
    state["indices"] = state["indices"] + 7
    with pytest.raises(RuntimeError, match=r"out of range for 7 columns"):
        layer.load_state_dict(state)


def test_sparse_linear_starts_with_the_variance_of_a_dense_layer():
    mask = torch.rand(400, 300, generator=torch.Generator().manual_seed(0)) < 0.1
    layer = nn.SparseLinear.from_mask(mask, bias=False)
    assert len(layer.values) == mask.sum()
    y = layer(operand(200, 300, dtype=torch.float32))
    assert y.var().item() == pytest.approx(1 / 3, rel=0.05)


def test_sparse_linear_refuses_what_does_not_fit():
    with pytest.raises(TypeError, match=r"expected a sparse array over tensors"):
        nn.SparseLinear(gossamer.eye(2))
    with pytest.raises(ValueError, match=r"bias has shape \(2,\), expected \(9,\)"):
        nn.SparseLinear(sparse(), torch.zeros(2))
    with pytest.raises(TypeError, match=r"mask has dtype torch.float64, expected torch.bool"):
        nn.SparseLinear.from_linear(torch.nn.Linear(7, 9), dense())
    with pytest.raises(TypeError, match=r"linear is Tensor, expected nn.Linear"):
        nn.SparseLinear.from_linear(dense())
    with pytest.raises(ValueError, match=r"mask has shape \(9, 7\), .* weight's, \(9, 8\)"):
        nn.SparseLinear.from_linear(torch.nn.Linear(8, 9), dense() != 0)
    with pytest.raises(ValueError, match=r"mask has shape \(7,\), expected \(out_features, in_f"):
        nn.SparseLinear.from_mask(torch.ones(7, dtype=torch.bool))
    with pytest.raises(TypeError, match=r"mask is a numpy.ndarray, .* torch.as_tensor\(mask\)"):
        nn.SparseLinear.from_mask(np.ones((9, 7), bool))
    with pytest.raises(TypeError, match=r"Linear\(.* made by SparseLinear.from_linear"):
        nn.SparseLinear(torch.nn.Linear(7, 9))
    with pytest.raises(ValueError, match=r"x has shape \(8,\), expected \(..., 7\)"):
        nn.SparseLinear(sparse())(operand(8))
