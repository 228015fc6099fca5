# SPDX-License-Identifier: Apache-2.0
"""Living with SciPy and NumPy, pickle and copy."""

import copy
import pickle
import sys

import gossamer
import numpy as np
import pytest
from cases import build, every_dtype, every_format, every_index_dtype, named
from error_bound import BFLOAT16

sparse = pytest.importorskip("scipy.sparse")
linalg = pytest.importorskip("scipy.sparse.linalg")

NAMES = ["unsorted", "duplicates", "banded", "no_entries", "empty_0x0", "empty_5x0", "wide"]


@pytest.mark.parametrize("name", NAMES)
@every_format
@every_index_dtype
def test_scipy_round_trip(name, format, index_dtype):
    A = build(named(name), np.complex64, format, index_dtype)
    S = A.to_scipy()
    assert isinstance(S, sparse.sparray)
    assert (S.format, S.shape, S.dtype) == (format, A.shape, A.dtype)
    assert np.shares_memory(S.data, A.data) or A.nnz == 0
    np.testing.assert_allclose(S.toarray(), A.todense(), rtol=1e-5)
    B = gossamer.from_scipy(S)
    assert type(B) is type(A)
    assert (B.data is A.data) or np.shares_memory(B.data, A.data) or A.nnz == 0
    np.testing.assert_array_equal(B.todense(), A.todense())
    own = A.to_scipy(copy=True)
    assert not np.shares_memory(own.data, A.data)
    own.sum_duplicates()
    np.testing.assert_allclose(own.toarray(), A.todense(), rtol=1e-5)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "bsr", "dia", "dok", "lil"])
@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csr_matrix])
def test_from_every_format_of_scipy(format, kind):
    S = kind(np.array([[0, 1.5, 0], [2.5, 0, 3.5]])).asformat(format)
    A = gossamer.from_scipy(S)
    assert A.format == (format if format in ("csr", "csc", "coo") else "csr")
    assert A.todense().tolist() == [[0, 1.5, 0], [2.5, 0, 3.5]]


def test_solvers_run_on_containers():
    n = 200
    A = gossamer.diags([[-1.0], [2.5], [-1.0]], [-1, 0, 1], (n, n))
    b = np.linspace(0, 1, n)
    for B in (A, A.tocsc(), A.tocoo()):
        operator = linalg.aslinearoperator(B)
        assert (operator.shape, operator.dtype) == ((n, n), np.float64)
        np.testing.assert_array_equal(operator.rmatvec(b), B.rmatvec(b))
        np.testing.assert_allclose(operator.matmat(np.eye(n)), A.todense())
        for solve in (linalg.cg, linalg.gmres, linalg.bicg):
            x, info = solve(B, b, rtol=1e-10)
            assert info == 0
            np.testing.assert_allclose(A @ x, b, atol=1e-8)
        smallest = linalg.eigsh(B, k=2, which="SA", return_eigenvectors=False)
        exact = 2.5 - 2 * np.cos(np.pi * np.arange(1, 3) / (n + 1))
        np.testing.assert_allclose(np.sort(smallest), exact, rtol=1e-9)
        largest = linalg.svds(B, k=1, return_singular_vectors=False)
        np.testing.assert_allclose(largest, 2.5 + 2 * np.cos(np.pi / (n + 1)))


@pytest.mark.parametrize("format", ["bitmap", "gap4", "gap8", "dense"])
def test_packed_arrays_are_operators(format):
    n = 40
    D = gossamer.diags([[-1.0], [2.5], [-1.0]], [-1, 0, 1], (n, n)).astype("float32").todense()
    P = gossamer.compress(D[:, :30], format)
    operator = linalg.aslinearoperator(P)
    assert (operator.shape, operator.dtype) == ((n, 30), np.float32)
    x, y = np.arange(30, dtype=np.float32), np.arange(n, dtype=np.float32)
    np.testing.assert_array_equal(operator.matvec(x), P @ x)
    np.testing.assert_array_equal(operator.rmatvec(y), P.T @ y)
    np.testing.assert_array_equal(operator.matmat(np.eye(30, dtype="f")), P.decompress())
    np.testing.assert_array_equal(operator.rmatmat(np.eye(n, dtype="f")), P.decompress().T)
    b = np.linspace(0, 1, n, dtype=np.float32)
    solution, info = linalg.cg(gossamer.compress(D, format), b, rtol=1e-5)
    assert info == 0
    np.testing.assert_allclose(D @ solution, b, atol=1e-4)


def test_complex_solve():
    n = 50
    A = gossamer.diags([[-1j], [4.0 + 0j], [1j]], [-1, 0, 1], (n, n))
    b = np.exp(1j * np.arange(n))
    x, info = linalg.cg(A, b, rtol=1e-12)
    assert info == 0
    np.testing.assert_allclose(A @ x, b, atol=1e-10)


