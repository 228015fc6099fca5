# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by lint.sh and format.sh.

# sources EXTENSIONS: lists the source files with one of these extensions (an extended regular expression).
sources() {
  find include src python tests examples bench tools -type f 2>/dev/null | grep -E "\.($1)\$" || true
}
# shellcheck disable=SC2034
cpp='hpp|cpp|cuh|cu'
