#!/usr/bin/env bash
# End to end on the demo's real model with few tokens: fetch, quantize twice, measure, answer. Fails when ParoQuant is
# not clearly better than rounding to nearest, or when any step fails. Usage: tests/demo_test.sh PARO
set -euo pipefail
cd "$(dirname "$0")/.."
paro=$(realpath "$1")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p build/demo-model
tools/fetch_demo_model.sh build/demo-model/SmolLM2-135M-Instruct.Q4_1.gguf
ln -s "$PWD/build/demo-model/SmolLM2-135M-Instruct.Q4_1.gguf" "$work/"

export DEMO_DIR=$work DEMO_SAMPLES=8 DEMO_SEQ_LEN=512 DEMO_EVAL_TOKENS=1024
tools/demo.sh "$paro" | tee "$work/output"
grep -q 'ParoQuant fast, 4 bit' "$work/output"

python3 - "$work" << 'PYTHON'
import json, pathlib, sys
work = pathlib.Path(sys.argv[1])
for text in ("sampled.txt", "documentation.txt"):
    kl = {name: json.loads((work / f"smollm2-{name}.{text}.json").read_text())["kl_mean"] for name in ("rtn", "paro")}
    print(f"{text}: KL {kl['rtn']:.4f} (rtn), {kl['paro']:.4f} (paroquant)")
    # 8 x 512 tokens, a quarter of the demo's own calibration, gave 0.33 to 0.45 of RTN's KL with three seeds; 4 x 512 up
    # to 0.66, for the text that the model writes differs from processor to processor.
    assert 0 < kl["paro"] < 0.6 * kl["rtn"], "ParoQuant should be far below the KL of rounding to nearest"
PYTHON
echo "a second run uses what is there:"
# two models, and their results on two texts
[ "$(tools/demo.sh "$paro" 2>&1 | grep -c 'from an earlier run')" -eq 6 ]
echo "demo test: passed"
