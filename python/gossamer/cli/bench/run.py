# SPDX-License-Identifier: Apache-2.0
"""What every benchmark on the CPU keeps of a run, and writes into its results."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

from gossamer.cli.bench.command import INTERRUPTED
from gossamer.cli.machine import describe_machine, last_level_cache
from gossamer.cli.timing import Effort


class Run:
    """Cases that are measured one after the other.

    Parameters
    ----------
    say
        Called with what is being measured.
    earlier
        Results of an interrupted run, which are kept.

    Attributes
    ----------
    cases
        One record each.
    notes
        What a reader of the results should know, such as why a case was left out.
    wrong
        What Gossamer computed wrongly.
    """

    def __init__(
        self, effort: Effort, say: Callable[[str], None], earlier: Mapping[str, Any] | None
    ) -> None:
        before = earlier or {}
        self.effort = effort
        self.say = say
        self.cache_bytes = last_level_cache()
        self.cases: list[dict[str, Any]] = list(before.get("cases", []))
        self.notes = [note for note in before.get("notes", []) if note != INTERRUPTED]
        self.wrong: list[str] = list(before.get("wrong", []))

    def note(self, note: str) -> None:
        """Add a note, once."""
        if note not in self.notes:
            self.notes.append(note)

    def results(
        self, benchmark: str, settings: Mapping[str, Any], versions: Mapping[str, str], **more: Any
    ) -> dict[str, Any]:
        """Return what the JSON file holds: ``settings`` of the run, and ``more`` of its own."""
        return {
            "benchmark": benchmark,
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            **settings,
            "machine": describe_machine(),
            "versions": dict(versions),
            "units": "seconds and bytes; speedup is a peer's median over Gossamer's",
            **more,
            "cases": self.cases,
            "wrong": self.wrong,
            "notes": self.notes,
        }
