# SPDX-License-Identifier: Apache-2.0
"""Files: safetensors and its checkpoint layouts, MatrixMarket, SciPy's ``.npz``."""

from typing import TYPE_CHECKING

from ..scipy_names import public
from .compressed_tensors import read_compressed_tensors, write_compressed_tensors
from .macko_checkpoint import read_macko_checkpoint
from .matrix_market import read_matrix_market, write_matrix_market
from .npz import load_npz, save_npz
from .safetensors import load_safetensors, save_safetensors

__all__ = [
    "load_npz",
    "load_safetensors",
    "read_compressed_tensors",
    "read_macko_checkpoint",
    "read_matrix_market",
    "save_npz",
    "save_safetensors",
    "write_compressed_tensors",
    "write_matrix_market",
]

if not TYPE_CHECKING:  # type checkers know all names
    __getattr__, __dir__ = public(__name__, __all__)
