# SPDX-License-Identifier: Apache-2.0
"""What users of SciPy write: it works as there, or the message says what to write instead."""

import re

import gossamer
import ml_dtypes
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from cases import FORMATS, build, every_format, every_matrix
from gossamer import scipy_names

FLOAT64 = np.dtype(np.float64)


def symmetric(dtype=np.float64):
    S = scipy.sparse.random_array((30, 30), density=0.2, rng=np.random.default_rng(0))
    return gossamer.from_scipy((S + S.T + 5 * scipy.sparse.eye_array(30)).tocsr().astype(dtype))


@every_format
@every_matrix
def test_transpose_mean_and_extremes(matrix, format):
    A = build(matrix, FLOAT64).asformat(format)
    dense = A.todense()
    np.testing.assert_array_equal(A.transpose().todense(), dense.T)
    if 0 in A.shape:
        with pytest.raises(ValueError, match=r"has no elements"):
            A.max()
        return
    np.testing.assert_array_equal(A.max(), dense.max())
    np.testing.assert_array_equal(A.min(), dense.min())
    for axis in (0, 1, -1, -2):
        np.testing.assert_array_equal(A.max(axis), dense.max(axis))
        np.testing.assert_array_equal(A.min(axis), dense.min(axis))
    if np.isfinite(dense).all():
        for axis in (None, 0, 1, -1):
            np.testing.assert_allclose(A.mean(axis), dense.mean(axis), rtol=1e-13, atol=1e-15)


def test_zeros_that_are_not_stored_count():
    A = gossamer.coo_array(([-1.0, -2.0, 3.0], ([0, 0, 1], [0, 0, 1])), (2, 2))
    assert (A.min(), A.max()) == (-3, 3)
    assert gossamer.fromdense(np.full((2, 2), -1.0)).max() == -1
    assert gossamer.fromdense(np.diag([-1.0, -2.0])).max() == 0
    assert np.isnan(gossamer.fromdense(np.diag([np.nan, 1.0])).max())
    np.testing.assert_array_equal(A.max(1), [0, 3])
    np.testing.assert_array_equal(A.min(0), [-3, 0])


@every_format
def test_numpys_functions_find_the_methods(format):
    A = symmetric(np.float32).asformat(format)
    dense = A.todense()
    for function in (np.sum, np.mean, np.max, np.min):
        np.testing.assert_allclose(function(A), function(dense), rtol=1e-5)
        with pytest.raises(TypeError, match=rf"out is ndarray, .*A.{function.__name__}\(axis\)"):
            function(A, out=np.empty(()))
    found = np.mean(A, axis=0, dtype=np.float64)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.mean(dense, axis=0, dtype=np.float64), rtol=1e-12)
    copied = A.transpose(copy=True)
    copied.data[:] = 0
    np.testing.assert_array_equal(np.transpose(A).todense(), dense.T)


@every_format
@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_reductions_keep_their_axes(format, name):
    A = gossamer.fromdense(np.arange(6.0).reshape(2, 3), format=format)
    for axis in (None, 0, 1, -1, -2):
        expected = getattr(A.todense(), name)(axis=axis, keepdims=True)
        for found in (
            getattr(A, name)(axis=axis, keepdims=True),
            getattr(np, name)(A, axis=axis, keepdims=True),
        ):
            assert found.shape == expected.shape
            np.testing.assert_array_equal(found, expected)
    shares = A.multiply(1 / A.sum(axis=1, keepdims=True))
    np.testing.assert_allclose(shares.sum(1), [1, 1])


@every_format
@pytest.mark.parametrize("target", FORMATS)
@pytest.mark.parametrize("canonical", [False, True])
def test_conversions_that_copy_can_be_written_to(format, target, canonical):
    A = symmetric().asformat(format)
    before = A.todense()
    for B in (getattr(A, f"to{target}")(canonical, copy=True), A.asformat(target, copy=True)):
        B.data[:] = 0
    np.testing.assert_array_equal(A.todense(), before)


