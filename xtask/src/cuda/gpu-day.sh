#!/bin/sh
# gpu-day.sh --minutes N --out DIR [--data DIR] [--epochs N]: everything worth doing on a GPU that is at hand for some minutes. Most
# important first: tests, compute-sanitizer, benchmark beside PyTorch, profile, trainings. DIR/results is to be brought back; a
# second call with the same DIR goes on where the first one stopped. `--help` explains the options.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/run.sh" gpu-day --bundle "$here" "$@"
