#!/bin/bash
# Copies the example data set on this machine alone and shows what came of it. May be repeated: what is there stays.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

longshore() { "${CARGO_TARGET_DIR:-target}/debug/longshore" --config examples/longshore.toml "$@"; }
state=longshore-data/demo
report=$state/report.csv
mkdir -p "$state"

longshore import examples/manifest.csv --team demo --id demo --report "$report"

task=""
for receipt in "$state"/store/demo/receipts/*.json; do
  name=$(basename "$receipt" .json)
  case $name in "*" | *~*) ;; *) task=$name && break ;; esac # `~` marks later rounds and traces
done
[ -n "$task" ] || { echo "demo: the import ended without a receipt in $state/store/demo/receipts" >&2 && exit 1; }

echo
echo "The receipt of task $task (longshore receipt demo $task):"
longshore receipt demo "$task"

echo
echo "Where things are:"
echo "  copies    $state/store/demo/objects"
echo "  receipts  $state/store/demo/receipts"
echo "  report    $report (the manifest, each URL replaced by its copy)"
echo "  settings  examples/longshore.toml, examples/teams.toml"
