# SPDX-License-Identifier: Apache-2.0
"""The extension module of the CUDA half, imported when it is first needed."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def unavailable() -> str:
    """Return what is missing for a GPU to be used; empty if nothing is."""
    try:
        extension = import_module("gossamer._cuda")
    except ImportError as error:
        if getattr(error, "name", None) == "gossamer._cuda":
            return (
                "this build of Gossamer has no CUDA library: nvcc was not found, or "
                "GOSSAMER_CUDA off, when it was made, as `make setup` has it without CUDA=ON"
            )
        return f"Gossamer's CUDA library does not load: {error}"
    reason: str = extension.unavailable()
    return f"no CUDA device can be used: {reason}" if reason else ""


@cache
def engine() -> Any:
    """Return the extension module ``gossamer._cuda``.

    Raises
    ------
    RuntimeError
        If this build or this machine lacks something; the message says what.
    """
    reason = unavailable()
    if reason:
        raise RuntimeError(reason)
    return import_module("gossamer._cuda")
