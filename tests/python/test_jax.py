# SPDX-License-Identifier: Apache-2.0
"""Programs that XLA compiles: whether they call the engine or go by Python, and what comes out.

What JAX shares with the other frameworks is in test_frameworks.py.
"""

import pickle

import gossamer
import numpy as np
import pytest
from cases import build, every_matrix, named, operand
from gossamer import _engine

jax = pytest.importorskip("jax", reason="JAX is not installed")
jnp = jax.numpy
from gossamer.arrays import jax as operations  # noqa: E402
from gossamer.arrays import xla  # noqa: E402

FLOAT32 = np.dtype(np.float32)


def sparse(matrix, dtype=FLOAT32):
    A = build(matrix, dtype)
    return gossamer.csr_array((jnp.asarray(A.data), A.indices, A.indptr), A.shape)


def packed():
    W = np.random.default_rng(5).standard_normal((12, 70)).astype(np.float32)
    W[np.abs(W) < 1] = 0
    return gossamer.compress(jnp.asarray(W), "gap4")


def calls():
    """Each operation, its arguments, and how many of them are arrays."""
    A, P = sparse(named("random_0.1")), packed()
    pattern, slots = A._pattern, P._storage.slots
    (rows, cols), x = A.shape, jnp.asarray(operand((70,), FLOAT32))
    transposed, index_map = pattern.transpose()
    product = (A.tocsc().tocsr() @ A.T)._pattern
    selection = gossamer.structure.Selection(A.nnz, index_map)
    u, v = (jnp.asarray(operand((2, 1, 2, n, 3), FLOAT32)) for n in (rows, cols))
    spgemm = (A.data, A.data[index_map], pattern, transposed, product, False)
    return {
        "matmul": (2, A.data, v, pattern, False, False),
        "sddmm": (2, u, v, pattern),
        "spgemm": (2, *spgemm),
        "segment_sum": (1, A.data, selection),
        "todense": (1, A.data, pattern, True),
        "packed_matmul": (1, x, P._storage.host, False, False),
        "tracked_packed_matmul": (2, P.data, x, slots, False, False),
        "verified": (
            2,
            (Q := gossamer.compress(P.decompress(), dtype="int8")).data,
            x,
            Q._storage.host,
        ),
    }


@pytest.mark.parametrize("name", calls())
def test_compiled_operations_say_which_way_they_go(name):
    count, *arguments = calls()[name]
    arrays, static = arguments[:count], tuple(arguments[count:])
    operation = getattr(operations, name)
    program = jax.jit(lambda *arrays: operation(*arrays, *static))
    text = program.lower(*arrays).as_text()
    assert (f"@gossamer_{name}" in text) == (name in _engine.xla_handlers())
    assert ("callback" in text) == (name not in _engine.xla_handlers())
    by_python = jax.jit(lambda *arrays: operation._callback(*arrays, static=static))
    np.testing.assert_array_equal(program(*arrays), by_python(*arrays))


def test_the_configuration_says_which_way_jax_goes(capsys):
    way = "jax.ffi" if _engine.xla_handlers() else "callbacks"
    assert gossamer.show_config()["jax"] == way
    assert way in capsys.readouterr().out


@every_matrix
def test_compiled_products_have_the_bits_of_called_ones(matrix):
    A = sparse(matrix)
    for shape in ((), (3,), (70,)):
        x = jnp.asarray(operand((matrix.cols, *shape), FLOAT32))
        z = jnp.asarray(operand((*shape, matrix.rows), FLOAT32))
        for product, given in (
            (lambda x: A @ x, x),
            (lambda z: z @ A, z),
            (lambda x: A.T.__rmatmul__(x.T), x),
        ):
            np.testing.assert_array_equal(jax.jit(product)(given), product(given))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "complex64", "complex128"])
def test_compiled_dtypes(dtype):
    jax.config.update("jax_enable_x64", True)
    dtype = jnp.dtype(dtype)
    A, x = sparse(named("random_0.1"), dtype), jnp.asarray(operand((4, 1, 1, 70, 2), dtype))
    x = jnp.repeat(x, A.shape[1], 3)[:, :, :, : A.shape[1]]
    np.testing.assert_array_equal(jax.jit(lambda x: A @ x)(x), A @ x)


def test_structures_live_as_long_as_the_program():
    """The array is dropped; its program still has the positions."""
    x = jnp.ones(300, jnp.float32)
    row = np.random.default_rng(0).integers(0, 300, 2000)
    make = lambda: gossamer.coo_array((jnp.ones(2000), (row, row[::-1])), (300, 300)).tocsr()  # noqa: E731
    program = (lambda A: jax.jit(lambda x: A @ x).lower(x).compile())(make())
    junk = [make() for _ in range(50)]
    np.testing.assert_array_equal(program(x), junk[0] @ x)


