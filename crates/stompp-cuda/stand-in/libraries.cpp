// The functions of cuBLAS and NVRTC that this crate calls.
#include "stand_in.h"
#include <cstring>

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };

// Column-major: element (row, column) of a matrix, which may be stored transposed.
static float at(const float* m, int transposed, int ld, int row, int column) {
    return transposed ? m[long(row) * ld + column] : m[long(column) * ld + row];
}

extern "C" {

int cublasCreate_v2(void** handle) { return *handle = (void*)1, SUCCESS; }
int cublasDestroy_v2(void*) { return SUCCESS; }
int cublasSetStream_v2(void*, void*) { return SUCCESS; }
int cublasSetMathMode(void*, int) { return SUCCESS; }

int cublasSgemmStridedBatched(void*, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda,
                              long long stride_a, const float* b, int ldb, long long stride_b, const float* beta, float* c,
                              int ldc, long long stride_c, int batch) {
    bool leading = lda >= (ta ? k : m) && ldb >= (tb ? n : k) && ldc >= m;
    if (m < 0 || n < 0 || k < 0 || !leading) return INVALID_VALUE;
    if (batch > 0 && m > 0 && n > 0) {
        auto bytes = [](long long stride, int count, int ld, int columns, int rows) {
            return 4ull * (stride * (count - 1) + (long long)ld * (columns - 1) + rows);
        };
        bool inside = k == 0 || (is_device_memory(a, bytes(stride_a, batch, lda, ta ? m : k, ta ? k : m)) &&
                                 is_device_memory(b, bytes(stride_b, batch, ldb, tb ? k : n, tb ? n : k)));
        if (!inside || !is_device_memory(c, bytes(stride_c, batch, ldc, n, m))) return INVALID_VALUE;
    }
    for (int i = 0; i < batch; ++i) {
        const float *ai = a + i * stride_a, *bi = b + i * stride_b;
        float* ci = c + i * stride_c;
        for (int column = 0; column < n; ++column) {
            for (int row = 0; row < m; ++row) {
                float sum = 0.0f;
                // As in cudnn.cpp, the order depends on a size.
                for (int at_k = 0; at_k < k; ++at_k) {
                    int inner = n & 4 ? k - 1 - at_k : at_k;
                    sum += at(ai, ta, lda, row, inner) * at(bi, tb, ldb, inner, column);
                }
                float& out = ci[long(column) * ldc + row];
                out = *alpha * sum + (*beta == 0.0f ? 0.0f : *beta * out);
            }
        }
    }
    return SUCCESS;
}

int cublasSgemm_v2(void* handle, int ta, int tb, int m, int n, int k, const float* alpha, const float* a, int lda,
                   const float* b, int ldb, const float* beta, float* c, int ldc) {
    return cublasSgemmStridedBatched(handle, ta, tb, m, n, k, alpha, a, lda, 0, b, ldb, 0, beta, c, ldc, 0, 1);
}

// The products of dfdx, which are linked but never called.
int cublasDgemm_v2() { return NOT_SUPPORTED; }
int cublasDgemmStridedBatched() { return NOT_SUPPORTED; }
int cublasSgemv_v2() { return NOT_SUPPORTED; }
int cublasDgemv_v2() { return NOT_SUPPORTED; }
int cublasGemmEx() { return NOT_SUPPORTED; }
int cublasGemmStridedBatchedEx() { return NOT_SUPPORTED; }

int nvrtcCreateProgram(void** program, const char*, const char*, int, const char* const*, const char* const*) {
    return *program = (void*)1, SUCCESS;
}
int nvrtcCompileProgram(void*, int, const char* const*) { return SUCCESS; }
int nvrtcDestroyProgram(void**) { return SUCCESS; }
int nvrtcGetPTXSize(void*, size_t* bytes) { return *bytes = 2, SUCCESS; }
int nvrtcGetPTX(void*, char* ptx) { return std::strcpy(ptx, "-"), SUCCESS; }
int nvrtcGetProgramLogSize(void*, size_t* bytes) { return *bytes = 1, SUCCESS; }
int nvrtcGetProgramLog(void*, char* log) { return *log = 0, SUCCESS; }

}  // extern "C"