@pytest.mark.parametrize("of", [symmetric, lambda: gossamer.compress(symmetric(np.float32))])
def test_numpys_functions_say_what_to_write(of):
    A, x = of(), np.ones(30)
    for call in (np.sqrt, np.exp, np.asarray, lambda A: np.matmul(A, x), lambda A: np.dot(x, A)):
        with pytest.raises(TypeError, match=r"not become a NumPy array by itself: write [AP] @ x"):
            call(A)


def test_eigenvalues_near_a_number_are_of_scipys_matrix():
    with pytest.raises(AttributeError, match=r"scipy.sparse.linalg.eigsh.* sigma A\.to_scipy"):
        gossamer.eigsh  # noqa: B018


def test_numpys_operators_find_the_methods():
    A, x, y = symmetric(), np.ones(30), np.ones(30)
    y @= A
    np.testing.assert_array_equal(y, x @ A)
    for scaled in (np.float64(2) * A, np.array(2.0) * A, np.int64(2) * A):
        np.testing.assert_array_equal(scaled.data, 2 * A.data)
    for call, message in (
        (lambda: x + A, "B [+] A: B is ndarray, expected a sparse array"),
        (lambda: x * A, "A [*] B: B is ndarray, expected a scalar"),
        (lambda: x < A, "elementwise comparison"),
    ):
        with pytest.raises(TypeError, match=message):
            call()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_mean_is_rounded_last(dtype):
    A = gossamer.fromdense(np.full((300, 300), 100, np.float32)).astype(dtype)
    assert (A.mean(), A.mean().dtype) == (100, A.dtype)
    many = gossamer.fromdense(np.full((1000, 2), 100, np.float32)).astype(dtype)
    np.testing.assert_array_equal(many.mean(0).astype(np.float32), [100, 100])


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
def test_operators_of_unknown_dtype(dtype):
    """SciPy multiplies by zeros of int8 to learn the dtype."""
    A = symmetric(dtype)
    operator = scipy.sparse.linalg.LinearOperator(matvec=A.dot, shape=A.shape)
    assert operator.dtype == dtype
    largest = scipy.sparse.linalg.eigsh(A.to_scipy(), k=1)[0]
    for given in (operator, A, scipy.sparse.linalg.aslinearoperator(A)):
        np.testing.assert_allclose(scipy.sparse.linalg.eigsh(given, k=1)[0], largest, rtol=1e-5)
    largest = scipy.sparse.linalg.svds(A.to_scipy(), k=1)[1]
    np.testing.assert_allclose(scipy.sparse.linalg.svds(A, k=1)[1], largest, rtol=1e-5)


@pytest.mark.parametrize("integer", [np.int8, np.uint8, np.int16, np.int32, np.int64, bool])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.complex64])
def test_integer_operands_become_what_numpy_makes_of_them(dtype, integer):
    A, x = symmetric().astype(dtype), (np.arange(60).reshape(30, 2) % 5).astype(integer)
    expected = A.todense() @ x
    for found, y in ((A @ x, expected), (A @ x[:, 0], expected[:, 0]), (x.T @ A.T, expected.T)):
        assert found.dtype == y.dtype
        np.testing.assert_allclose(found, y, rtol=1e-2 if dtype == np.float16 else 1e-5)
    listed = A @ x[:, 0].tolist()
    assert listed.dtype == dtype
    np.testing.assert_allclose(listed, expected[:, 0], rtol=1e-2)


@pytest.mark.parametrize("integer", [np.int8, np.int64, bool])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_integer_operands_of_packed_products(dtype, integer):
    P = gossamer.compress(symmetric(np.float32).todense(), "bitmap", dtype)
    x = (np.arange(30) % 5).astype(integer)
    expected = P.decompress(np.float32) @ x
    narrow = dtype == "float16" and x.itemsize == 1
    for y in (P @ x, x @ P.T):
        assert y.dtype == ("float16" if narrow else "float32")
        np.testing.assert_allclose(y, expected, rtol=1e-2)
    if dtype != "float16":  # SciPy tries one byte
        operator = scipy.sparse.linalg.LinearOperator(matvec=P.__matmul__, shape=P.shape)
        assert operator.dtype == np.float32
    if dtype != "int8":
        with pytest.raises(TypeError, match=r"with_data: data has dtype int64"):
            P.with_data(np.ones(len(P.data), np.int64))


