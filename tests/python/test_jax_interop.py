# SPDX-License-Identifier: Apache-2.0
"""JAX's own sparse arrays, taken over and made."""

import gossamer
import numpy as np
import pytest
from cases import build, every_dense_matrix

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy
from jax.experimental import sparse  # noqa: E402

DENSE = np.array([[0.0, 2, 0], [1, 0, 3], [0, 0, 0]], np.float32)


def of_jax(matrix, format):
    A = build(matrix, np.float32, format)
    return A.with_data(jnp.asarray(A.data))


@pytest.mark.parametrize("format", ["csr", "coo"])
@every_dense_matrix
def test_there_and_back(matrix, format):
    A = of_jax(matrix, format)
    S = A.to_jax()
    assert isinstance(S, sparse.BCSR if format == "csr" else sparse.BCOO)
    assert S.data is A.data
    assert (S.indices_sorted, S.unique_indices) == (A.has_sorted_indices, A.has_canonical_format)
    B = gossamer.from_jax(S)
    assert (B.format, B.shape, B.index_dtype) == (format, A.shape, np.int32)
    assert B.data is A.data
    for found, expected in zip(B._index_arrays(), A._index_arrays(), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [sparse.BCSR, sparse.BCOO])
def test_padding_is_left_out(kind):
    A = gossamer.from_jax(kind.fromdense(jnp.asarray(DENSE), nse=7))
    assert A.nnz == 3
    np.testing.assert_array_equal(A.todense(), DENSE)


def test_indices_of_bcsr_are_borrowed():
    S = sparse.BCSR.fromdense(jnp.asarray(DENSE))
    A = gossamer.from_jax(S)
    assert A.indices.ctypes.data == S.indices.unsafe_buffer_pointer()
    assert A.indptr.ctypes.data == S.indptr.unsafe_buffer_pointer()


def test_gradients_pass():
    S, x = sparse.BCSR.fromdense(jnp.asarray(DENSE), nse=5), jnp.array([1.0, 10, 100], "float32")

    def ours(values):
        A = gossamer.from_jax(sparse.BCSR((values, S.indices, S.indptr), shape=S.shape))
        return (A.to_jax() @ x).sum() + (A @ x).sum()

    np.testing.assert_array_equal(jax.grad(ours)(S.data), [20, 2, 200, 0, 0])


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (
            lambda: gossamer.from_jax(sparse.BCOO.fromdense(jnp.eye(2, dtype=int))),
            TypeError,
            r"^from_jax: matrix has dtype int\d+, .*data.astype",
        ),
        (lambda: gossamer.from_jax(jnp.eye(2)), TypeError, r"matrix is ArrayImpl, expected a BCOO"),
        (
            lambda: gossamer.from_jax(sparse.BCOO.fromdense(jnp.ones((2, 2, 2)), n_batch=1)),
            ValueError,
            r"matrix has shape \(2, 2, 2\), 1 batch and 0 dense axes",
        ),
        (lambda: gossamer.eye(2).to_jax(), TypeError, r"A holds numpy arrays, expected JAX's"),
        (
            lambda: gossamer.eye(2, dtype="f4", format="csc").to("jax").to_jax(),
            TypeError,
            r"A is CSC, which JAX has not; write A.tocsr",
        ),
        (
            lambda: gossamer.asarray(sparse.BCOO.fromdense(jnp.eye(2))),
            TypeError,
            r"asarray: x is a jax.*BCOO, a sparse matrix of its own kind; gossamer.from_sc",
        ),
        (
            lambda: gossamer.csr_array(sparse.BCSR.fromdense(jnp.eye(2))),
            TypeError,
            r"csr_array: arg is a jax.*BCSR, a sparse",
        ),
    ],
)
def test_refused(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt()


def test_wide_indices_need_wide_jax():
    jax.config.update("jax_enable_x64", False)
    try:
        A = gossamer.csr_array((jnp.ones(1), [2**40], [0, 1]), (1, 2**41))
        with pytest.raises(TypeError, match="JAX has no int64 unless"):
            A.to_jax()
    finally:
        jax.config.update("jax_enable_x64", True)
