# SPDX-License-Identifier: Apache-2.0
"""What importing costs and brings along, threads, devices, and the configuration."""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import gossamer
import numpy as np
import pytest
from cases import build, named


def python(code: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | environment,
    )
    return run.stdout.strip()


def test_import_brings_no_other_framework():
    foreign = "{'scipy', 'ml_dtypes', 'torch', 'mlx', 'jax', 'cupy', 'matplotlib', 'typer', 'rich'}"
    code = (
        "import sys, numpy; before = set(sys.modules); import gossamer\n"
        "A = gossamer.eye(3) @ numpy.ones(3)\n"
        f"print({foreign} & {{m.partition('.')[0] for m in set(sys.modules) - before}})"
    )
    assert python(code) == "set()"


def test_the_engine_loads_where_it_is_built_without_numpy():
    """As `pip install .` loads it for its stubs, in an environment with what builds it alone."""
    from gossamer import _engine

    code = """if True:
        import importlib.util, sys
        sys.modules["numpy"] = None
        spec = importlib.util.spec_from_file_location("_engine", {!r})
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        print("loaded")
    """
    assert python(code.format(_engine.__file__)) == "loaded"


def test_all_names_exist():
    for name in gossamer.__all__:
        assert getattr(gossamer, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        gossamer.nonsense  # noqa: B018
    assert gossamer.__version__.count(".") == 2


def test_what_is_loaded_late_is_listed():
    late = {"hf", "io", "macko", "nn", "prune", "load_safetensors", "save_safetensors"}
    code = "import gossamer, sys; print({} - set(dir(gossamer)), {} & set(sys.modules))"
    parts = {"gossamer.cuda.structure", "gossamer.io", "gossamer.packed", "gossamer.stacking"}
    assert python(code.format(late, parts)) == "set() set()"
    code = "import sys; sys.modules['torch'] = None; import gossamer; gossamer.{}"
    for name in ("io", "macko"):
        python(code.format(name))
    for name in ("nn", "prune"):
        with pytest.raises(subprocess.CalledProcessError) as failed:
            python(code.format(name))
        assert f"AttributeError: gossamer.{name} needs torch" in failed.value.stderr


@pytest.mark.parametrize(
    ("part", "missing"),
    [("hf", "torch"), ("hf", "transformers"), ("nn", "torch"), ("prune", "torch")],
)
def test_a_part_says_what_it_needs(part, missing):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    code = f"import sys; sys.modules['{missing}'] = None; import gossamer.{part}"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python(code)
    advice = (
        f"gossamer.{part} needs {missing}, which is not installed; pip install '.[llm]' in a clone"
    )
    assert f"ModuleNotFoundError: {advice}" in failed.value.stderr


@pytest.mark.parametrize(
    ("missing", "call", "install"),
    [
        ("scipy", "to_scipy()", "pip install '.[scipy]' in a clone"),
        ("torch", "to('torch')", "pip install torch"),
        ("jax", "to('jax')", "pip install jax"),
        ("cupy", "to('cupy')", "pip install cupy-cuda12x"),
    ],
)
def test_conversions_say_how_to_install_what_is_missing(missing, call, install):
    code = f"import sys; sys.modules[{missing!r}] = None; import gossamer; gossamer.eye(3).{call}"
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python(code)
    error = failed.value.stderr.splitlines()[-1]
    assert error.startswith("ImportError: ")
    assert install in error


def test_threads():
    before = gossamer.get_num_threads()
    with gossamer.set_num_threads(3):
        assert gossamer.get_num_threads() == 3
    assert gossamer.get_num_threads() == before
    gossamer.set_num_threads(2)
    assert gossamer.get_num_threads() == 2
    gossamer.set_num_threads(before)


def test_threads_of_the_environment():
    code = "import gossamer; print(gossamer.get_num_threads())"
    assert python(code, GOSSAMER_NUM_THREADS="3") == "3"


@pytest.mark.parametrize("count", ["abc", "3x", "0", "-3", "1e9", "4097", "9" * 30])
def test_a_wrong_number_of_threads_in_the_environment_is_named(count):
    with pytest.raises(subprocess.CalledProcessError) as failed:
        python("import gossamer; gossamer.get_num_threads()", GOSSAMER_NUM_THREADS=count)
    error = failed.value.stderr.splitlines()[-1]
    assert error == f"ValueError: GOSSAMER_NUM_THREADS = '{count}' is not a number in 1..4096"


@pytest.mark.parametrize("name", ["hf", "io", "macko", "nn", "prune"])
def test_parts_list_their_public_names_alone(name):
    if name in ("hf", "nn", "prune"):
        pytest.importorskip("torch")
    if name == "hf":
        pytest.importorskip("transformers")
    part = getattr(gossamer, name)
    assert dir(part) == sorted(part.__all__)
    for public in part.__all__:
        assert hasattr(part, public)
    with pytest.raises(AttributeError, match=f"'gossamer.{name}' has no .* did you mean"):
        getattr(part, f"{part.__all__[-1]}s")


@pytest.mark.parametrize("variable", ["GOSSAMER_NUM_THREADS", "GOSSAMER_SIMD"])
def test_an_empty_variable_is_an_unset_one(variable, monkeypatch):
    monkeypatch.delenv(variable, raising=False)
    code = "from gossamer import _engine as e; print(e.num_threads(), e.simd_target())"
    assert python(code, **{variable: ""}) == python(code)


def test_many_python_threads_share_a_container():
    A = build(named("power_law_unsorted"), np.float64).tocsc()
    x = np.linspace(0, 1, A.shape[1])
    expected = A.tocsr() @ x
    results = [None] * 8

    def work(i):
        results[i] = A @ x

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_devices():
    cpu = gossamer.use_cpu()
    assert repr(cpu) == "Device(cpu, 0)"
    assert cpu == gossamer.use_device("cpu") == gossamer.use_device(cpu)
    A = gossamer.eye(2)
    assert A.device == cpu
    assert A.to("cpu") is A
    with pytest.raises(ValueError, match="device = 'tpu'"):
        gossamer.use_device("tpu")


def test_devices_are_mlx_default_devices_too(monkeypatch):
    """An MLX with a GPU, as Apple's processors have one: stood in for, since CI has none."""
    chosen = []
    mlx = SimpleNamespace(
        cpu="cpu",
        gpu="gpu",
        array=SimpleNamespace,
        is_available=lambda kind: True,
        Device=lambda kind, index: (kind, index),
        set_default_device=chosen.append,
    )
    monkeypatch.setitem(sys.modules, "mlx.core", mlx)
    monkeypatch.setattr("gossamer.devices.unavailable", lambda: "there is no CUDA here")
    assert repr(gossamer.use_gpu()) == "Device(gpu, 0)"
    assert gossamer.eye(2).device == gossamer.use_cpu()
    assert chosen == [("gpu", 0), ("cpu", 0)]
    mlx.is_available = lambda kind: kind == "cpu"
    with pytest.raises(RuntimeError, match="there is no CUDA here"):
        gossamer.use_gpu()
    assert len(chosen) == 2


def test_show_config(capsys):
    config = gossamer.show_config()
    printed = capsys.readouterr().out
    assert config["simd_target"] in config["supported_simd_targets"]
    assert config["threads"] == gossamer.get_num_threads()
    assert f"gossamer:               {gossamer.__version__}" in printed
    assert "numpy" in config["frameworks"]
