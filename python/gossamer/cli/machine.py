# SPDX-License-Identifier: Apache-2.0
"""What a measurement was taken on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

UNKNOWN_CACHE = 256 << 20

_LOAD = Path("/proc/loadavg")


def describe_machine() -> dict[str, Any]:
    """CPU model, usable cores, caches and memory in bytes, operating system."""
    return {
        "cpu": processor_name(),
        "cores": usable_cores(),
        "caches": _caches(),
        "memory_bytes": memory_bytes(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def usable_cores() -> int:
    """Cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def busy_note() -> str | None:
    """Say so where other threads take cores that this process may want; None where none do.

    The load average would still tell of what ran a minute ago, as the compiler before a first demo.
    """
    others = min(_running_threads() for _ in range(5))
    cores = os.cpu_count() or 1
    if others + usable_cores() <= cores:
        return None
    counted = "1 other thread runs" if others == 1 else f"{others} other threads run"
    return f"note: {counted} on {cores} {'core' if cores == 1 else 'cores'}: timings will be off"


def _running_threads() -> int:
    """Threads on the machine that run or wait for a core, this one aside; 0 where unknown."""
    try:
        running = int(_LOAD.read_text().split()[3].partition("/")[0])
    except (OSError, ValueError, IndexError):  # another system's, or a sandbox's
        return 0
    time.sleep(0.01)
    return max(0, running - 1)


def memory_bytes() -> int:
    """Physical memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def last_level_cache() -> int:
    """Size of the largest cache in bytes; 256 MiB where the system does not tell."""
    return max(_caches().values(), default=UNKNOWN_CACHE)


def source_commit() -> str | None:
    """Commit of the source tree around this package, ``-dirty`` if changed; None elsewhere."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        if not (Path(git("rev-parse", "--show-toplevel")) / "python" / "gossamer").is_dir():
            return None
        return git("describe", "--always", "--dirty", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return None


def processor_name() -> str:
    """Model of the CPU, as the system names it."""
    try:
        lines = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    model = re.search(r"^model name\s*:\s*(.+)$", lines, re.MULTILINE)
    return model.group(1) if model else platform.machine()


def _caches() -> dict[str, int]:
    """Size in bytes of each data or unified cache of the first core."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = (
            (folder / name).read_text().strip() for name in ("level", "type", "size")
        )
        number = re.fullmatch(r"(\d+)([KM]?)", size)
        if kind != "Instruction" and number:
            sizes[f"L{level}"] = int(number[1]) << {"": 0, "K": 10, "M": 20}[number[2]]
    return sizes
