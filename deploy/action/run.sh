#!/usr/bin/env bash
# Runs a job of Drawbridge and waits for its end. Exits with the container's exit code; see action.yml for the variables.
set -uo pipefail

run="$JOB/$ID"
arguments=(run "$JOB" --id "$ID" --wait)
while IFS= read -r line; do
  if [ -n "$line" ]; then arguments+=(--env "$line"); fi
done <<<"$ENVIRONMENT"

"$PROGRAM" "${arguments[@]}"
code=$?

printf 'run=%s\nexit-code=%s\n' "$run" "$code" >>"$GITHUB_OUTPUT"
{
  if [ "$code" = 0 ]; then echo "### $run succeeded"; else echo "### $run failed: exit code $code"; fi
  echo
  # Nothing of a log is read as Markdown: each line is indented, and so is code.
  "$PROGRAM" show "$run" 2>&1 | sed 's/^/    /'
  if [ "$LINES_OF_LOG" -gt 0 ]; then
    echo
    echo "The last $LINES_OF_LOG lines of its log:"
    echo
    "$PROGRAM" logs "$run" 2>&1 | tail -n "$LINES_OF_LOG" | sed 's/^/    /'
  fi
  echo
} >>"$GITHUB_STEP_SUMMARY"
exit "$code"
