# SPDX-License-Identifier: Apache-2.0
"""``gossamer bench``: measurements side by side with other libraries."""
