#!/usr/bin/env bash
# The demonstration, command by command: real behaviour in, the practice market's lift out. Run from anywhere.
# Times are of two cores; memory stays below 4 GB. Nothing is fetched after the setup.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-out}

# A virtual environment with pinned packages: minutes, once. TORCH_INDEX=https://download.pytorch.org/whl/cpu saves
# gigabytes where there is no GPU.
make setup ${TORCH_INDEX:+TORCH_INDEX=$TORCH_INDEX}
export PATH="$PWD/.venv/bin:$PATH"

# What stands in the data, before anything is written: 10 seconds, 1,477,998 rows, 17 named checks.
zhitou check

# The whole loop: 10 worlds, six policies. Minutes; most of it the interest model and the worlds.
zhitou demo --out "$OUT"

# Which response model the lead world ended with, and on which evidence.
zhitou models --out "$OUT"

# One decision in words, computed again from its record.
ID=$(sed -n 's/.*zhitou explain \(d_[0-9a-f]*\).*/\1/p' "$OUT/report.html")
zhitou explain "$ID" --out "$OUT"

# The same shop, open over HTTP until Ctrl-C: the key is printed once. README.md has a session for it.
zhitou serve --out "$OUT"
