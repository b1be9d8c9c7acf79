#!/usr/bin/env bash
# A release script, as a team would have it: the model code changed, so the published checkpoint has to follow.
# Prints one line for each step; stops at the first that does not do what it should.
#
#     release.sh WORK    (holds old/, the published checkpoint, and model.py, the new code)

set -euo pipefail
cd "$1"

expect() { # expect CODE COMMAND...: runs it, keeps its stdout in out.json, and insists on the exit code
  local wanted=$1 code=0
  shift
  "$@" >out.json 2>err.txt || code=$?
  if [ "$code" -ne "$wanted" ]; then
    echo "$*: exit code $code, not $wanted" && cat out.json err.txt && exit 1
  fi
}

field() { "$PYTHON" -c "import json, sys; print(json.load(open('out.json'))$1)"; }

# 1. Nothing was said yet about the renamed layers: the dry run says what does not fit, and fails the release.
cat >rules.yaml <<'YAML'
migrate: 1
target: {template: "model:make_model"}
rules: []
YAML
expect 1 migrate apply rules.yaml old new --dry-run --json
echo "missing: $(field '["missing"]')"
echo "unexpected: $(field '["unexpected"]')"

# 2. The rule file is written: the dry run is content, and nothing is there yet.
cat >rules.yaml <<'YAML'
migrate: 1
target: {template: "model:make_model"}
rules:
  - "params/Dense_0/** -> hidden/**"
  - "params/Dense_1/** -> out/**"
YAML
expect 0 migrate apply rules.yaml old new --dry-run --json
test ! -e new
echo "planned: $(field '["ok"]')"

# 3. Applied, and verified.
expect 0 migrate apply rules.yaml old new --json
expect 0 migrate verify new --source old --rules rules.yaml
echo "applied"

# 4. A second run of the same script changes nothing and says so.
before=$(find new -type f -exec sha256sum {} + | sort | sha256sum)
expect 0 migrate apply rules.yaml old new --json
echo "again: $(field '["already_done"]')"
expect 1 migrate apply rules.yaml new newer --json
echo "twice: $(field '["diagnostics"][0]["code"]')"
test ! -e newer
test "$before" = "$(find new -type f -exec sha256sum {} + | sort | sha256sum)"
echo "unchanged"
