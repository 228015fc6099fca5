#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Prunes SmolLM2-135M-Instruct to 50% with Wanda, packs it as float32 and as int8, measures and generates.
set -euo pipefail
cd "$(dirname "$0")/.."

export PATH=$PWD/.venv/bin:$PATH
work=build/llm
text=$work/text
question="What is the capital of France?"

run() {
  printf '$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}

if [[ ! -s $text/heldout.txt ]]; then
  echo "== demo-llm: calibration text from the Debian package debian-handbook"
  python tools/handbook.py "$text"
fi
run gossamer prune smollm2 -o $work/pruned --text $text/calibration.txt --samples 32 --overwrite | tail -n 3
run gossamer compress $work/pruned -o $work/packed --overwrite
run gossamer compress $work/pruned -o $work/packed-int8 --dtype int8 --overwrite
for model in smollm2 $work/pruned $work/packed $work/packed-int8; do
  run gossamer eval "$model" --text $text/heldout.txt --tokens 4096
done
run gossamer generate $work/packed --prompt "$question" --max-new-tokens 48 --compare
run gossamer generate $work/packed-int8 --prompt "$question" --max-new-tokens 48