def test_integer_operands_of_sddmm():
    A = gossamer.eye(3, dtype="float32")
    U = np.arange(6).reshape(3, 2)
    expected = np.diagonal(U @ U.T)
    for given, dtype in (
        (U, np.float64),
        (U.astype(np.int8), np.float32),
        (U.tolist(), np.float32),
    ):
        sampled = gossamer.sddmm(A, given, given)
        assert sampled.dtype == dtype
        np.testing.assert_array_equal(sampled.data, expected)


def test_integer_operands_of_bfloat16():
    A = symmetric().astype("bfloat16")
    assert (A @ np.ones(30, np.int8)).dtype == ml_dtypes.bfloat16
    assert (A @ np.ones(30, np.int16)).dtype == np.float32


def test_diagonals_in_scipys_ways():
    d = np.arange(3.0)
    for given in (d, [d], [0, 1, 2], (0.0, 1, 2)):
        np.testing.assert_array_equal(gossamer.diags(given).todense(), np.diag(d))
    stencil = scipy.sparse.diags_array([1.0, -2.0, 1.0], offsets=[-1, 0, 1], shape=(5, 5)).toarray()
    for given in ([1, -2, 1], [1.0, -2, [1, 1, 1, 1]]):
        found = gossamer.diags(given, [-1, 0, 1], (5, 5))
        assert found.dtype == np.float64
        np.testing.assert_array_equal(found.todense(), stencil)
    assert gossamer.diags([1j], [0], (2, 2)).dtype == np.complex128
    with pytest.raises(ValueError, match=r"2 diagonals at offsets \[0\]"):
        gossamer.diags([d, d])
    counts = d.astype(np.int64)
    with pytest.raises(TypeError, match=r"diagonals\[0\] has dtype int64"):
        gossamer.diags([counts])
    cast = gossamer.diags([counts, [1, 2]], [0, 1], dtype="float32")
    assert cast.dtype == np.float32
    np.testing.assert_array_equal(cast.todense(), np.diag(d) + np.diag([1, 2], 1))
    with pytest.raises(TypeError, match=r"diags: dtype = int64, expected one of"):
        gossamer.diags([counts], dtype=np.int64)


def packed(A):
    return gossamer.compress(A.astype("float32"))


