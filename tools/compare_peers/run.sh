#!/usr/bin/env bash
# Speed of paro and of llama.cpp on the same shapes, in alternation: prefill of 512 tokens, 128 decoded ones. Builds
# llama.cpp from the source package of llama-cpp-python with native flags into build/peers (once; about 15 minutes on two
# cores), makes models of random weights, and runs compare.py: Q4_0, Q4_K_M and, for the small one, f16.
# Usage: tools/compare_peers/run.sh [SHAPE...]; default: smollm2-135m smollm2-1.7b.
# Variables: THREADS (2), ALTERNATIONS (5), JOBS (of the build; all cores). Needs 8 GB of disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
version=0.3.36
dir=$PWD/build/peers
shapes=("${@:-smollm2-135m}")
[ $# -gt 0 ] || shapes+=(smollm2-1.7b)
tools/setup.sh python3-venv
make --no-print-directory build
mkdir -p "$dir"
if [ ! -x "$dir/venv/bin/python" ]; then
  python3 -m venv "$dir/venv"
  "$dir/venv/bin/pip" -q install gguf numpy
fi
source=$dir/llama_cpp_python-$version/vendor/llama.cpp
if [ ! -d "$source" ]; then
  # pip wants the package's metadata before it hands out the archive, and scikit-build-core makes that.
  "$dir/venv/bin/pip" -q install scikit-build-core
  "$dir/venv/bin/pip" -q download --no-deps --no-build-isolation --no-binary :all: -d "$dir" \
    "llama-cpp-python==$version" > "$dir/download.log" 2>&1 || true
  archive=$(ls "$dir"/llama_cpp_python-$version*.tar.gz 2> /dev/null || true)
  [ -n "$archive" ] || { echo "tools/compare_peers: cannot download llama-cpp-python $version (see $dir/download.log)" >&2; exit 1; }
  tar xzf "$archive" -C "$dir"
fi
cmake -S "$source" -B "$dir/llama.cpp" -G Ninja -DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DBUILD_SHARED_LIBS=OFF \
  -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF > "$dir/configure.log" 2>&1 ||
  { tail -5 "$dir/configure.log" >&2; exit 1; }
ninja ${JOBS:+-j "$JOBS"} -C "$dir/llama.cpp" llama-bench llama-quantize > "$dir/build.log" ||
  { tail -5 "$dir/build.log" >&2; exit 1; }
for shape in "${shapes[@]}"; do
  file=$dir/$shape
  if [ ! -f "$file.f16.gguf" ]; then  # under its name only when it is whole
    "$dir/venv/bin/python" tools/compare_peers/make_gguf.py "$shape" "$file.f16.part"
    mv "$file.f16.part" "$file.f16.gguf"
  fi
  for type in Q4_0 Q4_K_M; do
    [ -f "$file.$type.gguf" ] || "$dir/llama.cpp/bin/llama-quantize" "$file.f16.gguf" "$file.$type.gguf" "$type" \
      > "$file.$type.log" 2>&1 || { rm -f "$file.$type.gguf"; tail -3 "$file.$type.log" >&2; exit 1; }
  done
  files=("$file.Q4_0.gguf" "$file.Q4_K_M.gguf")
  [ "$shape" = smollm2-1.7b ] || files+=("$file.f16.gguf")
  tools/compare_peers/compare.py --paro build/release/bin/paro --llama-bench "$dir/llama.cpp/bin/llama-bench" \
    --shape "$shape" --threads "${THREADS:-2}" --alternations "${ALTERNATIONS:-5}" --files "${files[@]}"
done
