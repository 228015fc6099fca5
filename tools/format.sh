#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Rewrites C++ and Python in the project's format.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/sources.sh

sources "$cpp" | xargs -r -d '\n' .venv/bin/clang-format -i
.venv/bin/ruff check --quiet --fix-only .
.venv/bin/ruff format --quiet .
