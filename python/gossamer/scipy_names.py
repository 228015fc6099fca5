# SPDX-License-Identifier: Apache-2.0
"""Names that are asked for and not there, such as SciPy's and PyTorch's, with what to write."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

_BY_SCIPY = "A.to_scipy().{name}(...), and gossamer.from_scipy of a sparse result"
_CHANGED = "S = A.to_scipy(copy=True); S.{name}(...); gossamer.from_scipy(S)"
_VALUES = "A.with_data({library}.{name}(A.data)), A canonical"
_CANONICAL = "A.tocsr(canonical=True), a new array: the positions of a container stay as they are"

_NORM = "A.row_norms(), A.col_norms(), or {library}.linalg.norm of a canonical A.data"

_METHODS = {
    **dict.fromkeys(("argmax", "argmin", "maximum", "minimum", "nanmax", "nanmin"), _BY_SCIPY),
    **dict.fromkeys(("reshape", "tobsr", "todia", "todok", "tolil"), _BY_SCIPY),
    **dict.fromkeys(("eliminate_zeros", "resize", "setdiag"), _CHANGED),
    **dict.fromkeys(("arcsin", "arcsinh", "arctan", "arctanh", "ceil", "deg2rad"), _VALUES),
    **dict.fromkeys(("expm1", "floor", "log1p", "rad2deg", "rint", "sign", "sin"), _VALUES),
    **dict.fromkeys(("sinh", "sqrt", "tan", "tanh", "trunc"), _VALUES),
    **dict.fromkeys(("sort_indices", "sorted_indices", "sum_duplicates"), _CANONICAL),
    "A": "A.todense()",
    "check_format": "A as it is: containers are checked when they are made",
    "col": "A.tocoo().col",
    "coords": "A.tocoo().coords",
    "conjugate": "A.conj()",
    "count_nonzero": "(A.tocsr(canonical=True).data != 0).sum(), or A.nnz, which counts zeros too",
    "getcol": "A[:, j:j + 1]",
    "get_shape": "A.shape",
    "getH": "A.H",
    "getformat": "A.format",
    "getnnz": "A.nnz, or numpy.diff(A.tocsr().indptr) of each row, of A.tocsc() of each column",
    "getrow": "A[i]",
    "imag": "A.with_data(A.data.imag)",
    "indices": "A.tocsr().indices",
    "indptr": "A.tocsr().indptr",
    "nonzero": "A.tocoo(canonical=True).coords, which lists stored zeros too",
    "real": "A.with_data(A.data.real)",
    "row": "A.tocoo().row",
    "size": "A.nnz, or A.shape, of which A.shape[0] is a tensor's size(0)",
}

_TENSORS = {
    "bfloat16": "A.astype('bfloat16')",
    "ccol_indices": "A.tocsc().indptr",
    "clone": "A.copy()",
    "coalesce": "A.tocoo(canonical=True)",
    "col_indices": "A.tocsr().indices",
    "cpu": "A.to('cpu')",
    "crow_indices": "A.tocsr().indptr",
    "cuda": "A.to('gpu')",
    "detach": "A.with_data(A.data.detach())",
    "dim": "A.ndim",
    "double": "A.astype('float64')",
    "float": "A.astype('float32')",
    "half": "A.astype('float16')",
    "is_sparse": "gossamer.issparse(A)",
    "is_cuda": "A.data.is_cuda",
    "mT": "A.T",
    "norm": _NORM,
    "numel": "A.shape[0] * A.shape[1]",
    "requires_grad": "A.data.requires_grad",
    "row_indices": "A.tocsc().indices",
    "t": "A.T",
    "to_dense": "A.todense()",
    "to_sparse_coo": "A.tocoo()",
    "to_sparse_csc": "A.tocsc()",
    "to_sparse_csr": "A.tocsr()",
    "values": "A.data",
}

_NOT_ZERO = "{library}.{name}(A.todense()), since what is not stored would not stay zero"

_ALL = "{library}.{name}(A.todense()), since what is not stored counts too"

#: Of NumPy's and PyTorch's dense arrays.
_DENSE = {
    **dict.fromkeys(("bmm", "matmul", "mm", "mv"), "A @ x"),
    **dict.fromkeys(("cos", "cosh", "exp", "log", "log2", "log10"), _NOT_ZERO),
    **dict.fromkeys(("prod", "std", "var"), _ALL),
    **dict.fromkeys(("flatten", "ravel", "tolist"), "A.todense().{name}()"),
    **dict.fromkeys(("abs", "absolute"), "abs(A)"),
    "add": "A + B",
    "any": "A.data.any()",
    "at": "A.with_data(A.data.at[k].set(x)) with JAX, A.data[k] = x where data may be written to",
    "density": "A.nnz / (A.shape[0] * A.shape[1])",
    "flat": "A.todense().flat",
    "is_coalesced": "A.has_canonical_format",
    "layout": "A.format",
    "mul": "A.multiply(B)",
    "numpy": "A.to('numpy'), or A.todense() for a dense array",
    "permute": "A.T",
    "requires_grad_": "A.data.requires_grad_()",
    "sort": _CANONICAL,
    "sub": "A - B",
    "swapaxes": "A.T",
}

_OF_PACKED = {
    **dict.fromkeys(("compress", "pack"), "gossamer.compress(A)"),
    **dict.fromkeys(("decompress", "unpack"), "A.todense()"),
}

_SPARSE = _METHODS | _TENSORS | _DENSE | _OF_PACKED

_OF_SCIPY = "scipy.sparse.{name} of what A.to_scipy() gives, and gossamer.from_scipy of its result"

_SOLVER = "scipy.sparse.linalg.{name}, which takes containers as operators"
_MADE = "scipy.sparse.{name}, and gossamer.from_scipy of it"
_NEVER = "A.format, which is 'csr', 'csc' or 'coo'"

_FUNCTIONS = {
    **dict.fromkeys(("block_array", "block_diag", "bmat", "kronsum"), _OF_SCIPY),
    **dict.fromkeys(("tril", "triu"), _OF_SCIPY),
    **{f"{kind}_{f}": _MADE for f in ("array", "matrix") for kind in ("bsr", "dia", "dok", "lil")},
    **{f"isspmatrix_{f}": f"A.format == {f!r}" for f in ("csr", "csc", "coo")},
    **dict.fromkeys([f"isspmatrix_{f}" for f in ("bsr", "dia", "dok", "lil")], _NEVER),
    **dict.fromkeys(("max", "mean", "min", "sum"), "A.{name}(axis)"),
    **dict.fromkeys(
        ("cat", "concat", "concatenate", "stack"), "gossamer.vstack or gossamer.hstack"
    ),
    **dict.fromkeys(("dot", "matmul", "spmm", "spmv"), "A @ x"),
    **dict.fromkeys(("expm", "inv", "spilu", "splu"), "scipy.sparse.linalg.{name}(A.to_scipy())"),
    "expm_multiply": "scipy.sparse.linalg.expm_multiply(A.to_scipy(), b)",
    **dict.fromkeys(("permute_dims", "swapaxes", "transpose"), "A.T"),
    **{
        kind: f"gossamer.{kind.lower()}_array"
        for f in ("csr", "csc", "coo")
        for kind in (f, f.upper())
    },
    **{f"from_{f}": f"gossamer.{f}_array" for f in ("csr", "csc", "coo")},
    "abs": "abs(A)",
    "add": "A + B",
    "subtract": "A - B",
    "kron": "gossamer.kron(A, B)",
    "linear": "x @ A.T",
    **dict.fromkeys(("hstack", "vstack"), "gossamer.{name}([A, B])"),
    **dict.fromkeys(("bicgstab", "cg", "gmres", "svds"), _SOLVER),
    **dict.fromkeys(("eigs", "eigsh"), f"{_SOLVER}, and with sigma A.to_scipy()"),
    **dict.fromkeys(("sparray", "spmatrix"), "gossamer.SparseArray"),
    **dict.fromkeys(("toarray", "todense", "to_jax", "to_scipy", "to_torch"), "A.{name}()"),
    **dict.fromkeys(
        ("from_cupy", "from_mlx", "tensor"),
        "gossamer.fromdense, or gossamer.csr_array((data, indices, indptr), shape)",
    ),
    "csgraph": "scipy.sparse.csgraph, whose functions take A.to_scipy()",
    "eye_array": "gossamer.eye",
    "find": "scipy.sparse.find(A.to_scipy())",
    "sparse_coo_tensor": "gossamer.coo_array, of tensors",
    "sparse_csr_tensor": "gossamer.csr_array, of tensors",
    "Linear": "gossamer.nn.PackedLinear or SparseLinear, which are made by from_linear of a layer",
    "spsolve": "scipy.sparse.linalg.spsolve(A.to_scipy(), b)",
    "version": "gossamer.__version__",
    **dict.fromkeys(("decompress", "unpack"), "P.decompress()"),
    "diags_array": "gossamer.diags",
    "linalg": "scipy.sparse.linalg, whose solvers take containers as operators",
    "norm": _NORM,
    "pack": "gossamer.compress",
    "spdiags": "gossamer.diags",
    "random": "gossamer.random_array",
    "rand": "gossamer.random_array",
    "isspmatrix": "gossamer.issparse",
    "csr_matrix": "gossamer.csr_array",
    "csc_matrix": "gossamer.csc_array",
    "coo_matrix": "gossamer.coo_array",
    "array": "gossamer.asarray",
    "from_dense": "gossamer.fromdense",
    "from_numpy": "gossamer.fromdense, or gossamer.csr_array of a dense array",
    "load": "gossamer.io.load_npz, gossamer.io.read_matrix_market or gossamer.load_safetensors",
    "save": "gossamer.io.save_npz, gossamer.io.write_matrix_market or gossamer.save_safetensors",
    "sparse": "gossamer.csr_array and its kin: the module itself is what scipy.sparse is there",
    "zeros": "gossamer.csr_array(shape), which stores nothing",
    "load_npz": "gossamer.io.load_npz",
    "save_npz": "gossamer.io.save_npz",
    "load_matrix_market": "gossamer.io.read_matrix_market",
    "save_matrix_market": "gossamer.io.write_matrix_market",
    "mmread": "gossamer.io.read_matrix_market",
    "mmwrite": "gossamer.io.write_matrix_market",
}

_PACKED = {
    **dict.fromkeys(("todense", "toarray", "unpack"), "P.decompress()"),
    **dict.fromkeys(("numpy", "to_numpy"), "P.to('numpy'), or P.decompress() for a dense array"),
    **dict.fromkeys(("bmm", "matmul", "mm", "mv"), "P @ x"),
    **dict.fromkeys(("flatten", "ravel", "tolist"), "P.decompress().{name}()"),
    **dict.fromkeys(("indices", "indptr"), "P.tocsr().{name}"),
    "detach": "P.with_data(P.data.detach())",
    "linear": "x @ P.T",
    "requires_grad": "P.data.requires_grad",
    "transpose": "P.T",
    "values": "P.data, as the format lays them out, or P.tocsr().data",
    **dict.fromkeys(("tocsc", "tocoo"), "P.tocsr().{name}()"),
    **dict.fromkeys(("max", "mean", "min", "multiply", "sum"), "P.tocsr().{name}(...)"),
    **dict.fromkeys(("col_norms", "row_norms"), "P.tocsr().{name}()"),
    "astype": "gossamer.compress(P.decompress(), dtype=...)",
    "bfloat16": "gossamer.compress(P.decompress(), dtype='bfloat16')",
    "copy": "P itself: packed arrays are immutable",
    "clone": "P itself: packed arrays are immutable",
    "cpu": "P.to('cpu')",
    "cuda": "P.to('gpu')",
    "dim": "P.ndim",
    "dot": "P @ x",
    "double": "P.tocsr().astype('float64')",
    "float": "gossamer.compress(P.decompress(), dtype='float32')",
    "half": "gossamer.compress(P.decompress(), dtype='float16')",
    "norm": "P.tocsr().row_norms(), or numpy.linalg.norm of P.tocsr().data",
    "save": "gossamer.save_safetensors(FILE, {{'name': P}})",
    "numel": "P.shape[0] * P.shape[1]",
    "size": "P.shape, of which P.shape[0] is a tensor's size(0), or P.nnz",
    "t": "P.T",
    "to_dense": "P.decompress()",
    "to_scipy": "P.tocsr().to_scipy()",
}


#: By what the advice calls the array.
_ARRAYS = {"A": _SPARSE, "P": _PACKED}


def method_advice(owner: Any, name: str) -> str:
    """Message for an attribute that a container or a packed array has not."""
    return _advice(f"{owner.__name__!r} object", name, _ARRAYS[owner._called], dir(owner))


def operand_advice(owner: Any, library: str, name: str) -> str | None:
    """What to write for a library's function of a container or packed array, if that is known."""
    called = owner._called
    known = _FUNCTIONS | _SPARSE if called == "A" else _PACKED
    if name in known:
        return known[name].format(name=name, library=library)
    is_method = not name.startswith("_") and callable(getattr(owner, name, None))
    return f"{called}.{name}(...)" if is_method else None


