# SPDX-License-Identifier: Apache-2.0
"""Sizes and durations in words, with three digits."""

from __future__ import annotations


def size_text(nbytes: int) -> str:
    """Bytes in decimal units, such as "1.5 MB"."""
    size = float(nbytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def duration_text(seconds: float) -> str:
    """Seconds as "12 µs", "3.45 ms" or "6.7 s"."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
