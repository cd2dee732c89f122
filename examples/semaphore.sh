#!/bin/bash
# Runs a project's tests on a kernel of its own, in a container: on Semaphore,
# on any other CI, and at home. Without root, and without a container engine.
#
#   semaphore.sh [COMMAND...]         in the project's folder; else: go test ./...
#
#   KERNEL=6.12                       the kernel; built if the cache has not got it
#   IMAGE=docker://golang:1-bookworm  the container: its programs, your folder
#   STAGE1_BUILDER=PATH               the tool; or a URL, with its checksum in
#   STAGE1_BUILDER_SHA256=HEX           (else: in PATH, or built from this checkout)
#   RUN_OPTIONS='--net --cpu=2'       further options of run
#
# Let the CI keep ~/.cache/stage1-builder (or S1B_CACHE_DIR) between jobs: a
# kernel is compiled once, and after that found in milliseconds. What this script
# puts into the project's folder is all in .stage1-builder/.
set -euo pipefail

readonly kernel="${KERNEL:-6.12}"
readonly image="${IMAGE:-docker://golang:1-bookworm}"
[[ $# -gt 0 ]] || set -- go test ./...

# The tool: one file.
checkout="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
tool="${STAGE1_BUILDER:-}"
case "${tool}" in
  http://* | https://*)
    verified() { sha256sum --status -c <<<"${STAGE1_BUILDER_SHA256:?the checksum of the tool} $1"; }
    file="${PWD}/.stage1-builder/stage1-builder"
    mkdir -p "${file%/*}"
    if [[ ! -x "${file}" ]] || ! verified "${file}"; then
      curl -LsSf "${tool}" -o "${file}.part"
      verified "${file}.part" || { echo "${tool}: another checksum" >&2; exit 1; }
      chmod +x "${file}.part"
      mv "${file}.part" "${file}"
    fi
    tool="${file}"
    ;;
  '')
    if ! tool="$(command -v stage1-builder)"; then
      cargo build --quiet --release --locked --manifest-path "${checkout}/Cargo.toml"
      tool="${CARGO_TARGET_DIR:-${checkout}/target}/release/stage1-builder"
    fi
    ;;
esac

# The kernel. All that comes on stdout is
#   Successfully built .stage1-builder/stage1-kvm-1.30.0-linux-6.12.1.aci with id sha512-...
built="$("${tool}" build --out-dir=.stage1-builder "${kernel}")"
read -r _ _ aci _ _ _ <<<"${built}"
version="${aci##*-linux-}"
version="${version%.aci}"
release="${version}${S1B_KERNEL_VERSION_SUFFIX--kinvolk-v1}"

# The tests; their exit code is that of this script.
# shellcheck disable=SC2086 # RUN_OPTIONS is a list of words
exec "${tool}" run \
  --stage1-name="kinvolk.io/aci/rkt/stage1-kvm,kernelversion=${version}" \
  --volume=here,kind=host,source="${PWD}" --mount=volume=here,target=/src \
  --environment=C_INCLUDE_PATH="/lib/modules/${release}/include" \
  --working-dir=/src \
  ${RUN_OPTIONS:-} \
  "${image}" --exec="$1" -- "${@:2}"
