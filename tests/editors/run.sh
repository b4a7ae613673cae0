#!/usr/bin/env bash
# Tries the server in real editors: hints on screen, edits, conventions, a diagnostic and its fix.
#   MODELCOST_EDITORS   where the editors are kept (target/editors)
#   MODELCOST_SERVER    the program to test (built if not given)
#   MODELCOST_SHOTS     where screenshots go (target/screenshots; docs/images to renew those of the documentation)
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
for program in python3 node npm; do
  if ! command -v "$program" >/dev/null; then
    echo "skipped: the editor tests need $program, which is not installed"
    exit 0
  fi
done
target=${CARGO_TARGET_DIR:-$root/target}
export MODELCOST_EDITORS=${MODELCOST_EDITORS:-$target/editors}
export MODELCOST_SHOTS=${MODELCOST_SHOTS:-$target/screenshots}
"$here/install.sh" "$MODELCOST_EDITORS"
if [ -z "${MODELCOST_SERVER:-}" ]; then
  (cd "$root" && cargo build --release --quiet -p modelcost)
  MODELCOST_SERVER=$target/release/modelcost
fi
export MODELCOST_SERVER
export NODE_PATH="$MODELCOST_EDITORS/node_modules"
mkdir -p "$MODELCOST_SHOTS"

export MODELCOST_VSIX=${MODELCOST_VSIX:-$target/modelcost.vsix}
"$root/editors/vscode/scripts/package.sh" "$MODELCOST_SERVER" "$MODELCOST_VSIX" >"$target/vsix.log" 2>&1 ||
  { cat "$target/vsix.log" >&2; exit 1; }

node "$here/neovim.mjs"
node "$here/vscode.mjs"
