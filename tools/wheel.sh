#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds the wheel and tries it as a user would: in an environment of its own, outside the source tree.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "== wheel: build and install into build/wheel"
rm -rf build/wheel
.venv/bin/python -m pip wheel -qq --no-build-isolation --no-deps --wheel-dir build/wheel .
.venv/bin/python -m venv build/wheel/venv
build/wheel/venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints/test.txt build/wheel/*.whl
python=$PWD/build/wheel/venv/bin/python
cd /
"$python" -c '
import gossamer, numpy as np
A = gossamer.csr_array((np.array([2.0, 3.0]), np.array([1, 0]), np.array([0, 1, 2])), shape=(2, 2))
assert (A @ np.array([1.0, 10.0])).tolist() == [20.0, 3.0]
print("== wheel: gossamer", gossamer.__version__, "multiplies")
'
