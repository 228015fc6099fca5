# SPDX-License-Identifier: Apache-2.0
"""Interleaved timings: each round runs every contender, so that a slow moment hits them all."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MAX_RESTS = 20


@dataclass(frozen=True)
class Timing:
    """Seconds for one call.

    Attributes
    ----------
    median, fastest
        Over the rounds.
    first
        The first call, with whatever it prepares and keeps (a transposed structure, say).
    rounds
        How many samples the median is taken over.
    """

    median: float
    fastest: float
    first: float
    rounds: int


@dataclass(frozen=True)
class Effort:
    """When to stop: after ``rounds`` rounds and ``seconds`` for each contender, whichever is later.

    Attributes
    ----------
    sample_seconds
        A sample repeats a short call until it takes about this long.
    pause
        Seconds for which all threads of the process have slept before a sample begins. The idle
        threads of some libraries spin first, on the cores of whoever comes next.
    """

    seconds: float = 0.1
    rounds: int = 5
    slow_rounds: int = 3
    sample_seconds: float = 1e-3
    pause: float = 2e-3


def first_call(call: Callable[[], Any]) -> tuple[Any, float]:
    """Result and duration of one call in seconds."""
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def interleave(
    contenders: Mapping[str, Callable[[], Any]], first: Mapping[str, float], effort: Effort
) -> dict[str, Timing]:
    """Measure the contenders in turns, each round beginning with the next one.

    Where one is short enough to be repeated in a sample, each sample of all of them begins with a
    call that is not timed.

    Parameters
    ----------
    contenders
        Calls by name; each was called once already.
    first
        Duration of that first call in seconds.
    """
    repeats: dict[str, int] = {}
    for name, call in contenders.items():
        seconds = first[name]
        if seconds <= 0.1:
            _rest(effort.pause)
            call()
            seconds = first_call(call)[1]
        repeats[name] = max(1, min(10_000, math.ceil(effort.sample_seconds / max(seconds, 1e-7))))
    warm = max(repeats.values(), default=1) > 1
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    # Contenders that take more than a second are given fewer rounds.
    slowest = max(first.values(), default=0)
    rounds = effort.rounds if slowest < 1 else effort.slow_rounds
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        done = 0
        with spread_threads():
            while done < rounds or time.perf_counter() - start < effort.seconds * len(order):
                for name in order:
                    _rest(effort.pause)
                    samples[name].append(_sample(contenders[name], repeats[name], warm))
                order.append(order.pop(0))
                done += 1
    finally:
        if collecting:
            gc.enable()
    return {
        name: Timing(statistics.median(times), min(times), first[name], len(times))
        for name, times in samples.items()
    }


@contextlib.contextmanager
def spread_threads() -> Iterator[None]:
    """Keep the process's other threads off the calling one's processor.

    Linux may wake a thread that slept for long on the processor of its waker, and move it only
    after ten milliseconds or more: until then one thread does the work of all.
    """
    processors = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    if len(processors) < 2:
        yield
        return
    own = {min(processors)}
    before = {}
    for thread in _threads():
        with contextlib.suppress(ProcessLookupError):  # It has ended.
            before[thread] = os.sched_getaffinity(thread)
            os.sched_setaffinity(thread, before[thread] - own or before[thread])
    os.sched_setaffinity(0, own)
    try:
        yield
    finally:
        for thread in _threads():  # Also those that were started meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, before.get(thread, processors))


def _threads() -> list[int]:
    """Linux's numbers of this process's threads."""
    return [int(task.name) for task in Path("/proc/self/task").iterdir()]


def _rest(seconds: float) -> None:
    """Wait until no thread of this process ran for that long, or one seems never to stop."""
    for _ in range(_MAX_RESTS):
        before = time.process_time()
        time.sleep(seconds)
        if time.process_time() - before < seconds / 4:
            return


def _sample(call: Callable[[], Any], repeats: int, warm: bool) -> float:
    """Seconds for a call; with ``warm`` one comes before, for awake threads and X in the cache."""
    if warm:
        call()
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats
