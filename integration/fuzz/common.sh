# What the three scripts share: where things are, how the targets are built, how one is run.
# Needs stable Rust, g++ and python3; nothing is installed.

set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
out=${CARGO_TARGET_DIR:-$here/target}
host=$(rustc -vV | sed -n 's/^host: //p')
programs=$out/$host/release
targets=(archive asl certificate profile records)

# The flags of `cargo fuzz`, all of them stable, without a sanitizer: our code has no unsafe block.
instrument="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cllvm-args=-simplifycfg-branch-fold-threshold=0 \
--cfg=fuzzing"

die() {
  echo "$*" >&2
  exit 1
}

# build TREE [TARGET…]: the targets' programs into $programs. --target keeps the flags away from build
# scripts, which cannot be linked with them.
build() {
  local tree=$1
  shift
  command -v g++ >/dev/null || die "g++ is missing, libFuzzer is C++: apt-get install g++"
  RUSTFLAGS=$instrument CARGO_TARGET_DIR=$out cargo build --quiet --locked --release \
    --target "$host" --manifest-path "$tree/integration/fuzz/Cargo.toml" "${@/#/--bin=}"
}

# copy TREE: the tree as it lies there, so that what is not yet committed counts as well. A package at
# another path is another package to cargo, while everything from the registry is built only once.
copy() {
  rm -rf "$1"
  mkdir -p "$1"
  (cd "$root" && git ls-files -z --cached --others --exclude-standard |
    tar --null --ignore-failed-read -T - -cf -) 2>/dev/null | tar -xmf - -C "$1"
}

max_len() {
  case $1 in
    archive | asl) echo 65536 ;;
    certificate) echo 16384 ;;
    *) echo 8192 ;;
  esac
}

# files TARGET: files that the library's own corpus maker makes, if there is one.
files() {
  local maker=$root/functions/lib/$1/tests/corpus/make.py python=$root/.venv/bin/python
  local made=$out/files/$1
  [ -x "$python" ] || python=python3
  mkdir -p "$made"
  [ -f "$maker" ] || return 0
  if [ ! -e "$made.done" ] || [ -n "$(find "$(dirname "$maker")" -name '*.py' -newer "$made.done")" ]; then
    rm -rf "$made"
    mkdir -p "$made"
    if "$python" "$maker" "$made" >"$made.log" 2>&1; then
      touch "$made.done"
    else
      echo "$1: $maker failed, see $made.log; going on without its files" >&2
    fi
  fi
}

# seed TARGET PROGRAM: the first inputs, made anew.
seed() {
  local seeds=$out/seeds/$1
  rm -rf "$seeds"
  mkdir -p "$seeds" "$out/corpus/$1" "$here/regressions/$1"
  files "$1"
  # libFuzzer warns of functions that only sanitizers have.
  FUZZ_SEEDS=$seeds FUZZ_FILES=$out/files/$1 "$2" >"$seeds.log" 2>&1 || die "$(cat "$seeds.log")"
}

# fuzz TARGET PROGRAM SECONDS ARTIFACTS CORPUS: fails when something was found.
fuzz() {
  "$2" "$5" "$out/seeds/$1" "$here/regressions/$1" -max_total_time="$3" -artifact_prefix="$4" \
    -dict="$here/dictionaries/$1.dict" -max_len="$(max_len "$1")" -len_control=0 \
    -timeout=10 -rss_limit_mb=768 -print_final_stats=1
}
