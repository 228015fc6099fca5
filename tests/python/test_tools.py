# SPDX-License-Identifier: Apache-2.0
"""The scripts of a checkout say what is wrong with what they are asked for."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


PATH = f"{ROOT / '.venv/bin'}:{os.environ['PATH']}"  # as the script has it


@pytest.mark.skipif(not shutil.which("ctest", path=PATH), reason="ctest is not installed")
@pytest.mark.parametrize("arguments", [["release"], ["asa"], []])
def test_presets_without_tests_are_refused_before_anything_is_built(arguments):
    run = subprocess.run([ROOT / "tools/cpp.sh", *arguments], capture_output=True, text=True)
    assert run.returncode == 2
    name = "".join(arguments)
    assert f"preset '{name}' has no tests; those that have: dev, asan, " in run.stderr
    assert run.stdout == ""


def test_pips_short_options_are_those_of_debian_12():
    """Its pip 23.0 has no -C, which is short for --config-settings since 23.1."""
    files = [ROOT / "Makefile", *(ROOT / "tools").glob("*.sh")]
    text = "\n".join(file.read_text().replace("\\\n", " ") for file in files)
    calls = re.findall(r"-m pip (?:install|wheel) (.*)", text)
    assert len(calls) > 5
    short = {option for call in calls for option in re.findall(r"(?<=\s)-\w+", call)}
    assert short <= {"-q", "-qq", "-c", "-e", "-r"}
