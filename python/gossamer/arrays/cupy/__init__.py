# SPDX-License-Identifier: Apache-2.0
"""CuPy arrays, in the memory of a GPU."""

from .adapter import adapter
from .memory import memory

__all__ = ["adapter", "memory"]
