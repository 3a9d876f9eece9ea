#!/usr/bin/env bash
# `make conformance`: compares paro with the programs whose results it has to repeat: tokenizers (ids, decoded text), chat
# templates and logits of transformers, and how others read the AWQ and GPTQ checkpoints it writes. Ends with
# "N compared, M different"; fails when anything differs or could not run.
# Usage: tools/conformance/run.sh BUILD [TEXT...] (more texts to tokenize than the documentation and random ones)
# Everything fetched (Python packages, templates, tokenizers: 1 GB) is kept in PARO_CONFORMANCE (default build/conformance)
# and used again. RANDOM_TEXTS (40): random texts a tokenizer.
set -euo pipefail
here=$(dirname "$0")
build=$1
shift
scratch=${PARO_CONFORMANCE:-build/conformance}
mkdir -p "$scratch/logs"
scratch=$(cd "$scratch" && pwd)
started=$SECONDS

# The peers, in a Python environment of their own.
python=$scratch/venv/bin/python
if ! cmp -s "$here/requirements.txt" "$scratch/venv/requirements.txt"; then
  echo "installing the Python packages of tools/conformance/requirements.txt" >&2
  python3 -c 'import ensurepip, venv' 2> /dev/null || "$here/../setup.sh" python3-venv
  python3 -m venv --clear "$scratch/venv"
  "$python" -m pip install -qq --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$scratch/venv/requirements.txt"
fi

# Real chat templates: those that llama-cpp-python's source package carries.
templates=$scratch/templates
if [ ! -d "$templates" ]; then
  echo "fetching chat templates (77 MB)" >&2
  work=$(mktemp -d "$scratch/fetch.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  echo "llama-cpp-python==0.3.36 --hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e" > "$work/requirements.txt"
  "$python" -m pip download -qq --disable-pip-version-check --no-deps --no-binary llama-cpp-python --require-hashes \
    -r "$work/requirements.txt" -d "$work"
  tar -xzf "$work"/llama_cpp_python-*.tar.gz -C "$work" --wildcards --strip-components=5 '*/vendor/llama.cpp/models/templates/*.jinja'
  mkdir "$work/templates"
  mv "$work"/*.jinja "$work/templates"
  mv "$work/templates" "$templates"
fi

texts=("$here"/../../{README.md,CONTRIBUTING.md,docs} "$@")

compared=0 different=0 parts=()
# part NAME COMMAND...: a comparison whose last line says "N compared, M different"; one that breaks off counts as one.
part() {
  local name=$1 status=0 log line n m
  shift
  printf '\n=== %s (%d s)\n' "$name" $((SECONDS - started))
  log="$scratch/logs/${name// /-}.log"
  "$@" 2>&1 | tee "$log" || status=$?
  line=$(tail -n 1 "$log" | grep -oE '^[0-9]+ compared, [0-9]+ different' || true)
  n=${line%% *} m=${line#*, } m=${m%% *}
  if [ -z "$line" ] || { [ "$status" -ne 0 ] && [ "$m" -eq 0 ]; }; then
    echo "broke off: $name (exit code $status)"
    n=${n:-0} m=$((${m:-0} + 1))
  fi
  compared=$((compared + n)) different=$((different + m))
  parts+=("$(printf '%-32s %8d compared, %d different' "$name" "$n" "$m")")
}

tokenizers=(--real "$scratch/tokenizers")
if ! command -v npm > /dev/null && [ ! -d "$scratch/tokenizers" ]; then
  echo "npm is not there: the real tokenizers are left out; those of the fixtures are compared" >&2
  tokenizers=()
fi
"$python" "$here/unpack_tokenizers.py" "$scratch/own"
part "tokenizers" "$python" "$here/tokenizer_conformance.py" "$build/bin/paro" --lines "$build/bin/paro_tokenize_lines" \
  --tokenizer "$scratch"/own/* "${tokenizers[@]}" --text "${texts[@]}" --random "${RANDOM_TEXTS:-40}"
part "chat templates" "$python" "$here/chat_template_conformance.py" "$build/bin/paro_render_template" "$templates"
if "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))'; then
  part "characters in templates" "$python" "$here/chat_template_unicode.py" "$build/bin/paro_render_template"
else
  echo "characters in templates: left out, needs Python 3.11" >&2
fi
part "formats" "$python" "$here/formats_conformance.py" "$build/bin/paro" "$scratch/own/gpt2/tokenizer.json" \
  --scratch "$scratch/formats"
part "logits" "$python" "$here/logits_conformance.py" "$build/bin/paro" --scratch "$scratch/models"

printf '\n=== done (%d s)\n' $((SECONDS - started))
printf '%s\n' "${parts[@]}"
echo "$compared compared, $different different"
[ "$different" -eq 0 ]
