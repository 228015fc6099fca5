# SPDX-License-Identifier: Apache-2.0
"""The matrices that every kernel is tested on; see ``battery.battery``."""

from .battery import Matrix, matrices

__all__ = ["Matrix", "matrices"]
