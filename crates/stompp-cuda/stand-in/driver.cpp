// The functions of the CUDA driver that this crate calls, with the CPU as the device.
//
// It is stricter than the real driver: fresh memory is full of NaN, copies outside of an allocation fail, and a write beyond the end of an
// allocation aborts the process when it is freed. A kernel that does not exist cannot be launched.
#include "device.h"
#include "stand_in.h"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <setjmp.h>
#include <ucontext.h>
#include <vector>

typedef unsigned long long Pointer;
enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_FOUND = 500 };

Dim3 threadIdx, blockIdx, blockDim, gridDim;

// --- Memory ---

static std::recursive_mutex lock;  // one launch or copy at a time: kernels have static memory
static std::map<Pointer, size_t> allocations;
static size_t live_bytes = 0;
static const unsigned char GUARD = 0x5A;
static const size_t GUARD_BYTES = 64;

static bool within(Pointer address, size_t bytes) {
    auto after = allocations.upper_bound(address);
    if (after == allocations.begin()) return false;
    auto [start, length] = *--after;
    return address + bytes <= start + length;
}

bool is_device_memory(const void* address, unsigned long long bytes) {
    std::lock_guard<std::recursive_mutex> held(lock);
    return bytes == 0 || within(Pointer(address), bytes);
}

