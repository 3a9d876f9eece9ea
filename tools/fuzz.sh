#!/usr/bin/env bash
# Builds the fuzz targets with clang and runs each for SECONDS. Usage: tools/fuzz.sh [SECONDS]
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-30}
tools/setup.sh clang
cmake --preset fuzz > /dev/null
cmake --build build/fuzz
for target in build/fuzz/bin/*_fuzz; do
  name=$(basename "$target")
  corpus=build/fuzz/corpus/$name
  mkdir -p "$corpus"
  seeds=()
  [ -d "fuzz/seeds/$name" ] && seeds=("fuzz/seeds/$name")
  echo "$name: $seconds s"
  "$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=0 \
    -artifact_prefix="build/fuzz/$name-" "$corpus" "${seeds[@]}" > "build/fuzz/$name.log" 2>&1 ||
    { tail -n 40 "build/fuzz/$name.log"; exit 1; }
done
echo "fuzz targets: clean"
