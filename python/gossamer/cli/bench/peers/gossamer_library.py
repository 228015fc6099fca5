# SPDX-License-Identifier: Apache-2.0
"""Gossamer, called as a user calls it."""

from __future__ import annotations

from typing import Any

import gossamer
from gossamer.cli.bench.peers.library import Call, Library


class Gossamer(Library):
    """``A @ X`` on NumPy arrays."""

    name = "gossamer"
    version = gossamer.__version__

    def set_num_threads(self, count: int) -> None:
        gossamer.set_num_threads(count)

    def matrix(self, A: Any) -> Any:
        return gossamer.from_scipy(A)

    def product(self, A: Any, X: Any, transposed: bool = False) -> Call:
        operator = A.T if transposed else A
        return lambda: operator @ X

    def batched(self, A: Any, X: Any) -> Call:
        return lambda: A @ X

    def spgemm(self, A: Any, B: Any) -> Call:
        return lambda: A @ B

    def coo_to_csr(self, data: Any, row: Any, col: Any, shape: tuple[int, int]) -> Call:
        return lambda: gossamer.coo_array((data, (row, col)), shape=shape).tocsr(canonical=True)

    def to_scipy(self, result: Any) -> Any:
        return result.to_scipy()
