// The CUDA keywords and functions that the kernels use, defined for C++.
//
// The threads of a block run one after the other, each up to its next barrier (fibers, in driver.cpp), then the next block runs. So
// `static` can replace __shared__, and a kernel with a missing barrier gives wrong results here, too.
#pragma once
#include <cmath>
#include <cstdint>

// Fewer threads than on a GPU, because switching between them is slow here.
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

// A warp is a block here. Every thread writes its part and waits for the others.
void mma_bytes(int* sums, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1);
#define mma_bytes mma_bytes

static inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

static inline unsigned atomicXor(unsigned* word, unsigned bits) {
    unsigned before = *word;
    *word ^= bits;
    return before;
}
