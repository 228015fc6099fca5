# SPDX-License-Identifier: Apache-2.0
"""Operations on device arrays of any framework, by the engine's CUDA half.

Nothing here is imported before somebody uses a device array or asks for a GPU.
"""

from .library import engine, unavailable
from .memory import Memory

__all__ = ["Memory", "engine", "unavailable"]
