// What a kernel's source needs to be C++: the words of CUDA that the kernels use, and nothing more.
//
// A block's threads run one after the other, each up to its next barrier (fibers, in driver.cpp), then the next block. So
// `static` does for __shared__, and a kernel that leaves a barrier out where it needs one gives wrong results here too.
#pragma once
#include <cmath>
#include <cstdint>

// Fewer than on a GPU: switching between them is what takes the time here.
#define THREADS 32

struct Dim3 {
    unsigned x, y, z;
};
extern Dim3 threadIdx, blockIdx, blockDim, gridDim;

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define UNROLL

void barrier();
#define __syncthreads() barrier()

// A warp is a block here. Every thread gives its part and waits for the others'.
void mma_bytes(int* sums, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
#define mma_bytes mma_bytes

static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

static inline unsigned atomicXor(unsigned* word, unsigned bits) {
    unsigned before = *word;
    *word ^= bits;
    return before;
}
