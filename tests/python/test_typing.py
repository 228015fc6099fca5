# SPDX-License-Identifier: Apache-2.0
"""What type checkers tell users: wrong names are errors, and nothing is unreachable."""

import pytest

api = pytest.importorskip("mypy.api", reason="mypy is not installed")

PROGRAM = """\
import gossamer as gs
import numpy as np
from numpy.typing import NDArray
A = gs.csr_array((np.ones(2), [0, 1], [0, 1, 2]), (2, 2))
P = gs.compress(np.ones((2, 2), np.float32))
gs.nonsense
gs.io.load_np
P.todense
indptr = gs.eye(3).indptr
reveal_type(gs.__version__)
reveal_type(A.T)
reveal_type(gs.io.save_npz)
x = np.ones(2)
reveal_type([A + A, A - A, A @ A.T, A * 2, -A])
reveal_type([A @ x, x @ A, P @ x, A @ np.ones((2, 2), np.float32)])
reveal_type(A @ [1.0, 2.0])
y: NDArray[np.float32] = np.ones(2, np.float32)
reveal_type([A @ y, y @ A, P @ y])
A @ 2
1 + "reached"
"""

EXPECTED = [
    '6: error: Module has no attribute "nonsense"',
    '7: error: Module has no attribute "load_np"',
    '8: error: "PackedArray" has no attribute "todense"',
    '10: note: Revealed type is "str"',
    '11: note: Revealed type is "gossamer.containers.csc.CSCArray"',
    '12: note: Revealed type is "def (path:',
    '14: note: Revealed type is "list[gossamer.containers.csr.CSRArray]"',
    '15: note: Revealed type is "list[numpy.ndarray[',
    '16: note: Revealed type is "Any"',
    '18: note: Revealed type is "list[numpy.ndarray[',
    '19: error: No overload variant of "__matmul__" of "SparseArray" matches argument type "int"',
    "20: error: Unsupported operand types for +",
]


def test_mypy_knows_the_names(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    options = ["--follow-imports=silent", "--ignore-missing-imports", f"--cache-dir={tmp_path}"]
    printed, errors, _ = api.run([*options, str(file)])
    assert not errors
    lines = [line.partition("program.py:")[2] for line in printed.splitlines()[:-1]]
    lines = [line for line in lines if "note:     def" not in line and "Possible" not in line]
    assert len(lines) == len(EXPECTED), printed
    for line, expected in zip(lines, EXPECTED, strict=True):
        assert line.startswith(expected)