extern "C" {

int cuMemAllocAsync(Pointer* pointer, size_t bytes, void*) {
    std::lock_guard<std::recursive_mutex> held(lock);
    if (bytes == 0) return *pointer = 0, SUCCESS;
    unsigned char* memory = static_cast<unsigned char*>(std::malloc(bytes + GUARD_BYTES));
    if (!memory) return OUT_OF_MEMORY;
    std::memset(memory, 0xFF, bytes);
    std::memset(memory + bytes, GUARD, GUARD_BYTES);
    allocations[*pointer = Pointer(memory)] = bytes;
    live_bytes += bytes;
    return SUCCESS;
}
int cuMemAlloc_v2(Pointer* pointer, size_t bytes) { return cuMemAllocAsync(pointer, bytes, nullptr); }

int cuMemFreeAsync(Pointer pointer, void*) {
    std::lock_guard<std::recursive_mutex> held(lock);
    if (pointer == 0) return SUCCESS;
    auto found = allocations.find(pointer);
    if (found == allocations.end()) return INVALID_VALUE;
    unsigned char* memory = reinterpret_cast<unsigned char*>(pointer);
    for (size_t i = 0; i < GUARD_BYTES; ++i) {
        if (memory[found->second + i] != GUARD) {
            std::fprintf(stderr, "stand-in: a write beyond the end of %zu bytes of device memory\n", found->second);
            std::abort();
        }
    }
    live_bytes -= found->second;
    allocations.erase(found);
    std::free(memory);
    return SUCCESS;
}
int cuMemFree_v2(Pointer pointer) { return cuMemFreeAsync(pointer, nullptr); }

static int copy(void* to, const void* from, size_t bytes, bool to_device, bool from_device) {
    std::lock_guard<std::recursive_mutex> held(lock);
    if (to_device && !is_device_memory(to, bytes)) return INVALID_VALUE;
    if (from_device && !is_device_memory(from, bytes)) return INVALID_VALUE;
    std::memmove(to, from, bytes);
    return SUCCESS;
}
int cuMemcpyHtoDAsync_v2(Pointer to, const void* from, size_t n, void*) { return copy((void*)to, from, n, true, false); }
int cuMemcpyHtoD_v2(Pointer to, const void* from, size_t n) { return copy((void*)to, from, n, true, false); }
int cuMemcpyDtoHAsync_v2(void* to, Pointer from, size_t n, void*) { return copy(to, (void*)from, n, false, true); }
int cuMemcpyDtoH_v2(void* to, Pointer from, size_t n) { return copy(to, (void*)from, n, false, true); }
int cuMemcpyDtoDAsync_v2(Pointer to, Pointer from, size_t n, void*) { return copy((void*)to, (void*)from, n, true, true); }
int cuMemcpyDtoD_v2(Pointer to, Pointer from, size_t n) { return copy((void*)to, (void*)from, n, true, true); }

int cuMemsetD8Async(Pointer to, unsigned char value, size_t bytes, void*) {
    std::lock_guard<std::recursive_mutex> held(lock);
    if (!is_device_memory((void*)to, bytes)) return INVALID_VALUE;
    std::memset((void*)to, value, bytes);
    return SUCCESS;
}
int cuMemsetD8_v2(Pointer to, unsigned char value, size_t bytes) { return cuMemsetD8Async(to, value, bytes, nullptr); }

int cuDeviceGetDefaultMemPool(void** pool, int) { return *pool = (void*)1, SUCCESS; }
int cuMemPoolSetAttribute(void*, int, void*) { return SUCCESS; }
int cuMemPoolGetAttribute(void*, int attribute, void* value) {
    std::lock_guard<std::recursive_mutex> held(lock);
    if (attribute != 7) return INVALID_VALUE;  // memory in use
    return *static_cast<unsigned long long*>(value) = live_bytes, SUCCESS;
}

// --- The device, its context, streams and events: there is one of each, and all work is already complete ---

int cuInit(unsigned) { return SUCCESS; }
int cuDriverGetVersion(int* version) { return *version = 13000, SUCCESS; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, ordinal == 0 ? SUCCESS : 101; }
int cuDeviceGetCount(int* count) { return *count = 1, SUCCESS; }
int cuDeviceGetName(char* name, int length, int) { return std::snprintf(name, length, "the CPU, standing in"), SUCCESS; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { return *bytes = size_t(1) << 34, SUCCESS; }
int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
        case 75: return *value = 9, SUCCESS;   // compute capability, major
        case 76: return *value = 0, SUCCESS;   // and minor
        case 16: return *value = 1, SUCCESS;   // multiprocessors: small grids
        default: return *value = 1, SUCCESS;
    }
}
int cuDevicePrimaryCtxRetain(void** context, int) { return *context = (void*)1, SUCCESS; }
int cuDevicePrimaryCtxRelease_v2(int) { return SUCCESS; }
int cuCtxSetCurrent(void*) { return SUCCESS; }
int cuCtxGetCurrent(void** context) { return *context = (void*)1, SUCCESS; }
int cuCtxSynchronize() { return SUCCESS; }
int cuStreamCreate(void** stream, unsigned) { return *stream = (void*)1, SUCCESS; }
int cuStreamDestroy_v2(void*) { return SUCCESS; }
int cuStreamWaitEvent(void*, void*, unsigned) { return SUCCESS; }
int cuStreamSynchronize(void*) { return SUCCESS; }
int cuStreamQuery(void*) { return SUCCESS; }
// An event is the time at which it was recorded.
typedef std::chrono::steady_clock Clock;
int cuEventCreate(void** event, unsigned) { return *event = new Clock::time_point, SUCCESS; }
int cuEventDestroy_v2(void* event) { return delete static_cast<Clock::time_point*>(event), SUCCESS; }
int cuEventRecord(void* event, void*) { return *static_cast<Clock::time_point*>(event) = Clock::now(), SUCCESS; }
int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
    std::chrono::duration<float, std::milli> passed = *static_cast<Clock::time_point*>(to) - *static_cast<Clock::time_point*>(from);
    return *milliseconds = passed.count(), SUCCESS;
}
int cuGetErrorString(int, const char** text) { return *text = "an error of the fake driver", SUCCESS; }
int cuGetErrorName(int, const char** text) { return *text = "STAND_IN", SUCCESS; }

// --- Modules and launches ---

int cuModuleLoad(void** module, const char*) { return *module = (void*)1, SUCCESS; }
int cuModuleLoadData(void** module, const void*) { return *module = (void*)1, SUCCESS; }
int cuModuleUnload(void*) { return SUCCESS; }
int cuModuleGetFunction(void** function, void*, const char* name) {
    const Kernel* kernel = find_kernel(name);
    if (!kernel) std::fprintf(stderr, "stand-in: there is no kernel %s\n", name);
    *function = const_cast<Kernel*>(kernel);
    return kernel ? SUCCESS : NOT_FOUND;
}

}  // extern "C"

// The threads of a block with barriers are fibers: each runs up to its next barrier, then the next one runs. ucontext creates them once;
// _setjmp switches between them, because it makes no system calls.
static const unsigned MOST_THREADS = 1024;
static const size_t STACK = 64 * 1024;
static jmp_buf scheduler, fibers[MOST_THREADS];
static bool made[MOST_THREADS], ended[MOST_THREADS];
static bool in_fibers = false;
static unsigned current;
static const Kernel* running;
static void** running_arguments;

