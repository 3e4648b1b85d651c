// What every kernel of this folder begins with. The folder is one translation unit, compiled by NVRTC at run time with
// --fmad=false, and by a C++ compiler for the fake driver that runs it without a GPU.
//
// Invariants:
// - A sum has a fixed order, which depends on sizes alone: no floating-point atomics anywhere. Same input, same bits.
// - Sizes are 32 bits wide; the host refuses a tensor that is larger.
// - Kernels named ..._backward add to their gradients, unless the host's page says otherwise.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Threads of a block, of every kernel: a power of two. The fake driver has fewer.
#ifndef THREADS
#define THREADS 256
#endif

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)

// Goes through 0..n, whatever the grid.
#define FOR_EACH(i, n) for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// Before a loop over an array of a thread: only one that is indexed by constants stays in registers.
#ifndef UNROLL
#define UNROLL _Pragma("unroll")
#endif

// Sums `value` over the block, in the order of a binary tree. The sum is thread 0's; the others get a part of it.
static __device__ double block_sum(double value) {
    __shared__ double parts[THREADS];
    parts[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    return parts[threadIdx.x];  // the others' own, so that the next sum may begin at once
}
