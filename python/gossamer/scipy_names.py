# SPDX-License-Identifier: Apache-2.0
"""Names that SciPy's sparse arrays and module have and Gossamer has not, with what to write."""

from __future__ import annotations

_BY_SCIPY = "A.to_scipy().{name}(...), and gossamer.from_scipy of a sparse result"
_VALUES = "A.with_data(numpy.{name}(A.data)), which leaves zeros zero"
_CANONICAL = "A.tocsr(canonical=True), a new array: containers are immutable"

_METHODS = {
    **dict.fromkeys(("argmax", "argmin", "maximum", "minimum", "nanmax", "nanmin"), _BY_SCIPY),
    **dict.fromkeys(("eliminate_zeros", "reshape", "tobsr", "todia", "todok", "tolil"), _BY_SCIPY),
    **dict.fromkeys(("arcsin", "arctan", "ceil", "expm1", "floor", "log1p", "rint"), _VALUES),
    **dict.fromkeys(("sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc"), _VALUES),
    **dict.fromkeys(("sort_indices", "sorted_indices", "sum_duplicates"), _CANONICAL),
    "A": "A.todense()",
    "col": "A.tocoo().col",
    "coords": "A.tocoo().coords",
    "conjugate": "A.conj()",
    "count_nonzero": "A.nnz, which counts stored zeros too",
    "getcol": "A[:, j:j + 1]",
    "getformat": "A.format",
    "getnnz": "A.nnz",
    "getrow": "A[i]",
    "imag": "A.with_data(A.data.imag.copy())",
    "indices": "A.tocsr().indices",
    "indptr": "A.tocsr().indptr",
    "nonzero": "A.tocoo(canonical=True).coords",
    "power": "A.with_data(A.data ** n), A canonical",
    "real": "A.with_data(A.data.real.copy())",
    "row": "A.tocoo().row",
    "setdiag": "A - gossamer.diags(A.diagonal()) + gossamer.diags(values)",
    "size": "A.nnz, or the product of A.shape",
}

_OF_SCIPY = "scipy.sparse.{name} of A.to_scipy(), and gossamer.from_scipy of its result"

_FUNCTIONS = {
    **dict.fromkeys(("block_array", "block_diag", "bmat", "find", "hstack"), _OF_SCIPY),
    **dict.fromkeys(("kron", "kronsum", "spdiags", "tril", "triu", "vstack"), _OF_SCIPY),
    "eye_array": "gossamer.eye",
    "diags_array": "gossamer.diags",
    "random": "gossamer.random_array",
    "rand": "gossamer.random_array",
    "isspmatrix": "gossamer.issparse",
    "csr_matrix": "gossamer.csr_array",
    "csc_matrix": "gossamer.csc_array",
    "coo_matrix": "gossamer.coo_array",
    "load_npz": "gossamer.io.load_npz",
    "save_npz": "gossamer.io.save_npz",
}


def method_advice(container: str, name: str) -> str:
    """Message for an attribute that a container has not."""
    return _advice(f"{container!r} object", name, _METHODS)


def function_advice(name: str) -> str:
    """Message for an attribute that the module has not."""
    return _advice("module 'gossamer'", name, _FUNCTIONS)


def _advice(owner: str, name: str, known: dict[str, str]) -> str:
    message = f"{owner} has no attribute {name!r}"
    return f"{message}; use {known[name].format(name=name)}" if name in known else message
