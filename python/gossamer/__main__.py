# SPDX-License-Identifier: Apache-2.0
"""``python -m gossamer``: the command ``gossamer``."""

from gossamer.cli.main import app

app()
