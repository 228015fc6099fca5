# SPDX-License-Identifier: Apache-2.0
"""Files: MatrixMarket, and the ``.npz`` of ``scipy.sparse.save_npz``."""

from .matrix_market import read_matrix_market, write_matrix_market
from .npz import load_npz, save_npz

__all__ = ["load_npz", "read_matrix_market", "save_npz", "write_matrix_market"]
