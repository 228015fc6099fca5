# SPDX-License-Identifier: Apache-2.0
"""Figures in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gossamer.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG, SVG or PDF, by the name's ending, whole or not at all."""
    with replacing(path) as beside:
        figure.savefig(beside, format=path.suffix[1:], dpi=160)
