// The convolution of signs: XNOR and popcount on packed bits. A set bit is a negative sign.

// x (N, C, plane) as bits (N, plane, ceil(C / 32)).
KERNEL pack_image_signs(u32 batch, u32 channels, u32 plane, const float* x, u32* bits) {
    u32 words = (channels + 31) / 32;
    FOR_EACH(at, batch * words * plane) {
        // Neighbouring threads read neighbouring pixels.
        u32 pixel = at % plane, word = at / plane % words, n = at / plane / words;
        u32 packed = 0;
        for (u32 bit = 0; bit < 32 && word * 32 + bit < channels; ++bit) {
            float value = x[(n * channels + word * 32 + bit) * plane + pixel];
            packed |= u32(!(value >= 0.0f)) << bit;
        }
        bits[(n * plane + pixel) * words + word] = packed;
    }
}

// w (O, I, K K) as bits (O, K K, ceil(I / 32)).
KERNEL pack_weight_signs(u32 outputs, u32 inputs, u32 taps, const float* w, u32* bits) {
    u32 words = (inputs + 31) / 32;
    FOR_EACH(at, outputs * taps * words) {
        u32 word = at % words, tap = at / words % taps, o = at / words / taps;
        u32 packed = 0;
        for (u32 bit = 0; bit < 32 && word * 32 + bit < inputs; ++bit) {
            float value = w[(o * inputs + word * 32 + bit) * taps + tap];
            packed |= u32(!(value >= 0.0f)) << bit;
        }
        bits[at] = packed;
    }
}

// Output channels that a thread of sign_conv sums at once, and words of a weight that a block holds for each.
#define SIGN_OUTPUTS 16
#define SIGN_WORDS 32

// y (N, O, P): a thread a pixel, blockIdx.y a group of output channels. Zero padding: a tap outside counts nothing. The bits
// past the last channel are 0 in image and weight, so they never differ.
KERNEL sign_conv(Conv s, const u32* x, const u32* w, float* y) {
    __shared__ u32 weights[SIGN_OUTPUTS * SIGN_WORDS];
    u32 words = (s.in_channels + 31) / 32, taps = s.kernel * s.kernel;
    u32 pixels = s.out_height * s.out_width, total = s.batch * pixels;
    u32 first_output = blockIdx.y * SIGN_OUTPUTS;
    // Every thread of a block goes round equally often, for the barrier's sake.
    for (u32 base = blockIdx.x * THREADS; base < total; base += gridDim.x * THREADS) {
        u32 at = base + threadIdx.x;
        u32 n = at / pixels, pixel = at % pixels;
        int top = int(pixel / s.out_width * s.stride) - int(s.padding);
        int left = int(pixel % s.out_width * s.stride) - int(s.padding);
        int differ[SIGN_OUTPUTS];
        for (u32 o = 0; o < SIGN_OUTPUTS; ++o) differ[o] = 0;
        int seen = 0;
        for (u32 tap = 0; tap < taps; ++tap) {
            int row = top + int(tap / s.kernel), column = left + int(tap % s.kernel);
            bool inside = at < total && row >= 0 && row < int(s.in_height) && column >= 0 && column < int(s.in_width);
            const u32* here = x + (inside ? ((n * s.in_height + row) * s.in_width + column) * words : 0);
            if (inside) seen += int(s.in_channels);
            for (u32 start = 0; start < words; start += SIGN_WORDS) {
                u32 count = words - start < SIGN_WORDS ? words - start : SIGN_WORDS;
                __syncthreads();
                for (u32 k = threadIdx.x; k < SIGN_OUTPUTS * count; k += THREADS) {
                    u32 o = first_output + k % SIGN_OUTPUTS;
                    weights[k] = o < s.out_channels ? w[(o * taps + tap) * words + start + k / SIGN_OUTPUTS] : 0;
                }
                __syncthreads();
                if (!inside) continue;
                for (u32 word = 0; word < count; ++word) {
                    u32 bits = here[start + word];
                    const u32* column_of = weights + word * SIGN_OUTPUTS;
                    for (u32 o = 0; o < SIGN_OUTPUTS; ++o) differ[o] += __popc(bits ^ column_of[o]);
                }
            }
        }
        if (at >= total) continue;
        for (u32 o = 0; o < SIGN_OUTPUTS && first_output + o < s.out_channels; ++o)
            y[(n * s.out_channels + first_output + o) * pixels + pixel] = float(seen - 2 * differ[o]);
    }
}
