#!/bin/sh
# run.sh PROGRAM [ARGUMENT...]: runs a program of this folder with CUDA's libraries in its way.
# Libraries are looked for in the folders of STOMPP_CUDA_LIBRARIES (colons between them), then in those that README.md lists.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
libraries=${STOMPP_CUDA_LIBRARIES:-}
add() {
    if [ -d "$1" ]; then libraries=$libraries${libraries:+:}$1; fi
}
for folder in /usr/local/cuda/lib64 /usr/local/cuda-13*/lib64 /usr/local/cuda/targets/x86_64-linux/lib /opt/cuda/lib64; do
    add "$folder"
done
# What PyTorch brings.
if command -v python3 >/dev/null; then
    for site in $(python3 -c 'import site, sys; print("\n".join(site.getsitepackages() + [site.getusersitepackages()]))'); do
        for folder in "$site"/nvidia/*/lib; do add "$folder"; done
    done
fi
LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# compute-sanitizer and nvcc are often not on it.
PATH=$PATH:/usr/local/cuda/bin
export LD_LIBRARY_PATH PATH
export STOMPP_WORKSPACE="$here" STOMPP_VECTORS="$here/vectors"
program=$here/bin/$1
shift
exec "$program" "$@"
