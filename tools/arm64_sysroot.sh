#!/usr/bin/env bash
# Makes a folder with the arm64 headers and libraries that paro links, for cmake/aarch64-toolchain.cmake: Debian's
# packages, downloaded and unpacked. Nothing of the system is changed and nothing but a download needs rights.
# Usage: tools/arm64_sysroot.sh FOLDER
set -euo pipefail
root=$(realpath -m "${1:?usage: tools/arm64_sysroot.sh FOLDER}")
packages=(libc6-dev libstdc++-12-dev nlohmann-json3-dev libcli11-dev libpcre2-dev libutf8proc-dev libcurl4-openssl-dev
  libssl-dev libfmt-dev libopenblas-dev zlib1g-dev libzstd-dev libgtest-dev libgmock-dev)
[ "$(cat "$root/complete" 2> /dev/null)" = "${packages[*]}" ] && exit 0

# A package list and an empty record of installed packages of its own, so that apt resolves what arm64 needs.
apt=$root/apt
if [ -e "$root" ] && [ ! -e "$root/complete" ] && [ ! -e "$apt" ]; then
  echo "tools/arm64_sysroot.sh: $root is there and is none of this script's folders" >&2
  exit 1
fi
rm -rf "$root"
mkdir -p "$apt"/{lists,archives}/partial "$root/usr/lib"
: > "$apt/status"
apt_arm64() {
  apt-get -qq -y -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User= -o Debug::NoLocking=1 \
    -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt" \
    -o Dir::Cache::archives="$apt/archives" -o Dir::Log="$apt" "$@"
}
echo "downloading arm64 libraries to $root" >&2
apt_arm64 update
apt_arm64 --no-install-recommends -d install "${packages[@]}" > /dev/null
for package in "$apt"/archives/*.deb; do dpkg-deb -x "$package" "$apt/unpacked"; done
mv "$apt"/unpacked/usr/{include,share} "$root/usr/"
cp -a "$apt"/unpacked/usr/lib/. "$root/usr/lib/"
# /lib is /usr/lib on an installed system.
if [ -d "$apt/unpacked/lib" ]; then cp -a "$apt"/unpacked/lib/. "$root/usr/lib/"; fi
ln -s usr/lib "$root/lib"
rm -rf "$apt"

libs=$root/usr/lib/aarch64-linux-gnu
find "$libs" -lname '/*' | while read -r link; do ln -sfn "$(basename "$(readlink "$link")")" "$link"; done
# What the packages' own scripts set up: the alternatives of BLAS.
cp -a "$libs"/openblas-pthread/*.so* "$libs"/openblas-pthread/pkgconfig "$libs/"
echo "${packages[*]}" > "$root/complete"
