// The convolutions of cuDNN that this crate calls, computed one product at a time. Algorithms that are not allowed are proposed first, so
// that tests fail if the first proposal is always used.
#include "stand_in.h"
#include <cstdint>

namespace {
enum { SUCCESS = 0, BAD_PARAM = 2000, NOT_SUPPORTED = 3000 };

struct Descriptor {
    int sizes[9] = {};
    int math = 0;
    int format = 0;  // 0: channels first, 1: last
};

struct Proposal {
    int algorithm, status;
    float milliseconds;
    std::size_t workspace;
    int determinism, math, reserved[3];
};

// Constants of cuDNN: IMPLICIT_GEMM, IMPLICIT_PRECOMP_GEMM and WINOGRAD.
const int OTHER = 0, REPEATING = 1, WINOGRAD = 6;

int create(void** made) { return *made = new Descriptor, SUCCESS; }
int destroy(void* made) { return delete static_cast<Descriptor*>(made), SUCCESS; }
int* sizes(void* of) { return static_cast<Descriptor*>(of)->sizes; }

// The index of an element.
int place(void* of, int n, int c, int h, int w) {
    const int* s = sizes(of);
    bool last = static_cast<Descriptor*>(of)->format == 1;
    return last ? ((n * s[2] + h) * s[3] + w) * s[1] + c : ((n * s[1] + c) * s[2] + h) * s[3] + w;
}

// Proposes, fastest first: one that rounds to half precision, one that is not deterministic, one with transforms (forward only), and a
// plain one.
int propose(int capacity, int* count, Proposal* proposals, bool forward) {
    if (capacity < 4) return BAD_PARAM;
    proposals[0] = {REPEATING, 0, 0.5f, 64, 1, 2, {}};
    proposals[1] = {OTHER, 0, 1.0f, 0, 0, 0, {}};
    *count = 2;
    if (forward) proposals[(*count)++] = {WINOGRAD, 0, 1.5f, 0, 1, 0, {}};
    proposals[(*count)++] = {REPEATING, 0, 2.0f, 64, 1, 0, {}};
    return SUCCESS;
}

// Calls `visit` with the indices in x, w and y of every product. Their order depends on the number of images, as the choice of an
// algorithm does: tests fail if bits must not depend on it and do. Returns an error if sizes do not fit together, memory is not on the
// device, or an algorithm or workspace was not proposed.
template <class Visit>
int each_product(void* xd, const float* x, void* wd, const float* w, void* yd, const float* y, void* conv, int algorithm,
                 const void* workspace, std::size_t bytes, Visit visit) {
    const int *xs = sizes(xd), *ws = sizes(wd), *ys = sizes(yd), *cs = sizes(conv);
    auto len = [](const int* s) { return (unsigned long long)s[0] * s[1] * s[2] * s[3]; };
    auto extent = [&](int in, int kernel, int which) { return (in + 2 * cs[which] - kernel) / cs[2 + which] + 1; };
    auto format = [](void* of) { return static_cast<Descriptor*>(of)->format; };
    bool fits = format(xd) == format(wd) && format(xd) == format(yd) && ws[1] == xs[1] && ys[0] == xs[0] && ys[1] == ws[0] && ys[2] == extent(xs[2], ws[2], 0) &&
                ys[3] == extent(xs[3], ws[3], 1) && cs[4] == 1 && cs[5] == 1 && cs[6] == 1;
    bool there = is_device_memory(x, 4 * len(xs)) && is_device_memory(w, 4 * len(ws)) && is_device_memory(y, 4 * len(ys));
    if (!fits || !there || (algorithm > 1 && algorithm != WINOGRAD)) return BAD_PARAM;
    if (algorithm == REPEATING && (bytes < 64 || !is_device_memory(workspace, bytes))) return BAD_PARAM;
    auto ordered = [&](int at, int count) { return ys[0] & 4 ? count - 1 - at : at; };
    for (int n = 0; n < ys[0]; ++n)
        for (int output = 0; output < ys[1]; ++output)
            for (int oy = 0; oy < ys[2]; ++oy)
                for (int ox = 0; ox < ys[3]; ++ox)
                    for (int input = 0; input < ws[1]; ++input)
                        for (int ky = 0; ky < ws[2]; ++ky)
                            for (int kx = 0; kx < ws[3]; ++kx) {
                                int o = ordered(output, ys[1]), c = ordered(input, ws[1]);
                                int iy = oy * cs[2] + ky - cs[0], ix = ox * cs[3] + kx - cs[1];
                                if (iy < 0 || iy >= xs[2] || ix < 0 || ix >= xs[3]) continue;
                                visit(place(xd, n, c, iy, ix), place(wd, o, c, ky, kx), place(yd, n, o, oy, ox));
                            }
    return SUCCESS;
}

void scale(float* out, void* descriptor, float beta) {
    const int* s = sizes(descriptor);
    for (long i = 0; i < (long)s[0] * s[1] * s[2] * s[3]; ++i) out[i] = beta == 0.0f ? 0.0f : beta * out[i];
}
}  // namespace

