// Pooling.

// Mean over the plane, summed in double. One thread for each channel of an image.
KERNEL average_pool(u32 channels, u32 inner, const float* x, float* y) {
    FOR_EACH(c, channels) {
        double sum = 0.0;
        for (u32 k = 0; k < inner; ++k) sum += double(x[c * inner + k]);
        y[c] = float(sum / double(inner));
    }
}

KERNEL average_pool_backward(u32 channels, u32 inner, const float* gy, float* gx) {
    FOR_EACH(i, channels * inner) gx[i] += gy[i / inner] / float(inner);
}

struct Pool {
    u32 planes;
    u32 in_height;
    u32 in_width;
    u32 kernel;
    u32 stride;
    u32 padding;
    u32 out_height;
    u32 out_width;
};

// The maximum of each window: the first of equal values, or the last NaN. winners has its index in the plane.
KERNEL max_pool(Pool s, const float* x, float* y, u32* winners) {
    u32 pixels = s.out_height * s.out_width;
    FOR_EACH(at, s.planes * pixels) {
        const float* plane = x + at / pixels * s.in_height * s.in_width;
        int top = int(at % pixels / s.out_width * s.stride) - int(s.padding);
        int left = int(at % s.out_width * s.stride) - int(s.padding);
        bool found = false;
        float best = 0.0f;
        u32 winner = 0;
        for (int row = top; row < top + int(s.kernel); ++row) {
            for (int column = left; column < left + int(s.kernel); ++column) {
                if (row < 0 || row >= int(s.in_height) || column < 0 || column >= int(s.in_width)) continue;
                u32 place = u32(row) * s.in_width + u32(column);
                float value = plane[place];
                if (!found || value > best || value != value) {
                    found = true;
                    best = value;
                    winner = place;
                }
            }
        }
        y[at] = best;
        winners[at] = winner;
    }
}

// Each input sums the gradients of the windows whose maximum it was, in a fixed order.
KERNEL max_pool_backward(Pool s, const u32* winners, const float* gy, float* gx) {
    u32 plane = s.in_height * s.in_width, pixels = s.out_height * s.out_width;
    FOR_EACH(at, s.planes * plane) {
        u32 place = at % plane, row = place / s.in_width + s.padding, column = place % s.in_width + s.padding;
        u32 base = at / plane * pixels;
        u32 top = row < s.kernel ? 0 : (row - s.kernel) / s.stride + 1;
        u32 left = column < s.kernel ? 0 : (column - s.kernel) / s.stride + 1;
        float sum = 0.0f;
        for (u32 oy = top; oy * s.stride <= row && oy < s.out_height; ++oy)
            for (u32 ox = left; ox * s.stride <= column && ox < s.out_width; ++ox)
                if (winners[base + oy * s.out_width + ox] == place) sum += gy[base + oy * s.out_width + ox];
        gx[at] += sum;
    }
}

// Mean of each window, summed in double. No padding.
KERNEL window_mean(Pool s, const float* x, float* y) {
    u32 pixels = s.out_height * s.out_width;
    FOR_EACH(at, s.planes * pixels) {
        const float* plane = x + at / pixels * s.in_height * s.in_width;
        u32 top = at % pixels / s.out_width * s.stride, left = at % s.out_width * s.stride;
        double sum = 0.0;
        for (u32 row = top; row < top + s.kernel; ++row)
            for (u32 column = left; column < left + s.kernel; ++column) sum += double(plane[row * s.in_width + column]);
        y[at] = float(sum / double(s.kernel * s.kernel));
    }
}

// Each input sums its shares of the gradients of the windows that contain it, in a fixed order.
KERNEL window_mean_backward(Pool s, const float* gy, float* gx) {
    u32 plane = s.in_height * s.in_width, pixels = s.out_height * s.out_width;
    FOR_EACH(at, s.planes * plane) {
        u32 place = at % plane, row = place / s.in_width, column = place % s.in_width;
        u32 base = at / plane * pixels;
        u32 top = row < s.kernel ? 0 : (row - s.kernel) / s.stride + 1;
        u32 left = column < s.kernel ? 0 : (column - s.kernel) / s.stride + 1;
        float sum = 0.0f;
        for (u32 oy = top; oy * s.stride <= row && oy < s.out_height; ++oy)
            for (u32 ox = left; ox * s.stride <= column && ox < s.out_width; ++ox)
                sum += gy[base + oy * s.out_width + ox] / float(s.kernel * s.kernel);
        gx[at] += sum;
    }
}
