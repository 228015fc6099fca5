# SPDX-License-Identifier: Apache-2.0
"""The console command ``gossamer``. Nothing here is imported by ``import gossamer``."""