extern "C" {

std::size_t cudnnGetVersion() { return 90100; }
int cudnnCreate(void** handle) { return create(handle); }
int cudnnDestroy(void* handle) { return destroy(handle); }
int cudnnCreateTensorDescriptor(void** made) { return create(made); }
int cudnnDestroyTensorDescriptor(void* made) { return destroy(made); }
int cudnnCreateFilterDescriptor(void** made) { return create(made); }
int cudnnDestroyFilterDescriptor(void* made) { return destroy(made); }
int cudnnCreateConvolutionDescriptor(void** made) { return create(made); }
int cudnnDestroyConvolutionDescriptor(void* made) { return destroy(made); }
int cudnnSetConvolutionMathType(void* made, int math) {
    static_cast<Descriptor*>(made)->math = math;
    return math == 0 || math == 3 ? SUCCESS : BAD_PARAM;
}

static int set(void* made, int format, int n, int c, int h, int w) {
    int* s = sizes(made);
    static_cast<Descriptor*>(made)->format = format;
    return s[0] = n, s[1] = c, s[2] = h, s[3] = w, SUCCESS;
}
int cudnnSetTensor4dDescriptor(void* made, int format, int type, int n, int c, int h, int w) {
    return (format == 0 || format == 1) && type == 0 ? set(made, format, n, c, h, w) : NOT_SUPPORTED;
}
int cudnnSetFilter4dDescriptor(void* made, int type, int format, int k, int c, int h, int w) {
    return (format == 0 || format == 1) && type == 0 ? set(made, format, k, c, h, w) : NOT_SUPPORTED;
}
int cudnnSetConvolution2dDescriptor(void* made, int pad_h, int pad_w, int u, int v, int dilation_h, int dilation_w, int mode,
                                    int type) {
    int* s = sizes(made);
    int values[] = {pad_h, pad_w, u, v, dilation_h, dilation_w, mode};
    for (int i = 0; i < 7; ++i) s[i] = values[i];
    return type == 0 ? SUCCESS : NOT_SUPPORTED;
}

int cudnnGetConvolutionForwardAlgorithm_v7(void*, void*, void*, void*, void*, int capacity, int* count, Proposal* proposals) {
    return propose(capacity, count, proposals, true);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void*, void*, void*, void*, void*, int capacity, int* count, Proposal* proposals) {
    return propose(capacity, count, proposals, false);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void*, void*, void*, void*, void*, int capacity, int* count,
                                                  Proposal* proposals) {
    return propose(capacity, count, proposals, false);
}

int cudnnConvolutionForward(void*, const float* alpha, void* xd, const float* x, void* wd, const float* w, void* conv, int algo,
                            void* space, std::size_t bytes, const float* beta, void* yd, float* y) {
    scale(y, yd, *beta);
    // Transforms round.
    float factor = algo == WINOGRAD ? *alpha * 1.000001f : *alpha;
    return each_product(xd, x, wd, w, yd, y, conv, algo, space, bytes,
                        [&](int i, int j, int k) { y[k] += factor * x[i] * w[j]; });
}
int cudnnConvolutionBackwardData(void*, const float* alpha, void* wd, const float* w, void* yd, const float* gy, void* conv,
                                 int algo, void* space, std::size_t bytes, const float* beta, void* xd, float* gx) {
    scale(gx, xd, *beta);
    return each_product(xd, gx, wd, w, yd, gy, conv, algo, space, bytes,
                        [&](int i, int j, int k) { gx[i] += *alpha * gy[k] * w[j]; });
}
int cudnnConvolutionBackwardFilter(void*, const float* alpha, void* xd, const float* x, void* yd, const float* gy, void* conv,
                                   int algo, void* space, std::size_t bytes, const float* beta, void* wd, float* gw) {
    scale(gw, wd, *beta);
    return each_product(xd, x, wd, gw, yd, gy, conv, algo, space, bytes,
                        [&](int i, int j, int k) { gw[j] += *alpha * gy[k] * x[i]; });
}

}  // extern "C"