static void back_to_scheduler() {
    if (_setjmp(fibers[current]) == 0) _longjmp(scheduler, 1);
    threadIdx = {current, 0, 0};
}

void barrier() {
    if (!in_fibers) {
        std::fprintf(stderr, "stand-in: %s has a barrier that build.rs has not seen\n", running->name);
        std::abort();
    }
    back_to_scheduler();
}

// mma.m16n8k32 on bytes, distributed over a warp as in PTX.
void mma_bytes(int* sums, unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0, unsigned b1) {
    static unsigned a[16][8], b[8][8];  // rows of `a` and columns of `b`, in words of four bytes
    unsigned group = current / 4, place = current % 4;
    if (blockDim.x != 32) {
        std::fprintf(stderr, "stand-in: a warp of %u threads\n", blockDim.x);
        std::abort();
    }
    a[group][place] = a0, a[group + 8][place] = a1, a[group][place + 4] = a2, a[group + 8][place + 4] = a3;
    b[group][place] = b0, b[group][place + 4] = b1;
    barrier();
    for (unsigned i = 0; i < 4; ++i) {
        const signed char* row = reinterpret_cast<const signed char*>(a[group + 8 * (i / 2)]);
        const signed char* column = reinterpret_cast<const signed char*>(b[2 * place + i % 2]);
        for (unsigned k = 0; k < 32; ++k) sums[i] += row[k] * column[k];
    }
    barrier();
}

// The body of a fiber: runs one thread of each block.
static void fiber() {
    for (;;) {
        running->run(running_arguments);
        ended[current] = true;
        back_to_scheduler();
    }
}

// Runs a thread up to its next barrier or its end.
static void go_on(unsigned thread) {
    static std::vector<char> stacks(MOST_THREADS * STACK);
    current = thread;
    threadIdx = {thread, 0, 0};
    if (_setjmp(scheduler) != 0) return;
    if (made[thread]) _longjmp(fibers[thread], 1);
    made[thread] = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks.data() + thread * STACK;
    context.uc_stack.ss_size = STACK;
    context.uc_link = nullptr;
    makecontext(&context, fiber, 0);
    setcontext(&context);
}

// CUDA does not define the order of threads and blocks, so each launch runs them forwards or backwards at random. Code that depends on the
// order, for example because of a missing barrier, gives different results.
static bool backwards() {
    static unsigned state = 1;
    state ^= state << 13, state ^= state >> 17, state ^= state << 5;
    return state & 1;
}

template <class Work>
static void in_some_order(unsigned count, Work work) {
    bool reverse = backwards();
    for (unsigned i = 0; i < count; ++i) work(reverse ? count - 1 - i : i);
}

static void run_block_in_fibers(unsigned threads) {
    for (unsigned t = 0; t < threads; ++t) ended[t] = false;
    in_fibers = true;
    for (unsigned open = threads; open > 0;) {
        unsigned waiting = 0;
        in_some_order(threads, [&](unsigned t) {
            if (ended[t]) return;
            go_on(t);
            waiting += !ended[t];
        });
        // A thread has ended while another waits at a barrier. A real device may hang.
        if (waiting != 0 && waiting != threads) {
            std::fprintf(stderr, "stand-in: not every thread of %s reaches its barriers\n", running->name);
            std::abort();
        }
        open = waiting;
    }
    in_fibers = false;
}

extern "C" int cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                              unsigned shared, void*, void** arguments, void**) {
    std::lock_guard<std::recursive_mutex> held(lock);
    bool fits = gx > 0 && gy > 0 && gz == 1 && bx > 0 && bx <= MOST_THREADS && by == 1 && bz == 1 && gy <= 65535;
    if (!function || !fits || shared != 0) return INVALID_VALUE;
    running = static_cast<const Kernel*>(function);
    running_arguments = arguments;
    gridDim = {gx, gy, 1};
    blockDim = {bx, 1, 1};
    in_some_order(gx * gy, [&](unsigned block) {
        blockIdx = {block % gx, block / gx, 0};
        if (running->barriers) return run_block_in_fibers(bx);
        in_some_order(bx, [&](unsigned thread) {
            threadIdx = {thread, 0, 0};
            running->run(arguments);
        });
    });
    return SUCCESS;
}
