#!/usr/bin/env bash
# Installs the Debian/Ubuntu packages that building paro needs and that are not there yet. Extra package names may be
# given as arguments. Without root or sudo it prints the exact command and stops.
set -euo pipefail

packages=(g++ cmake ninja-build pkg-config make git python3
  nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev libcurl4-openssl-dev libssl-dev libfmt-dev libopenblas-dev
  zlib1g-dev libzstd-dev
  libgtest-dev libgmock-dev libbenchmark-dev "$@")

if ! command -v dpkg-query > /dev/null; then
  echo "paro: no dpkg here: install the equivalents of these Debian packages, then run cmake --preset release:" >&2
  echo "  ${packages[*]}" >&2
  for tool in cmake ninja g++ pkg-config; do
    command -v "$tool" > /dev/null || { echo "paro: error: $tool is missing" >&2; exit 1; }
  done
  exit 0
fi

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2> /dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if command -v sudo > /dev/null && { sudo -n true 2> /dev/null || [ -t 0 ]; }; then
    as_root=(sudo)
  else
    echo "paro: these packages are missing and need root to install. Run:" >&2
    echo "  apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
    exit 1
  fi
fi
echo "installing ${missing[*]}" >&2
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
