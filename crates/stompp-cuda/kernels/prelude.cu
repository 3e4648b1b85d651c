// Common definitions for the kernels of this folder. The folder is one translation unit. NVRTC compiles it at run time with
// --fmad=false; a C++ compiler compiles it for the fake driver, which needs no GPU.
//
// Invariants:
// - Every sum has a fixed order that depends only on sizes. There are no floating-point atomics. Results are bitwise reproducible.
// - Sizes have 32 bits. The host rejects larger tensors.
// - Kernels named ..._backward add to their gradients, unless the host function says otherwise.

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

// Threads of a block, for every kernel. A power of two. The fake driver uses fewer.
#ifndef THREADS
#define THREADS 256
#endif

#define KERNEL extern "C" __global__ void __launch_bounds__(THREADS)

// Loops over 0..n with any grid.
#define FOR_EACH(i, n) for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += gridDim.x * blockDim.x)

// For loops over a thread's array: the array stays in registers only if all indices are constants.
#ifndef UNROLL
#define UNROLL _Pragma("unroll")
#endif

// Sums `value` over the block in the order of a binary tree. Thread 0 gets the sum; the other threads get partial sums.
static __device__ double block_sum(double value) {
    __shared__ double parts[THREADS];
    parts[threadIdx.x] = value;
    __syncthreads();
    for (u32 half = THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) parts[threadIdx.x] += parts[threadIdx.x + half];
        __syncthreads();
    }
    return parts[threadIdx.x];  // each thread reads its own entry, so the next sum may begin at once
}
