# SPDX-License-Identifier: Apache-2.0
"""``gossamer demo``: two problems of science, solved with Gossamer and with SciPy."""
