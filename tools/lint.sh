#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks format, style and types; changes nothing.
set -euo pipefail
cd "$(dirname "$0")/.."
source tools/sources.sh

echo "== lint: clang-format"
sources "$cpp" | xargs -r -d '\n' .venv/bin/clang-format --dry-run --Werror --ferror-limit=10
echo "== lint: ruff"
.venv/bin/ruff format --check --quiet .
.venv/bin/ruff check --quiet .
echo "== lint: mypy"
.venv/bin/mypy --no-error-summary
echo "== lint: licence headers"
sources "$cpp|py|sh" | while read -r file; do
  if [[ -s $file ]] && ! head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0'; then
    echo "error: $file: the first lines lack SPDX-License-Identifier: Apache-2.0" >&2
    exit 1
  fi
done
