# SPDX-License-Identifier: Apache-2.0
"""What ``import gossamer`` costs above ``import numpy``, each in a fresh interpreter."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from typing import Any

_FRAMEWORKS = ("scipy", "torch", "jax", "mlx", "cupy", "tensorflow")
_SCRIPT = f"""
import time
start = time.perf_counter()
import numpy
middle = time.perf_counter()
import gossamer
end = time.perf_counter()
import json, sys
loaded = [name for name in {_FRAMEWORKS!r} if name in sys.modules]
print(json.dumps([middle - start, end - middle, loaded]))
"""


def measure_startup(rounds: int) -> dict[str, Any]:
    """Median seconds of the two imports over ``rounds`` interpreters, and what else they loaded."""
    results = []
    for _ in range(rounds + 1):
        command = [sys.executable, "-c", _SCRIPT]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        results.append(json.loads(process.stdout))
    numpy_seconds, gossamer_seconds, loaded = zip(
        *results[1:], strict=True
    )  # the first fills the disk cache
    return {
        "numpy_seconds": statistics.median(numpy_seconds),
        "gossamer_seconds_above_numpy": statistics.median(gossamer_seconds),
        "frameworks_loaded": loaded[0],
    }
