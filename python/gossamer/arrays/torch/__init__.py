# SPDX-License-Identifier: Apache-2.0
"""PyTorch tensors, by operations that are registered with ``torch.library``."""

from . import (
    operators,  # noqa: F401 - takes PyTorch's functions of containers
    pytrees,  # noqa: F401 - registers the containers
    sparse_cuda,  # noqa: F401 - registers its kernels
)
from .adapter import adapter

__all__ = ["adapter"]
