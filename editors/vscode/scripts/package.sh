#!/usr/bin/env bash
# Packs the extension with this platform's server inside: package.sh [PROGRAM] [OUT.vsix]
set -euo pipefail
# Paths are the caller's, wherever this is called from.
here=$PWD
cd "$(dirname "$0")/.."
root=$(cd ../.. && pwd)
of_caller() { case "$1" in /*|[A-Za-z]:*) echo "$1" ;; *) echo "$here/$1" ;; esac; }
program=$(of_caller "${1:-$root/target/release/modelcost}")
out=$(of_caller "${2:-modelcost.vsix}")
[ -x "$program" ] || { echo "no program at $program: cargo build --release" >&2; exit 1; }
[ -d node_modules ] || npm ci --silent --no-audit --no-fund
mkdir -p server
cp "$program" "server/modelcost$([[ "$program" == *.exe ]] && echo .exe || true)"
cp ../../LICENSE-MIT LICENSE
case "$(uname -s)-$(uname -m)" in
  Linux-x86_64) target=linux-x64 ;;
  Linux-aarch64) target=linux-arm64 ;;
  Darwin-x86_64) target=darwin-x64 ;;
  Darwin-arm64) target=darwin-arm64 ;;
  MINGW*|MSYS*) target=win32-x64 ;;
  *) target= ;;
esac
npx vsce package --no-dependencies ${target:+--target "$target"} --out "$out"
