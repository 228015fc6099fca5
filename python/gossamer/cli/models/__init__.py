# SPDX-License-Identifier: Apache-2.0
"""The commands on language models: prune, compress, eval, generate."""