@pytest.mark.parametrize(
    ("attempt", "error", "message"),
    [
        (lambda A: A.getrow(0), AttributeError, r"'CSRArray' object .* 'getrow'; use A\[i\]$"),
        (lambda A: A.T.sum_duplicates(), AttributeError, r"'CSCArray'.*tocsr\(canonical=True\)"),
        (
            lambda A: A.sqrt(),
            AttributeError,
            r"use A.with_data\(numpy.sqrt\(A.data\)\), A canonical$",
        ),
        (lambda A: A.tolil(), AttributeError, r"use A.to_scipy\(\).tolil"),
        (lambda A: A.indeces, AttributeError, r"'indeces'; did you mean 'indices'\?$"),
        (lambda A: A._indeces, AttributeError, r"has no attribute '_indeces'$"),
        (lambda A: gossamer.io.save_np, AttributeError, "'save_np'; did you mean 'save_npz'"),
        (lambda A: gossamer.macko.compres, AttributeError, "did you mean 'compress'"),
        (lambda A: A.to_scipy() @ A, TypeError, r"write gossamer.from_scipy\(S\) @ A$"),
        (lambda A: gossamer.csr_aray, AttributeError, r"'csr_aray'; did you mean 'csr_array'\?$"),
        (
            lambda A: gossamer.compress(A.astype("float32")).todense,
            AttributeError,
            r"use P.decompress\(\)",
        ),
        (
            lambda A: gossamer.compress(A.astype("float32")).decompres,
            AttributeError,
            r"'decompress'\?$",
        ),
        (lambda A: gossamer.tril(A), AttributeError, r"use scipy.sparse.tril of what A.to_scipy"),
        (lambda A: gossamer.eye_array(3), AttributeError, r"use gossamer.eye$"),
        (lambda A: gossamer.load, AttributeError, r"use gossamer.io.load_npz, .*load_safetensors$"),
        (lambda A: gossamer.save, AttributeError, r"use gossamer.io.save_npz, .*save_safetensors$"),
        (lambda A: A.crow_indices(), AttributeError, r"use A.tocsr\(\).indptr$"),
        (lambda A: A.cuda(), AttributeError, r"use A.to\('gpu'\)$"),
        (lambda A: A.size(0), AttributeError, r"A.shape\[0\] is a tensor's size\(0\)$"),
        (lambda A: A.norm(), AttributeError, r"use A.row_norms\(\)"),
        (lambda A: packed(A).cuda(), AttributeError, r"use P.to\('gpu'\)$"),
        (lambda A: packed(A).sum(), AttributeError, r"use P.tocsr\(\).sum\(...\)$"),
        (lambda A: packed(A).float(), AttributeError, r"use gossamer.compress\(.*'float32'\)$"),
        (lambda A: packed(A).norm(), AttributeError, r"use P.tocsr\(\).row_norms\(\)"),
        (lambda A: gossamer.spdiags, AttributeError, r"use gossamer.diags$"),
        (lambda A: gossamer.from_mlx, AttributeError, r"use gossamer.fromdense, or .*csr_array"),
        (lambda A: gossamer.from_cupy, AttributeError, r"use gossamer.fromdense, or .*csr_array"),
        (lambda A: gossamer.to_torch, AttributeError, r"use A.to_torch\(\)$"),
        (lambda A: gossamer.pack, AttributeError, r"use gossamer.compress$"),
        (lambda A: gossamer.unpack, AttributeError, r"use P.decompress\(\)$"),
        (lambda A: gossamer.PackedArray(A), TypeError, r"storage is a .*Array; gossamer.compress"),
        (lambda A: gossamer.zeros, AttributeError, r"use gossamer.csr_array\(shape\)"),
        (lambda A: gossamer.csr_matrx, AttributeError, r"use gossamer.csr_array$"),
        (lambda A: gossamer.kernels, AttributeError, r"has no attribute 'kernels'$"),
        (lambda A: A.transpose(0), ValueError, r"axes = 0, expected None or \(1, 0\)"),
        (lambda A: A.transpose((0, 1)), ValueError, r"axes = \(0, 1\), expected None or \(1, 0\)"),
        (lambda A: A.max(axis=2), ValueError, r"max: axis = 2, expected 0, 1, or None for both"),
        (lambda A: (1j * A).max(0), TypeError, r"dtype complex128; complex numbers have no order"),
        (lambda A: (1j * A).min(), TypeError, r"min: A has dtype complex128; .*abs\(A\).min\(\)$"),
        (lambda A: A.diagonal(1.5), TypeError, r"diagonal: k = 1.5, expected an integer"),
        (lambda A: A.mean(2), ValueError, r"axis = 2, expected 0, 1, or None for both"),
        (lambda A: A.sum(axis=(0, 1)), ValueError, r"axis = \(0, 1\), expected 0, 1, or None"),
        (
            lambda A: A.sum(dim=1),
            TypeError,
            r"sum: there is no argument 'dim'; write A.sum\(axis\)",
        ),
        (lambda A: A.max(keepdim=True), TypeError, r"argument 'keepdim'; .* keepdims=True"),
        (lambda A: A.mean(dim=1), TypeError, r"there is no argument 'dim'; write A.mean\(axis\)"),
        (lambda A: A.min(dim=1), TypeError, r"there is no argument 'dim'; write A.min\(axis\)"),
        (
            lambda A: A.__setitem__((0, 0), 1),
            TypeError,
            r"positions .* S = A.to_scipy\(copy=True\)",
        ),
        (lambda A: A.__delitem__(0), TypeError, r"positions of a sparse array stay as they are"),
        (
            lambda A: setattr(A, "data", A.data),
            AttributeError,
            r"A.with_data\(values\) is a new one",
        ),
        (lambda A: packed(A).__setitem__(0, 1), TypeError, r"have products alone; .* P.tocsr\(\)"),
        (lambda A: packed(A).__delitem__(0), TypeError, r"have products alone"),
        (
            lambda A: setattr(packed(A), "data", 1),
            AttributeError,
            r"P.with_data\(values\) is a new",
        ),
        (lambda A: packed(A).numpy(), AttributeError, r"use P.to\('numpy'\), or P.decompress\(\)"),
        (lambda A: packed(A).matmul(1), AttributeError, r"use P @ x$"),
        (lambda A: packed(A).unpack(), AttributeError, r"use P.decompress\(\)$"),
        (lambda A: A.foo, AttributeError, r"has no attribute 'foo'$"),
        (lambda A: A.pack(), AttributeError, r"use gossamer.compress\(A\)$"),
        (lambda A: gossamer.COO, AttributeError, r"use gossamer.coo_array$"),
        (lambda A: gossamer.csr, AttributeError, r"use gossamer.csr_array$"),
        (lambda A: gossamer.abs, AttributeError, r"use abs\(A\)$"),
        (lambda A: A.sort_indices(), AttributeError, r"positions of a container stay as they are$"),
        (
            lambda A: A.getnnz(axis=0),
            AttributeError,
            r"numpy.diff\(A.tocsr\(\).indptr\) of each row",
        ),
        (lambda A: A.at, AttributeError, r"use A.with_data\(A.data.at\[k\].set\(x\)\)"),
        (lambda A: A @ 3, TypeError, r"A @ x: x is the number 3, .*write A \* x$"),
        (lambda A: 2.5 @ A, TypeError, r"x is the number 2.5, .*write A \* x$"),
        (
            lambda A: A @ np.array(["a"] * 3),
            TypeError,
            r"x has dtype str32, which holds no numbers$",
        ),
        (lambda A: gossamer.eye((3, 3)), TypeError, r"eye: m = \(3, 3\), expected an integer"),
        (
            lambda A: gossamer.random_array((3, 3), rng="seed"),
            TypeError,
            r"rng = 'seed', expected a numpy.random.Generator",
        ),
    ],
)
def test_what_is_not_there(attempt, error, message):
    with pytest.raises(error, match=message):
        attempt(gossamer.eye(3))


