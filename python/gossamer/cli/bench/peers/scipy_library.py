# SPDX-License-Identifier: Apache-2.0
"""SciPy, whose sparse operations run on one thread."""

from __future__ import annotations

from typing import Any

import scipy
from scipy import sparse

from gossamer.cli.bench.peers.library import Call, Library


class SciPy(Library):
    """``scipy.sparse`` arrays."""

    name = "scipy"
    version = scipy.__version__

    def set_num_threads(self, count: int) -> None:
        """Do nothing: scipy.sparse has no threads."""

    def matrix(self, A: Any) -> Any:
        return A

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operator = A.T if transposed else A
        return lambda: operator @ X

    def spgemm(self, A: Any, B: Any) -> Call:
        return lambda: A @ B

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        return lambda: sparse.coo_array((data, (row, col)), shape=shape).tocsr()

    def to_scipy(self, result: Any) -> Any:
        return result