def function_advice(name: str, names: Iterable[str]) -> str:
    """Message for an attribute that the module has not, whose names are these."""
    return _advice("module 'gossamer'", name, _FUNCTIONS, names)


def public(
    module: str, names: Iterable[str]
) -> tuple[Callable[[str], NoReturn], Callable[[], list[str]]]:
    """Return ``__getattr__`` and ``__dir__`` of a module with these names.

    The former suggests the one of them that was meant, the latter leaves out all others.
    """
    own = f"{module}."
    known = {name: advice for name, advice in _FUNCTIONS.items() if advice.startswith(own)}

    def missing(name: str) -> NoReturn:
        raise AttributeError(_advice(f"module {module!r}", name, known, names))

    return missing, lambda: sorted(names)


def _advice(owner: str, name: str, known: dict[str, str], names: Iterable[str]) -> str:
    message = f"{owner} has no attribute {name!r}"
    if name in known:
        return f"{message}; use {known[name].format(name=name, library='numpy')}"
    if name.startswith("_"):  # libraries ask for these to see what an object is
        return message
    from difflib import get_close_matches

    public = [n for n in names if not n.startswith("_")]
    close = get_close_matches(name, [*public, *known], n=1, cutoff=0.8)
    if not close:
        return message
    if close[0] in public:
        return f"{message}; did you mean {close[0]!r}?"
    return (
        f"{message}; for {close[0]!r} use {known[close[0]].format(name=close[0], library='numpy')}"
    )
