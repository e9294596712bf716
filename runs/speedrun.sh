#!/usr/bin/env bash
# The loop one stage at a time, the practice market kept short: for looking into each folder on the way.
#
#   runs/speedrun.sh                      The Complete Journey
#   runs/speedrun.sh DIR MAPPING [OUT]    your own files (docs/events.md: a mapping is about ten lines)
#
# Times are of two cores and 1.5 million rows.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${3:-out/speedrun}
SOURCE=()
if [ $# -ge 2 ]; then SOURCE=(--data "$1" --mapping "$2"); fi

make setup ${TORCH_INDEX:+TORCH_INDEX=$TORCH_INDEX}
export PATH="$PWD/.venv/bin:$PATH"

# 1 behaviour: is it what we think it is? PASS or FAIL with counts; nothing is written. 10 s. A FAIL is for you to judge.
zhitou check ${SOURCE[@]+"${SOURCE[@]}"} || true

# 2 preprocess: prepared/ has events, items, promotions, quarantine with reasons, quality.html. 15 s, about 40 MB.
zhitou prepare --out "$OUT" ${SOURCE[@]+"${SOURCE[@]}"}

# 3 features: profiles, segments, association rules as Parquet, the strongest of each on the screen. 10 s, 1 MB.
zhitou features --out "$OUT"

# 4 train: the interest model beside random, popular, recent and item-kNN on the next basket. 1 to 3 minutes.
zhitou train --out "$OUT"

# 5 deliver, 6 feedback, 7 optimise: the whole loop again (the stages above included) in two worlds, the fewest that
# make an interval. Minutes. Such an interval is wide: expect "inconclusive".
if [ $# -ge 2 ]; then
  zhitou run --data "$1" --mapping "$2" --out "$OUT" --seeds 2
else
  zhitou demo --out "$OUT" --seeds 2
fi
zhitou models --out "$OUT"

# Open the shop until Ctrl-C.
zhitou serve --out "$OUT" --port 8000