@pytest.mark.skipif(not xla.CALLS, reason="this build has no handlers for XLA")
def test_a_program_of_another_process_is_refused(monkeypatch):
    A = sparse(named("random_0.1"))
    x = jnp.ones(A.shape[1], jnp.float32)
    monkeypatch.setattr(_engine, "xla_session", lambda: 1)
    with pytest.raises(Exception, match="compiled in another process"):
        jax.jit(lambda x: A @ x)(x).block_until_ready()


def tracked_packed():
    P = packed()
    return P.with_data(P.data)


@pytest.mark.parametrize("kind", [lambda: sparse(named("random_0.5")), tracked_packed])
def test_values_that_do_not_fit_the_structure_are_refused(kind):
    with pytest.raises(ValueError, match=r"values have shape \(2,\), expected"):
        jax.tree_util.tree_map(lambda values: values[:2], kind())


def test_values_of_a_batch_are_refused_where_one_matrix_is_meant():
    batch = jax.tree_util.tree_map(lambda v: jnp.stack([v, v]), sparse(named("random_0.5")))
    with pytest.raises(ValueError, match=r"values have shape"):
        jax.jit(lambda A: A @ jnp.ones(A.shape[1]))(batch)
    with pytest.raises(ValueError, match=r"values have shape"):
        batch.sum(axis=0)


def test_a_packed_matrix_that_was_pickled_takes_values_in_a_program():
    P = packed()
    Q = pickle.loads(pickle.dumps(P.with_data(P.data)))
    x = jnp.ones(70, jnp.float32)
    np.testing.assert_array_equal(jax.jit(lambda d: Q.with_data(d) @ x)(P.data), P @ x)


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3"])
def test_rounded_values_are_leaves_without_a_derivative(dtype):
    P, x = gossamer.compress(packed().decompress(), "gap4", dtype=dtype), jnp.ones(70, jnp.float32)
    loss = lambda P, x: ((P @ x) ** 2).sum()  # noqa: E731
    for loss_of in (loss, jax.jit(loss)):
        with pytest.raises(TypeError, match=r"real- or complex-valued inputs .* but got u?int8"):
            jax.grad(loss_of)(P, x)
        by_values = jax.grad(loss_of, allow_int=True)(P, x).data
        assert by_values.dtype == jax.dtypes.float0
        assert by_values.shape == P.data.shape
        expected = jax.grad(lambda x: ((P.decompress() @ x) ** 2).sum())(x)
        np.testing.assert_allclose(jax.grad(loss_of, 1)(P, x), expected, rtol=1e-5)
    same = jax.jit(lambda P: P)(P)
    np.testing.assert_array_equal(same @ x, P @ x)
    assert same.data.dtype == P.data.dtype
    with pytest.raises(ValueError, match=rf"packed array of {dtype} got other values as a leaf"):
        jax.tree_util.tree_map(lambda values: values[::-1], P)
    with pytest.raises(ValueError, match=rf"packed array of {dtype} got other values as a leaf"):
        jax.tree_util.tree_map(np.zeros_like, P)
    on_host = jax.device_get(P)
    assert on_host.data.dtype == P.data.dtype
    np.testing.assert_array_equal(on_host @ x, P @ x)


@pytest.mark.parametrize("dtype", ["int8", "float8_e4m3"])
@pytest.mark.parametrize(
    "use",
    [
        lambda P: P @ jnp.ones(70, "float32"),
        lambda P: jnp.ones(12, "float32") @ P,
        lambda P: P.decompress(),
    ],
)
def test_rounded_values_that_a_program_changes_are_refused(dtype, use):
    P = gossamer.compress(packed().decompress(), "gap4", dtype=dtype)
    changed = lambda P: use(jax.tree_util.tree_map(lambda values: values[::-1], P))  # noqa: E731
    np.testing.assert_array_equal(jax.jit(use)(P), use(P))
    with pytest.raises(Exception, match="got other values as a leaf"):
        jax.jit(changed)(P).block_until_ready()
    pair = jax.tree_util.tree_leaves(P)[0]
    rebuild = jax.tree_util.tree_structure(P).unflatten
    both = jax.jit(jax.vmap(lambda values: use(rebuild([values]))))
    # Several vectors are summed in another order than one.
    np.testing.assert_allclose(both(jnp.stack([pair, pair]))[1], use(P), rtol=1e-5)
    with pytest.raises(Exception, match="got other values as a leaf"):
        both(jnp.stack([pair, pair[::-1]])).block_until_ready()


def test_programs_take_rounded_values_as_they_are_without_comparing():
    """The buffer that the program gets is the one that the matrix has."""
    P = gossamer.compress(packed().decompress(), "gap4", dtype="int8")
    assert P.data.unsafe_buffer_pointer() == P._storage.host.values.ctypes.data
