#!/usr/bin/env bash
# Upgrades released checkpoints to the newest version of the model. Copy it, and call it when the model's code changes.
#
#   release.sh RULES TEMPLATE OUT CHECKPOINT...
#
#   RULES       folder of rule files
#   TEMPLATE    the model, as module:callable
#   OUT         folder of the new checkpoints; each keeps its name
#   CHECKPOINT  a checkpoint of any released version, or the root of a CheckpointManager, of which all steps are upgraded
#
# Nothing is written before the rule files and the plans of all checkpoints are in order. A rerun upgrades what is
# missing and verifies the rest again.
#
# Exit codes: 0 all checkpoints are upgraded and verified
#             1 something does not fit, or a value is damaged
#             2 wrong usage, or a file cannot be read
#             3 stopped; the same command resumes

set -euo pipefail

if [ "$#" -lt 4 ]; then
  echo "usage: release.sh RULES TEMPLATE OUT CHECKPOINT..." >&2
  exit 2
fi
rules=$1 template=$2 out=$3
shift 3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

twice=$(for checkpoint in "$@"; do basename "$checkpoint"; done | sort | uniq --repeated)
if [ -n "$twice" ]; then
  echo "two checkpoints would become $out/$(head -n 1 <<<"$twice")" >&2
  exit 2
fi

run() { # run COMMAND...: one line if it succeeds, otherwise its output and its exit code
  local code=0
  "$@" >"$log" 2>&1 || code=$?
  if [ "$code" -ne 0 ]; then
    cat "$log" >&2
    echo "failed with exit code $code: $*" >&2
    exit "$code"
  fi
}

steps_of() { # steps_of CHECKPOINT: the steps of a root, one on each line; nothing for a single checkpoint
  migrate inspect "$1" --json >"$log" || return $?
  python3 -c 'import json, sys; print(*json.load(open(sys.argv[1]))["steps"], sep="\n")' "$log"
}

version_of() { # version_of CHECKPOINT: the version that its record states
  migrate inspect "$1" --json >"$log" || return $?
  python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["metadata"].get("migrate", {}).get("version", ""))' "$log"
}

upgrade() { # upgrade CHECKPOINT [OPTION]...
  local checkpoint=$1 step=()
  shift
  if [ -n "$(steps_of "$checkpoint")" ]; then step=(--step all); fi
  run migrate upgrade "$rules" "$checkpoint" "$out/$(basename "$checkpoint")" --template "$template" "${step[@]}" "$@"
}

verify() { # verify CHECKPOINT: compares every value with the digests that the new checkpoint records
  local new step
  new=$out/$(basename "$1")
  for step in $(steps_of "$new"); do run migrate verify "$new" --step "$step"; done
  if [ -z "$(steps_of "$new")" ]; then run migrate verify "$new"; fi
}

# 1. The rule files: complete, unedited since their release, and the model is their newest version.
run migrate check "$rules" --template "$template"
newest=$(migrate heads "$rules" --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["heads"][0]["version"])')
echo "$rules: version $newest"

# 2. The plans of all checkpoints. Those of the newest version need none.
old=()
for checkpoint in "$@"; do
  if [ "$(version_of "$checkpoint")" = "$newest" ]; then
    echo "$checkpoint: version $newest already"
  else
    upgrade "$checkpoint" --dry-run
    echo "$checkpoint: planned"
    old+=("$checkpoint")
  fi
done

# 3. The upgrades. `upgrade` publishes a checkpoint complete and verified, or not at all, and skips what is done. With
# `--verify decode`, linked values are decoded too, and the digests of all values are recorded.
mkdir -p "$out"
for checkpoint in "${old[@]}"; do
  upgrade "$checkpoint" --verify decode
  if grep -q "^Applied" "$log"; then done="upgraded"; else done="already done"; fi
  verify "$checkpoint"
  echo "$checkpoint: $done and verified"
done
