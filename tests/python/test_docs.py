# SPDX-License-Identifier: Apache-2.0
"""The pages show what their code prints, and code that runs."""

import contextlib
import importlib.util
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs"
#: Pages that show what their code prints, and the modules that they need.
SHOWN = {
    "formats": ["safetensors"],
    "frameworks-torch": ["torch"],
    "frameworks-mlx": ["mlx.core"],
    "frameworks-jax": ["jax"],
    "packed": [],
    "sparse": ["scipy", "fast_matrix_market", "safetensors"],
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.filterwarnings("ignore:Sparse")
def test_pages_print_what_they_show(name, tmp_path, monkeypatch, request):
    for module in SHOWN[name]:
        pytest.importorskip(module, reason=f"{module} is not installed")
    if name == "frameworks-jax":
        import jax

        before = jax.config.jax_enable_x64
        request.addfinalizer(lambda: jax.config.update("jax_enable_x64", before))
        jax.config.update("jax_enable_x64", False)
    monkeypatch.chdir(tmp_path)
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    shown = re.findall(r"```python\n(.*?)```\n```\n(.*?)```", page, re.DOTALL)
    assert shown
    names = {}
    for code, output in shown:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, f"{name}.md", "exec"), names)
        assert printed.getvalue() == output


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("page", ["README.md", "docs/packed.md"])
def test_code_of_pages_runs(page, tmp_path, monkeypatch):
    pytest.importorskip("scipy", reason="SciPy is not installed")
    monkeypatch.chdir(tmp_path)
    shown, names = blocks(page, "python"), {}
    assert shown
    for code in shown:
        if "import torch" in code and importlib.util.find_spec("torch") is None:
            continue
        exec(compile(code, page, "exec"), names)


def test_cpp_code_of_the_readme_is_what_the_consumer_project_builds():
    (shown,) = blocks("README.md", "cpp")
    built = (ROOT / "tests/cpp/consumer/main.cpp").read_text(encoding="utf-8")
    assert shown == built.partition("\n")[2]


def test_links_between_pages_lead_somewhere():
    pages = [*ROOT.glob("*.md"), *PAGES.rglob("*.md"), *(ROOT / "workbench").rglob("*.md")]
    for page in pages:
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            target = link.partition("#")[0]
            if not link.startswith("http") and target:
                assert (page.parent / target).exists(), (page.name, link)


def test_the_map_of_the_code_names_what_is_there():
    page = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    folders = [ROOT, ROOT / "python/gossamer", ROOT / "python/bindings", ROOT / "src/ops"]
    shown = re.findall(r"`([\w/.]+\.(?:py|cpp|hpp|cuh?))`((?:,? `\w+`)*)", page)
    assert len(shown) > 30
    for file, names in shown:
        found = [folder / file for folder in folders if (folder / file).exists()]
        assert found, file
        code = found[0].read_text(encoding="utf-8")
        for name in re.findall(r"\w+", names):
            assert re.search(rf"\b(?:class {name}\b|{name}\()|\"{name}\"", code), (file, name)
    for folder in re.findall(r"^(?:[\w/]+/ ?)+(?=  |$)", page, re.MULTILINE):
        assert all((ROOT / name).is_dir() for name in folder.split()), folder


def test_every_decision_is_in_the_index():
    index = (PAGES / "decisions/README.md").read_text(encoding="utf-8")
    listed = re.findall(r"\]\((\d{4}-[^)]*\.md)\)", index)
    assert listed == sorted(page.name for page in (PAGES / "decisions").glob("0*.md"))
