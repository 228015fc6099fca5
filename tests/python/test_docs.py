# SPDX-License-Identifier: Apache-2.0
"""The pages on frameworks show what their code prints."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs"
MODULES = {"torch": "torch", "mlx": "mlx.core", "jax": "jax"}


@pytest.mark.parametrize("framework", MODULES)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_pages_print_what_they_show(framework):
    if importlib.util.find_spec(MODULES[framework].partition(".")[0]) is None:
        pytest.skip(f"{framework} is not installed")
    if framework == "jax":
        import jax

        jax.config.update("jax_enable_x64", False)
    page = (PAGES / f"frameworks-{framework}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, re.DOTALL)
    assert shown
    names = {}
    for code, output in shown:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"frameworks-{framework}.md", "exec"), names)
        assert printed.getvalue() == output
    if framework == "jax":
        jax.config.update("jax_enable_x64", True)
