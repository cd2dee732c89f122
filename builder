#!/bin/sh
# Builds the stage1-builder binary if it is not current, then the image:
#
#   ./builder [VERSION] [OPTIONS]     as `stage1-builder build`
#   ./builder --install-deps          installs what the host lacks first
#
# The binary knows what a kernel's build needs. All that is settled here is
# what the binary itself needs: a Rust toolchain, and a C compiler to link.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

fail() {
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit 7
}

compiler_command() {
    if command -v apt-get >/dev/null; then echo 'apt-get install -y gcc libc6-dev make'
    elif command -v dnf >/dev/null; then echo 'dnf install -y gcc glibc-devel glibc-static make'
    elif command -v pacman >/dev/null; then echo 'pacman -S --needed --noconfirm gcc make'
    elif command -v zypper >/dev/null; then echo 'zypper install -y gcc glibc-devel-static make'
    else echo 'install a C compiler and make'
    fi
}

install_compiler() {
    for argument in "$@"; do
        if [ "$argument" = --install-deps ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
            apt-get update >&2
            DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends gcc libc6-dev make >&2
            return
        fi
    done
    fail 'cc: program not found' "$(compiler_command)"
}

command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
command -v cargo >/dev/null || fail 'cargo: program not found' 'install Rust as https://rustup.rs says'
command -v cc >/dev/null || install_compiler "$@"

# Both are told to cargo, whatever its configuration and environment say: where
# the binary comes to lie is then known, and it runs here.
host=$(cargo -vV | sed -n 's/^host: //p')
target=${CARGO_TARGET_DIR:-${CARGO_BUILD_TARGET_DIR:-$here/target}}
cargo build --release --locked --manifest-path "$here/Cargo.toml" --target "$host" --target-dir "$target" >&2

exec "$target/$host/release/stage1-builder" --project-dir "$here" build "$@"
