#!/usr/bin/env bash
# demo.sh: serves models/demo on free ports, scores a text, streams a
# generation, evaluates a bundled text, and stops the server.
set -euo pipefail
cd "$(dirname "$0")/.."

bin=build/release/bin
model=models/demo
sample=sample.txt
text='The city lies on the river, and its harbour is the largest in the country.'
start_seconds=60

work=$(mktemp -d)
server=

stop() {
  if [[ -n $server ]] && kill -TERM "$server" 2>/dev/null; then
    wait "$server" || true
  fi
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

fail() {
  echo "demo: $1" >&2
  if [[ -s $work/server.log ]]; then
    echo "demo: the server's log:" >&2
    sed 's/^/  /' "$work/server.log" >&2
  fi
  exit 1
}

start_server() {
  "$bin/spanlm-server" --model "demo=$model" --dataset-root "$model" \
    --listen 127.0.0.1:0 --drain-delay 0 \
    >"$work/serving.json" 2>"$work/server.log" &
  server=$!
  local tries=$((start_seconds * 10))
  until [[ -s $work/serving.json ]]; do
    kill -0 "$server" 2>/dev/null || fail "the server did not start"
    ((tries-- > 0)) || fail "the server was not ready after $start_seconds s"
    sleep 0.1
  done
  address=$(sed -n 's/.*"listen":"\([^"]*\)".*/\1/p' "$work/serving.json")
  [[ -n $address ]] || fail "no address in: $(cat "$work/serving.json")"
}

client() {
  "$bin/spanlm" --address "$address" "$@"
}

[[ -e $model/config.json ]] || fail "$model holds no model"
start_server
client health >"$work/health" || fail "the server is not healthy"
echo "spanlm-server serves $model on $address ($(cat "$work/health"))"

printf '\nScore of "%s"\n  ' "$text"
printf '%s' "$text" | client score || fail "score failed"

printf '\nGeneration, seed 1\n'
printf '  The history of the '
client generate --prompt 'The history of the ' --max-bytes 300 \
  --temperature 0.7 --seed 1 2>"$work/summary" || {
  cat "$work/summary" >&2
  fail "generate failed"
}
sed 's/^\(.\)/  \1/' "$work/summary"

printf '\nEvaluation of %s\n' "$model/$sample"
client evaluate "$sample" >"$work/evaluation" || fail "evaluate failed"
sed 's/^/  /' "$work/evaluation"
