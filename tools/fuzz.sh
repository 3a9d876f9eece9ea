#!/usr/bin/env bash
# Runs each fuzz target for SECONDS from its seeds and what earlier runs found (build/asan/corpus); they are part of the
# asan build. Usage: tools/fuzz.sh [SECONDS]. Ends with "N passed, M failed"; an input that fails stays in build/asan.
set -uo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
build=build/asan
tools/setup.sh clang libclang-rt-dev || exit 1
launcher=$(command -v ccache)
targets=()
for source in fuzz/*_fuzz.cpp; do targets+=("$(basename "$source" .cpp)"); done
cmake --preset asan ${launcher:+-DCMAKE_CXX_COMPILER_LAUNCHER="$launcher"} > /dev/null &&
  cmake --build $build --target "${targets[@]}" || { echo "0 passed, 1 failed"; exit 1; }

passed=0 failed=0
for name in "${targets[@]}"; do
  mkdir -p "$build/corpus/$name"
  if "$build/bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 \
    -artifact_prefix="$build/$name-" "$build/corpus/$name" "fuzz/seeds/$name" > "$build/$name.log" 2>&1; then
    passed=$((passed + 1))
    echo "$name: $(grep -oE 'Done [0-9]+ runs' "$build/$name.log" | tail -n 1 | cut -d' ' -f2) runs"
  else
    failed=$((failed + 1))
    echo "--- $name failed:"
    tail -n 40 "$build/$name.log"
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
