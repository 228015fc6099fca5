# SPDX-License-Identifier: Apache-2.0
"""Packed matrices over CuPy arrays, and moves between devices."""

import gossamer as gs
import numpy as np
import pytest
from gossamer.devices import Device

cupy = pytest.importorskip("cupy")

DTYPES = ["float32", "float16", "bfloat16", "int8", "float8_e4m3"]


def matrix(shape, density, dtype=np.float32, seed=0):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal(shape).astype(dtype)
    return np.where(rng.random(shape) < density, W, 0).astype(dtype)


def assert_close(y, W, x):
    """Hold y = W x to the bound of sums in float32, rounded to y's dtype."""
    exact, moduli = (
        W.astype(float) @ x.astype(float),
        np.abs(W, dtype=float) @ np.abs(x, dtype=float),
    )
    n = W.shape[1] + 16
    bound = n * 2.0**-24 / (1 - n * 2.0**-24) * moduli + np.finfo(y.dtype).eps / 2 * np.abs(exact)
    assert y.shape == exact.shape
    assert (np.abs(cupy.asnumpy(y).astype(float) - exact) <= bound + 2.0**-24).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8"])
def test_compress_writes_the_bytes_of_the_cpu(format, dtype):
    W = matrix((70, 300), 0.3)
    P, Q = gs.compress(cupy.asarray(W), format, dtype), gs.compress(W, format, dtype)
    for name, part in Q._storage.parts().items():
        assert cupy.asnumpy(P._storage.parts()[name]).tobytes() == part.tobytes()
    assert P.nnz == Q.nnz
    np.testing.assert_array_equal(cupy.asnumpy(P.decompress("float32")), Q.decompress("float32"))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("x_dtype", [np.float32, np.float16])
def test_products(dtype, x_dtype):
    P = gs.compress(cupy.asarray(matrix((130, 257), 0.4)), dtype=dtype)
    W = cupy.asnumpy(P.decompress("float32"))
    for k in (1, 8, 64, 100):
        X = matrix((257, k), 1.0, x_dtype, k)
        y = P @ cupy.asarray(X)
        assert isinstance(y, cupy.ndarray)
        assert_close(y, W, X)
    x = matrix((257,), 1.0, x_dtype)
    assert_close(P @ cupy.asarray(x), W, x)
    z = matrix((3, 130), 1.0, x_dtype)
    assert_close((cupy.asarray(z) @ P).T, W.T, z.T)


def test_moves_between_devices():
    W = matrix((64, 100), 0.5)
    P = gs.compress(W)
    Q = P.to("cuda")
    assert P.device == Device("cpu")
    assert Q.device == Device("gpu", 0)
    assert Q.to("gpu:0") is Q
    x = np.ones(100, np.float32)
    assert_close(Q @ cupy.asarray(x), W, x)
    back = Q.to("cpu")
    np.testing.assert_array_equal(back.decompress(), W)
    np.testing.assert_array_equal(back @ x, P @ x)
    with pytest.raises(RuntimeError, match="this machine has"):
        P.to("gpu:99")
    with pytest.raises(ValueError, match="'tpu'"):
        P.to("tpu")


def test_use_gpu_says_where_host_data_go():
    W = matrix((64, 100), 0.5)
    try:
        assert gs.use_gpu() == Device("gpu", 0)
        P = gs.compress(W)
        assert P.device == Device("gpu", 0)
    finally:
        gs.use_cpu()
    assert gs.compress(W).device == Device("cpu")


def test_show_config_names_the_gpu(capsys):
    config = gs.show_config()
    assert config["cuda"]
    assert config["cuda"][0] in capsys.readouterr().out


def test_wrong_operands():
    P = gs.compress(cupy.asarray(matrix((8, 9), 0.5)))
    with pytest.raises(TypeError, match=r"x is a numpy.ndarray and P holds cupy"):
        P @ np.ones(9, np.float32)
    with pytest.raises(ValueError, match=r"x has shape \(8,\)"):
        P @ cupy.ones(8, np.float32)
    with pytest.raises(TypeError, match="nothing is cast silently"):
        P @ cupy.ones(9, np.float64)
    assert (P @ cupy.ones(9, np.float32)).shape == (8,)


def test_a_stream_of_cupy():
    W = matrix((512, 700), 0.5)
    P = gs.compress(cupy.asarray(W))
    x = np.ones(700, np.float32)
    with cupy.cuda.Stream(non_blocking=True) as stream:
        y = P @ cupy.asarray(x)
        stream.synchronize()
    assert_close(y, W, x)
