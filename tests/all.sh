#!/usr/bin/env bash
# Everything that is tested, on a machine that has Rust from rustup and nothing else: installs what is missing from the
# distribution, then checks format, lints and documentation, and runs every test, also on a PostgreSQL and in a browser
# of its own.
set -euo pipefail
cd "$(dirname "$0")/.."

install() {
    local as_root=""
    if [ "$(id -u)" != 0 ]; then as_root="sudo"; fi
    $as_root apt-get update -q
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q --no-install-recommends "$@"
}

# The embedded SQLite and the TLS library are C: cargo needs a compiler for them.
command -v cc >/dev/null 2>&1 || install build-essential

. tests/postgres.sh
. tests/browser.sh

step() { printf '\n== %s\n' "$*"; "$@"; }

for part in fmt clippy; do
    cargo $part --version >/dev/null 2>&1 || rustup component add "$([ $part = fmt ] && echo rustfmt || echo clippy)"
done
step cargo fmt --check
step cargo clippy --locked --all-targets -- --deny warnings
RUSTDOCFLAGS="--deny warnings" step cargo doc --locked --no-deps --lib --document-private-items
trap 'stop_browser; stop_postgres' EXIT
step start_postgres
step start_browser
# With the marks where tests end the process; the same build serves the rest.
step cargo test --locked --features failpoints
step "${CARGO_TARGET_DIR:-target}/debug/leadfold" check
step "${CARGO_TARGET_DIR:-target}/debug/leadfold" test