def advised(name, of, arguments="", matrix=None):
    """What the advice for a name evaluates to, with the arguments for its ellipsis."""
    with pytest.raises(AttributeError) as caught:
        getattr(of, name)
    advice = str(caught.value).partition("; use ")[2].replace("...", arguments)
    *statements, expression = re.split(r", (?=and |A canonical|a new |or |since |which )", advice)[
        0
    ].split("; ")
    scope = {
        "A": of if matrix is None else matrix,
        "gossamer": gossamer,
        "numpy": np,
        "scipy": scipy,
        "i": 1,
        "j": 2,
        "n": 2,
    }
    scope |= {"B": of, "axis": 0, "b": np.ones(3), "x": np.ones(3)}
    exec("; ".join(statements), scope)
    return eval(expression, scope)


VALUEWISE = (
    "arcsin arcsinh arctan arctanh ceil deg2rad expm1 floor log1p rad2deg rint sign sin sinh sqrt "
    "tan tanh trunc conjugate"
)
IN_PLACE = {
    "eliminate_zeros": "",
    "resize": "3, 4",
    "setdiag": "[1.0, 2.0, 0.5]",
    "sort_indices": "",
    "sum_duplicates": "",
}
MADE = {
    **dict.fromkeys(("tobsr", "todia", "todok", "tolil", "sorted_indices"), ""),
    **dict.fromkeys(("argmax", "argmin", "nanmax", "nanmin", "getnnz", "count_nonzero"), ""),
    **dict.fromkeys(("maximum", "minimum"), "0.25 * scipy.sparse.eye_array(5, 7)"),
    "reshape": "(7, 5)",
    "getcol": "2",
    "getrow": "1",
    **dict.fromkeys(("get_shape", "getH", "getformat"), ""),
}
ATTRIBUTES = ("A", "col", "coords", "imag", "indices", "indptr", "real", "row", "size")


