# SPDX-License-Identifier: Apache-2.0
"""The sparse containers."""

from .base import SparseArray
from .coo import COOArray
from .csc import CSCArray
from .csr import CSRArray

__all__ = ["COOArray", "CSCArray", "CSRArray", "SparseArray"]
