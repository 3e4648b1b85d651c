#!/bin/sh
# verify.sh: every test that needs a GPU. Ends with status 0 if all of them pass.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
for test in "$here"/bin/test-*; do
    "$here/run.sh" "$(basename "$test")" --include-ignored cuda
done
