#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Checks what the build needs from the system. Missing Debian packages are installed when run by root, otherwise named.
set -euo pipefail

python=${PYTHON:-python3}
compiler=${CXX:-g++}

runs() { "$@" >/dev/null 2>&1 </dev/null; }
links() { echo 'int main() {}' | "$compiler" -x c++ "$@" -o /dev/null - >/dev/null 2>&1; }
has_header() { echo "#include <$1>" | "$compiler" -std=c++20 -I "${HIGHWAY_ROOT:-/usr}/include" -x c++ -E - >/dev/null 2>&1; }
has_cmake() { cmake --version 2>/dev/null | awk 'NR == 1 {split($3, v, "."); exit !(v[1] > 3 || v[1] == 3 && v[2] >= 25)}'; }
has_python_header() { test -f "$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')/Python.h"; }

# Prints the Debian name of each missing package.
missing() {
  links || echo g++
  has_cmake || echo cmake
  runs ninja --version || echo ninja-build
  runs "$python" -c 'import ensurepip, venv' || echo python3-venv
  has_python_header || echo python3-dev
  has_header hwy/highway.h || echo libhwy-dev
  has_header doctest/doctest.h || echo doctest-dev
}

echo "== setup: system packages"
if ! runs "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "error: PYTHON=$python is not Python 3.11 or newer, which development needs" >&2
  exit 1
fi

mapfile -t packages < <(missing)
if ((${#packages[@]})) && command -v apt-get >/dev/null; then
  install="apt-get install -y --no-install-recommends ${packages[*]}"
  if ((EUID)); then
    echo "error: missing system packages; install them with: sudo apt-get update && sudo $install" >&2
    exit 1
  fi
  echo "== setup: $install"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update </dev/null
  apt-get -qq -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "${packages[@]}" </dev/null >/dev/null
  mapfile -t packages < <(missing)
fi
if ((${#packages[@]})); then
  echo "error: missing: ${packages[*]} (Debian's package names; cmake 3.25 or newer, python3-* for $python)" >&2
  exit 1
fi
if ! links -fsanitize=address,undefined || ! links -fsanitize=thread; then
  echo "error: $compiler cannot link with -fsanitize=address,undefined,thread; install libasan, libubsan and libtsan" >&2
  exit 1
fi
