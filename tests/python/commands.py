# SPDX-License-Identifier: Apache-2.0
"""Calls the console command within the tests."""

from gossamer.cli.main import app
from typer.testing import CliRunner


def invoke(*arguments):
    """Call ``gossamer`` with these arguments, in a terminal that breaks no path of a message."""
    return CliRunner(env={"COLUMNS": "400"}).invoke(app, [str(argument) for argument in arguments])


def refusal(result):
    """What the command wrote to stderr, without the frame around it, once it exited with 2."""
    assert result.exit_code == 2, result.output
    return " ".join(result.stderr.replace("│", " ").split())