def scipys(name, S, arguments=""):
    """What SciPy's matrix makes of it; the copy itself where that changes in place."""
    S = S.copy()
    scope = {"S": S, "scipy": scipy}
    if name == "A":
        return S.toarray()  # as it was, while SciPy had it
    result = eval(f"S.{name}" if name in ATTRIBUTES else f"S.{name}({arguments})", scope)
    return S if name in IN_PLACE else result


def as_dense(x):
    return x.toarray() if hasattr(x, "toarray") else np.asarray(x)


@pytest.mark.parametrize(
    "name", sorted({*VALUEWISE.split(), *IN_PLACE, *MADE, *ATTRIBUTES, "nonzero"})
)
def test_what_replaces_scipys_names(name):
    """The advice is right: each of its expressions does what SciPy's method does."""
    dense = scipy.sparse.random_array((5, 7), density=0.4, rng=np.random.default_rng(0)).toarray()
    old = name in ("get_shape", "getH", "getcol", "getformat", "getrow", "getnnz")
    S = (scipy.sparse.csr_matrix if old else scipy.sparse.csr_array)(dense)
    if name == "eliminate_zeros":
        S.data[::2] = 0
    A = gossamer.from_scipy(S)
    if name in ("indices", "indptr"):
        A = A.tocoo()
    if name in ("col", "row", "coords"):
        S = S.tocoo()
    arguments = {**IN_PLACE, **MADE}.get(name, "")
    found, expected = advised(name, A, arguments), scipys(name, S, arguments)
    np.testing.assert_array_equal(as_dense(found), as_dense(expected))
    if name in IN_PLACE:
        assert found.nnz == expected.nnz
    if name in ("tobsr", "todia", "todok", "tolil"):
        np.testing.assert_array_equal(gossamer.from_scipy(found).todense(), dense)


def test_every_advice_of_a_method_is_evaluated():
    known = {*VALUEWISE.split(), *IN_PLACE, *MADE, *ATTRIBUTES, "nonzero", "check_format"}
    assert set(scipy_names._METHODS) == known


