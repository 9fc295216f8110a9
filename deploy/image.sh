#!/usr/bin/env bash
# The steps of deploy/Dockerfile. It runs these and nothing else, so each can be tried without an engine:
#
#   deploy/image.sh chef              cargo-chef, which builds the dependencies apart from our code
#   deploy/image.sh toolchain         compilers for TARGETARCH
#   deploy/image.sh plan RECIPE       write down what the dependencies are
#   deploy/image.sh dependencies RECIPE   build them; the layer stays until they change
#   deploy/image.sh build ROOT        build the program, and lay out in ROOT the files that the image adds to its base
#   deploy/image.sh check ROOT        does ROOT hold what the base and the user of the image need?
#
# TARGETARCH is amd64 or arm64, as Docker has it; absent: this machine's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

chef_version=0.1.78
# The user of the image. Volumes belong to it, so it never changes.
user=10001
# What the base has: gcr.io/distroless/cc-debian12 is glibc 2.36 with libgcc.
libraries="libc.so.6 libm.so.6 libgcc_s.so.1 libdl.so.2 libpthread.so.0 librt.so.1 ld-linux-x86-64.so.2 ld-linux-aarch64.so.1"
glibc=2.36

fail() {
  echo "deploy/image.sh: $*" >&2
  exit 1
}

host() {
  case $(uname -m) in
    x86_64) echo amd64 ;;
    aarch64 | arm64) echo arm64 ;;
    *) fail "there is no image for $(uname -m)" ;;
  esac
}

arch=${TARGETARCH:-$(host)}
case $arch in
  amd64) machine=x86_64 package=x86-64 elf="Advanced Micro Devices X86-64" ;;
  arm64) machine=aarch64 package=aarch64 elf=AArch64 ;;
  *) fail "TARGETARCH: $arch is neither amd64 nor arm64" ;;
esac
triple=$machine-unknown-linux-gnu
# The dependencies are of use only if both builds have the same flags.
flags=(--release --locked --features kubernetes --bin contextcore --target "$triple")

# ring and zstd have parts in C.
if [[ $arch != "$(host)" ]]; then
  compiler=$machine-linux-gnu-gcc
  export "CC_${triple//-/_}=$compiler"
  linker=CARGO_TARGET_${triple//-/_}_LINKER
  export "${linker^^}=$compiler"
fi

chef() {
  cargo install cargo-chef --locked --version "$chef_version"
}

toolchain() {
  local packages=(gcc libc6-dev)
  [[ $arch == "$(host)" ]] || packages=("gcc-$package-linux-gnu" "libc6-dev-$arch-cross" gcc libc6-dev)
  apt-get update
  apt-get install --yes --no-install-recommends "${packages[@]}"
  rm -rf /var/lib/apt/lists/*
  rustup target add "$triple"
}

plan() {
  cargo chef prepare --recipe-path "$1"
}

dependencies() {
  cargo chef cook "${flags[@]}" --recipe-path "$1"
}

build() {
  local root=$1
  cargo build "${flags[@]}"
  install -D --mode=0755 "${CARGO_TARGET_DIR:-target}/$triple/release/contextcore" "$root/usr/local/bin/contextcore"
  # The volume belongs here. A fresh one takes over the owner and the mode of this directory.
  install --directory --mode=0750 "$root/var/lib/contextcore"
}

check() {
  local root=$1 program=$1/usr/local/bin/contextcore
  check_files "$root"
  check_program "$program"
  check_user "$root"
}

# Nothing but the program and the place of the volume.
check_files() {
  local found wanted
  found=$(cd "$1" && find . -mindepth 1 \( ! -type d -o -path ./var/lib/contextcore \) -printf '%m %P\n' | LC_ALL=C sort)
  wanted=$(printf '%s\n' '750 var/lib/contextcore' '755 usr/local/bin/contextcore')
  [[ $found == "$wanted" ]] || fail "the files of the image are not as they should be: $found"
}

# It runs on the processor, with the libraries of the base.
check_program() {
  local library version
  [[ $(readelf --file-header "$1" | sed -n 's/ *Machine: *//p') == "$elf" ]] || fail "contextcore is not for $arch"
  for library in $(readelf --dynamic "$1" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p'); do
    [[ " $libraries " == *" $library "* ]] || fail "the base of the image has no $library"
  done
  version=$(readelf --version-info "$1" | grep -o 'GLIBC_[0-9.]*' | cut -d_ -f2 | sort -Vu | tail -n 1)
  [[ $(printf '%s\n' "$version" "$glibc" | sort -V | tail -n 1) == "$glibc" ]] ||
    fail "contextcore needs glibc $version, and the base of the image has $glibc"
  # The same for every processor: only this machine's could be run.
  grep --quiet --text 'projectcontexts\.contextcore\.io' "$1" || fail "contextcore was built without the feature kubernetes"
}

# The user of the image can run the program and write where the volume belongs, and nowhere else.
check_user() {
  local root=$1 become
  if [[ $(id -u) != 0 ]]; then
    echo "not checked, since this is not root: what user $user may do" >&2
    return
  fi
  become=(setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs)
  chown "$user:$user" "$root/var/lib/contextcore"
  "${become[@]}" test -x "$root/usr/local/bin/contextcore" || fail "user $user cannot run contextcore"
  [[ $arch != "$(host)" ]] || "${become[@]}" "$root/usr/local/bin/contextcore" controller crd >/dev/null ||
    fail "user $user cannot run contextcore"
  "${become[@]}" mkdir "$root/var/lib/contextcore/data" || fail "user $user cannot write to its volume"
  rmdir "$root/var/lib/contextcore/data"
  ! "${become[@]}" mkdir "$root/usr/local/bin/x" 2>/dev/null || fail "user $user can write beside the program"
}

case ${1:-} in
  chef | toolchain) (($# == 1)) || fail "$1 takes no argument" ;;
  plan | dependencies | build | check) (($# == 2)) || fail "$1 takes one argument" ;;
  *) fail "say one of chef, toolchain, plan RECIPE, dependencies RECIPE, build ROOT, check ROOT" ;;
esac
"$@"