@pytest.mark.parametrize("call", [np.asarray, np.array, np.exp, lambda A: np.ones(19) + A, np.sort])
def test_numpy_refuses_containers(call):
    with pytest.raises(TypeError):
        call(build(named("full"), np.float64))


@pytest.mark.parametrize("call", [np.asarray, lambda A: A.to_scipy() @ A])
def test_advice_of_asarray(call):
    with pytest.raises(TypeError, match=r"A\.todense\(\) or A\.to_scipy\(\) for all others"):
        call(build(named("full"), np.float64))


def test_direct_solvers_take_scipy_arrays():
    A, b = gossamer.diags([[-1.0], [4.0], [-1.0]], [-1, 0, 1], (9, 9)), np.ones(9)
    np.testing.assert_allclose(A @ linalg.spsolve(A.to_scipy(), b), b)
    np.testing.assert_allclose(A @ linalg.splu(A.tocsc().to_scipy()).solve(b), b)
    with pytest.raises(ValueError, match="CSRArray") as refused:
        linalg.spsolve(A, b)
    assert "A.to_scipy()" in str(refused.value.__cause__)
    exact = linalg.expm_multiply(A.to_scipy(), b)
    operator = linalg.aslinearoperator(A)
    np.testing.assert_allclose(linalg.expm_multiply(operator, b, traceA=A.trace()), exact)
    with pytest.raises(TypeError, match=r"give SciPy's functions A\.to_scipy\(\)"):
        linalg.expm_multiply(A, b)


@every_format
@every_dtype
def test_pickle_and_copy(format, dtype):
    A = build(named("duplicates"), dtype, format, np.int64)
    for B in (pickle.loads(pickle.dumps(A)), A.copy(), copy.deepcopy(A), copy.copy(A)):
        assert type(B) is type(A)
        assert (B.shape, B.dtype, B.index_dtype) == (A.shape, A.dtype, A.index_dtype)
        assert B.has_sorted_indices == A.has_sorted_indices
        np.testing.assert_array_equal(B.data, A.data)
        np.testing.assert_array_equal(B.todense(), A.todense())
    assert copy.copy(A) is A
    assert not np.shares_memory(A.copy().data, A.data)


def test_to_scipy_refuses_what_scipy_lacks():
    for dtype in (np.float16, BFLOAT16):
        with pytest.raises(TypeError, match="to_scipy: A has dtype"):
            build(named("full"), dtype).to_scipy()


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (gossamer.from_scipy, "from_scipy: matrix"),
        (gossamer.asarray, "asarray: x"),
        (gossamer.csr_array, "csr_array: arg"),
        (gossamer.compress, "compress: W"),
        (lambda S: gossamer.eye(3) @ S, "x"),
        (lambda S: gossamer.eye(3) + S, "B"),
    ],
)
def test_integers_of_scipy_are_refused_by_the_name_of_the_call(call, argument):
    S = sparse.eye_array(3, dtype=int, format="csr")
    with pytest.raises(TypeError, match=f"^{argument} has dtype int64.*silently: (.*)") as caught:
        call(S)
    # Only functions that take a dtype can be given one.
    takes = call in (gossamer.from_scipy, gossamer.csr_array)
    assert str(caught.value).endswith("give dtype=, as 'float32'") == takes


@pytest.mark.parametrize("x", [np.eye(3), [[1.0]], None, 3])
def test_from_scipy_refuses_others(x):
    with pytest.raises(TypeError, match=r"from_scipy: matrix is \w+, expected"):
        gossamer.from_scipy(x)


@pytest.mark.parametrize("format", ["csr", "csc", "coo", "lil"])
def test_from_scipy_casts_to_the_dtype_that_is_asked_for(format):
    S = sparse.eye_array(3, dtype=np.int64, format=format)
    with pytest.raises(TypeError, match=r"matrix has dtype int64, .*; .* dtype=, as 'float32'"):
        gossamer.from_scipy(S)
    A = gossamer.from_scipy(S, dtype="float32")
    assert (A.dtype, A.format) == (np.float32, "csr" if format == "lil" else format)
    np.testing.assert_array_equal(A.todense(), np.eye(3))


def test_scipy_that_is_not_installed_is_named(monkeypatch):
    A = gossamer.eye(2)
    monkeypatch.setitem(sys.modules, "scipy", None)
    with pytest.raises(ImportError, match=r"to_scipy needs SciPy: pip install '\.\[scipy\]'"):
        A.to_scipy()


def test_the_module_lists_what_it_offers():
    names = {name for name in dir(gossamer) if not name.startswith("__")}
    assert names == {*gossamer.__all__, "hf", "nn", "prune"}