@pytest.mark.parametrize("name", sorted({*scipy_names._TENSORS} - {"cuda", "norm"}))
def test_what_replaces_pytorchs_names(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    dense = torch.tensor([[0.0, 2.0, 1.5], [1.0, 0.0, 3.0]])
    A = gossamer.fromdense(dense)
    layout = {
        "ccol_indices": "csc",
        "row_indices": "csc",
        "coalesce": "coo",
        "is_sparse": "coo",
    }.get(name, "csr")
    S = getattr(dense if name in ("t", "mT") else A.asformat(layout).to_torch(), name)
    found, expected = advised(name, A), S() if callable(S) else S
    if gossamer.issparse(found):
        assert found.dtype == expected.dtype
        assert found.format in name or not name.startswith("to_sparse")
        found, expected = found.todense(), expected.to_dense()
    expected = torch.as_tensor(expected)
    np.testing.assert_array_equal(torch.as_tensor(found).float(), expected.float())


@pytest.mark.parametrize("name", sorted({*scipy_names._DENSE} - {"at", "requires_grad_"}))
def test_what_replaces_names_of_dense_arrays(name):
    A = gossamer.fromdense([[0.0, -2.0, 1.5], [1.0, 0.0, 3.0], [0.5, 0.0, 0.0]])
    D = A.todense()
    with np.errstate(divide="ignore", invalid="ignore"):
        found = advised(name, A)
        expected = {
            **dict.fromkeys(("bmm", "matmul", "mm", "mv"), D @ np.ones(3)),
            **dict.fromkeys(("permute", "swapaxes"), D.T),
            "add": D + D,
            "density": 5 / 9,
            "flat": list(D.flat),
            "is_coalesced": True,
            "layout": "csr",
            "mul": D * D,
            "numpy": D,
            "sort": D,
            "sub": D - D,
        }.get(name)
        if expected is None:
            of_array = getattr(np, name, None) or getattr(D, name)()
            expected = of_array(D) if callable(of_array) else of_array
        found = found() if callable(found) else list(found) if name == "flat" else found
    found = found.todense() if gossamer.issparse(found) else found
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sum", lambda S: S.sum(0)),
        ("matmul", lambda S: S @ np.ones(3)),
        ("todense", lambda S: S.todense()),
        ("spmm", lambda S: S @ np.ones(3)),
        ("expm_multiply", lambda S: scipy.sparse.linalg.expm_multiply(S, np.ones(3))),
        ("spsolve", lambda S: scipy.sparse.linalg.spsolve(S, np.ones(3))),
        ("find", lambda S: scipy.sparse.find(S)),
        ("cg", lambda S: scipy.sparse.linalg.cg),
        ("spmatrix", lambda S: gossamer.SparseArray),
        ("version", lambda S: gossamer.__version__),
        ("mmread", lambda S: gossamer.io.read_matrix_market),
        ("mmwrite", lambda S: gossamer.io.write_matrix_market),
    ],
)
def test_what_replaces_functions(name, expected):
    A = gossamer.fromdense([[2.0, -2.0, 1.5], [1.0, 0.0, 3.0], [0.5, 0.0, 0.0]])
    found = advised(name, gossamer, matrix=A)
    wanted = expected(A.to_scipy().tocsc())
    if callable(wanted):
        assert found is wanted
    else:
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tolil_", "'tolil_'; for 'tolil' use A.to_scipy"),
        ("exp2", r"'exp2'; for 'exp' use numpy.exp\(A.todense\(\)\)"),
    ],
)
def test_advice_for_a_similar_name_says_which(name, message):
    with pytest.raises(AttributeError, match=message):
        getattr(gossamer.eye(2), name)


def test_names_of_modules_and_packed_arrays():
    with pytest.raises(AttributeError, match=r"'mmread'; use gossamer.io.read_matrix_market$"):
        gossamer.io.mmread  # noqa: B018
    with pytest.raises(AttributeError, match=r"; use gossamer.io.write_matrix_market$"):
        gossamer.io.save_matrix_market  # noqa: B018
    with pytest.raises(AttributeError, match=r"'sparse'; use gossamer.csr_array and its kin"):
        gossamer.sparse  # noqa: B018
    P = gossamer.compress(np.eye(3, dtype=np.float32))
    with pytest.raises(AttributeError, match=r"'numel'; use P.shape\[0\] \* P.shape\[1\]$"):
        P.numel()
    with pytest.raises(AttributeError, match=r"'size'; use P.shape, .* tensor's size\(0\), or"):
        P.size(0)
    with pytest.raises(
        AttributeError, match=r"'save'; use gossamer.save_safetensors\(FILE, {'name"
    ):
        P.save("file")


def test_layers_are_named_after_pytorchs():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    with pytest.raises(AttributeError, match=r"'Linear'; use gossamer.nn.PackedLinear or"):
        gossamer.nn.Linear  # noqa: B018


@pytest.mark.parametrize("kind", ["bsr", "dia", "dok", "lil"])
def test_scipys_other_formats_are_taken_over(kind):
    for name in (f"{kind}_array", f"{kind}_matrix"):
        made = advised(name, gossamer)(np.eye(3))
        np.testing.assert_array_equal(gossamer.from_scipy(made).todense(), np.eye(3))
    with pytest.raises(AttributeError, match=r"A.format, which is 'csr', 'csc' or 'coo'"):
        getattr(gossamer, f"isspmatrix_{kind}")
    with pytest.raises(AttributeError, match=r"use A.format == 'csr'$"):
        gossamer.isspmatrix_csr  # noqa: B018
