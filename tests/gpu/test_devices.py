# SPDX-License-Identifier: Apache-2.0
"""A second GPU: work goes where the operands are, whichever device is current."""

import gossamer as gs
import pytest
from gossamer.cuda import engine, unavailable

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.skipif(
    bool(unavailable()) or engine().device_count() < 2, reason="needs two GPUs"
)


def half_empty(rows=300, cols=500):
    torch.manual_seed(0)
    dense = torch.randn(rows, cols, device="cuda:1")
    return dense * (torch.rand(rows, cols, device="cuda:1") < 0.4)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_packing_and_products(dtype):
    W = half_empty()
    P = gs.compress(W, dtype=dtype)
    assert P.device == gs.devices.Device("gpu", 1)
    D = P.decompress("float32")
    assert D.device == W.device
    for k in (1, 3, 16, 100):
        x = torch.randn(k, 500, device="cuda:1").half()
        y = x @ P.T
        assert y.device == W.device
        torch.testing.assert_close(y.float(), x.float() @ D.T, rtol=1e-2, atol=1e-1)
    assert torch.cuda.current_device() == 0


def test_containers():
    W = half_empty()
    A = gs.fromdense(W)
    x = torch.randn(500, 7, device="cuda:1", requires_grad=True)
    y = A @ x
    assert y.device == W.device
    torch.testing.assert_close(y, W @ x, rtol=1e-4, atol=1e-3)
    y.sum().backward()
    torch.testing.assert_close(x.grad, W.T @ torch.ones_like(y), rtol=1e-4, atol=1e-3)
    for B in (A.tocsc(), A.tocoo(), A.T.T.tocsr(canonical=True)):
        torch.testing.assert_close(B.todense(), W)
    C = A @ A.T
    torch.testing.assert_close(C.todense(), W @ W.T, rtol=1e-4, atol=1e-3)


def test_cupy():
    cupy = pytest.importorskip("cupy")
    with cupy.cuda.Device(1):  # asarray moves to the current device
        W, x = cupy.asarray(half_empty()), cupy.ones(500, cupy.float32)
    for M in (gs.compress(W), gs.fromdense(W)):
        y = M @ x
        assert y.device.id == 1
        with cupy.cuda.Device(1):
            assert float(abs(y - W @ x).max()) < 1e-3


def test_mixed_devices_are_refused():
    W = half_empty()
    x = torch.ones(500, device="cuda:0")
    for M in (gs.compress(W), gs.fromdense(W)):
        with pytest.raises(ValueError, match=r"x is on cuda:0 and . on cuda:1"):
            M @ x
        assert torch.isfinite(M @ x.to("cuda:1")).all()
    A, B = gs.fromdense(W), gs.fromdense(W.T.to("cuda:0"))
    with pytest.raises(ValueError, match="cuda:"):
        A @ B
    values, indices = torch.ones(1, device="cuda:1"), torch.zeros(1, device="cuda:0").int()
    mixed = gs.csr_array((values, indices, torch.tensor([0, 1], device="cuda:0")), (1, 1))
    assert mixed.device.index == 1
    assert (mixed @ torch.ones(1, device="cuda:1")).item() == 1


def test_a_graph_on_the_second_device():
    P = gs.compress(half_empty().half())
    x = torch.randn(500, device="cuda:1").half()
    with torch.cuda.device(1):
        P @ x
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        # PyTorch's own stream for captures belongs to the GPU on which the process captured first.
        with torch.cuda.graph(graph, stream=torch.cuda.Stream()):
            y, z = P @ x, P @ x
        x.mul_(2)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, P @ x)
        assert torch.equal(y, z)


def test_graphs_in_turns_on_both_devices():
    from allocation import allocated

    W = half_empty().half()
    matrices = [gs.compress(W.to(device)) for device in ("cuda:0", "cuda:1")]
    operands = [torch.randn(500, device=P._storage.values.device).half() for P in matrices]
    expected = [P @ x for P, x in zip(matrices, operands, strict=True)]
    streams = [torch.cuda.Stream(i) for i in range(2)]

    def turn():
        for i, stream in enumerate(streams):
            with torch.cuda.device(i):
                graph = torch.cuda.CUDAGraph()
                with torch.cuda.graph(graph, stream=stream):
                    y = matrices[i] @ operands[i]
                graph.replay()
                torch.cuda.synchronize()
                assert torch.equal(y, expected[i])

    turn()
    before = []
    for i in range(2):
        with torch.cuda.device(i):
            before.append(allocated())
    for _ in range(30):
        turn()
    for i in range(2):
        with torch.cuda.device(i):
            assert allocated(before[i]) <= before[i]
