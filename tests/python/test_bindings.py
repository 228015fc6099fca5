# SPDX-License-Identifier: Apache-2.0
"""The bindings refuse what is of another type, in every position of every function.

Run as a program, it calls those of the module that is named: a crash ends that process alone.
"""

import re
import subprocess
import sys
from importlib import import_module

import numpy as np
import pytest

# Written as the bindings' signatures have it, values of which each is refused by all other types.
WRONG = {
    "None": None,
    "int": 7,
    "float": 0.5,
    "str": "bitmap",
    "bytes": b"ab",
    "tuple": (None,),
    "list[int]": [7],
    "list[None]": [None],
    "object": object(),
}


def functions(module):
    """Every function and constructor, and method of a sample, with its name and signatures."""
    for name, member in vars(module).items():
        if hasattr(member, "__nb_signature__"):
            yield name, member, member.__nb_signature__
        elif isinstance(member, type):
            for method, function in vars(member).items():
                called = member if method == "__init__" else getattr(sample(member), method, None)
                if hasattr(function, "__nb_signature__") and called is not None:
                    yield f"{name}.{method}", called, function.__nb_signature__


def parameters(signature):
    """Types of the parameters, self aside."""
    listed = re.search(r"\((.*)\) ->", signature, re.S)[1]
    split = re.split(r", (?=\w+: )", listed.removeprefix("self").removeprefix(", "))
    return [re.sub(r" = .*|^\w+: ", "", parameter) for parameter in split if parameter]


def arguments(module):
    """A value of each type that parameters have."""
    if module.__name__ == "gossamer._cuda":
        indptr, none = (module.View(64, "int32", (n,), (1,)) for n in (1, 0))
        made = [module.Stream(0, 0), module.Workspace(64, 0), none]
        made += [module.CsrPattern(0, 0, indptr, none)]
        made += [module.PackedMatrix("bitmap", "float32", 0, 0, 0, 64, 64, indptr)]
    else:
        none = np.zeros(0, np.uint8)
        indptr, indices = np.arange(3, dtype=np.int32), np.arange(2, dtype=np.int32)
        made = [module.CsrPattern(2, 2, indptr, indices)]
        made += [module.PackedMatrix("bitmap", "float32", 0, 0, none.view("f4"), none, indptr[:1])]
        array, sequence = np.ones(2), "collections.abc.Sequence"
        SAMPLES.update({"ndarray[writable=False]": array, "ndarray[]": array})
        SAMPLES[f"{sequence}[ndarray[writable=False]]"] = [array]
        SAMPLES[f"{sequence}[gossamer._engine.CsrPattern]"] = made[:1]
        values = np.ones(2)
        made += [module.SpgemmAtOnce(made[0], values, made[0], values, np.zeros(3, np.int64))]
    SAMPLES.update({f"{type(x).__module__}.{type(x).__name__}": x for x in made})


SAMPLES = {"int": 1, "bool": False, "float": 0.5, "str": "bitmap", "tuple": (), "object": None}


def sample(kind):
    return SAMPLES.get(f"{kind.__module__}.{kind.__name__}")


def call_wrongly(module):
    """Call everything with one wrong argument at a time; return how many calls were refused."""
    arguments(module)
    refused = 0
    for name, function, signatures in functions(module):
        for signature, *_ in signatures:
            types = [x.split(" | ") for x in parameters(signature)]
            right = [SAMPLES.get(kinds[0]) for kinds in types]
            for i, kinds in enumerate(types):
                for wrong, value in WRONG.items():
                    if {wrong, "object"} & {*kinds} or (wrong, kinds[0]) == ("int", "float"):
                        continue
                    try:
                        function(*right[:i], value, *right[i + 1 :])
                    except (TypeError, ValueError):
                        refused += 1
                    else:
                        raise AssertionError(f"{name} took {value!r} as {signature}, argument {i}")
    return refused


@pytest.mark.parametrize("name", ["_engine", "_cuda"])
def test_other_types_are_refused_everywhere(name):
    pytest.importorskip(f"gossamer.{name}", reason="built without CUDA", exc_type=ImportError)
    run = subprocess.run([sys.executable, __file__, name], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) > 500


def test_patterns_that_are_none_or_something_else_are_refused():
    from gossamer import _engine

    pattern = _engine.CsrPattern(1, 1, np.array([0, 1], np.int32), np.array([0], np.int32))
    indptr, one, values = np.zeros(2, np.int32), np.zeros(1, np.int32), np.ones(1)
    for blocks in ([None], [pattern, None], [pattern, 1], [values]):
        with pytest.raises(TypeError):
            _engine.hstack(blocks, indptr, one, one)
        with pytest.raises(TypeError):
            _engine.hstack_values(blocks, [values] * len(blocks), indptr, one, values)
    offsets = np.zeros(2, np.int64)
    for a, b in ((None, pattern), (pattern, 1), (pattern, values)):
        with pytest.raises(TypeError):
            _engine.SpgemmAtOnce(a, values, b, values, offsets)
    with pytest.raises(ValueError, match="values without a_values and b_values"):
        _engine.spgemm_fill(pattern, None, pattern, values, offsets, one, values)


if __name__ == "__main__":
    print(call_wrongly(import_module(f"gossamer.{sys.argv[1]}")))
