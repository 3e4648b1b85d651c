// Convolution by matrix products: gathers patches for cuBLAS and adds their gradients back.

struct Conv {
    u32 batch;
    u32 in_channels;
    u32 in_height;
    u32 in_width;
    u32 out_channels;
    u32 kernel;
    u32 stride;
    u32 padding;
    u32 out_height;
    u32 out_width;
};

// cols (I K K, images P) of the images from `first` to `first + images`. P is the number of output pixels.
KERNEL patches(Conv s, u32 first, u32 images, const float* x, float* cols) {
    u32 pixels = s.out_height * s.out_width, columns = images * pixels;
    FOR_EACH(at, s.in_channels * s.kernel * s.kernel * columns) {
        u32 column = at % columns, tap = at / columns;
        u32 n = first + column / pixels, pixel = column % pixels;
        u32 kx = tap % s.kernel, ky = tap / s.kernel % s.kernel, c = tap / (s.kernel * s.kernel);
        int row = int(pixel / s.out_width * s.stride + ky) - int(s.padding);
        int column_in = int(pixel % s.out_width * s.stride + kx) - int(s.padding);
        bool inside = row >= 0 && row < int(s.in_height) && column_in >= 0 && column_in < int(s.in_width);
        cols[at] = inside ? x[((n * s.in_channels + c) * s.in_height + row) * s.in_width + column_in] : 0.0f;
    }
}

// Adds to each pixel of gx the entries of all patches that contain it, in a fixed order.
KERNEL patches_backward(Conv s, u32 first, u32 images, const float* gcols, float* gx) {
    u32 pixels = s.out_height * s.out_width, columns = images * pixels;
    u32 plane = s.in_height * s.in_width, sample = s.in_channels * plane;
    FOR_EACH(at, images * sample) {
        u32 n = at / sample, c = at % sample / plane, row = at % plane / s.in_width, column = at % s.in_width;
        float sum = 0.0f;
        for (u32 ky = 0; ky < s.kernel; ++ky) {
            u32 down = row + s.padding - ky;  // wraps to a huge number if there is no such patch
            if (down % s.stride != 0 || down / s.stride >= s.out_height || row + s.padding < ky) continue;
            for (u32 kx = 0; kx < s.kernel; ++kx) {
                u32 right = column + s.padding - kx;
                if (right % s.stride != 0 || right / s.stride >= s.out_width || column + s.padding < kx) continue;
                u32 tap = (c * s.kernel + ky) * s.kernel + kx;
                sum += gcols[tap * columns + n * pixels + down / s.stride * s.out_width + right / s.stride];
            }
        }
        gx[first * sample + at] += sum;
    }
}

// Reorders gy (N, O, P) of the images from `first` to `first + images` to (O, images P).
KERNEL channels_first(u32 channels, u32 pixels, u32 first, u32 images, const float* gy, float* rows) {
    u32 columns = images * pixels;
    FOR_EACH(at, channels * columns) {
        u32 c = at / columns, n = first + at % columns / pixels;
        rows[at] = gy[(n * channels + c) * pixels + at % pixels];
    }
}

// Transposes each of a batch of matrices (rows, columns). Uses tiles, so that neighbouring threads read and write neighbours.
KERNEL transpose(u32 batch, u32 rows, u32 columns, int add, const float* from, float* to) {
    __shared__ float tile[32 * 33];
    u32 across = (columns + 31) / 32, down = (rows + 31) / 32;
    u32 lane = threadIdx.x % 32, strip = threadIdx.x / 32;
    for (u32 at = blockIdx.x; at < batch * across * down; at += gridDim.x) {
        u32 left = at % across * 32, top = at / across % down * 32, matrix = at / across / down * rows * columns;
        for (u32 row = strip; row < 32; row += THREADS / 32)
            if (top + row < rows && left + lane < columns)
                tile[row * 33 + lane] = from[matrix + (top + row) * columns + left + lane];
        __syncthreads();
        for (u32 column = strip; column < 32; column += THREADS / 32) {
            if (left + column >= columns || top + lane >= rows) continue;
            u32 place = matrix + (left + column) * rows + top + lane;
            float value = tile[lane * 33 + column];
            to[place] = add ? to[place] + value : value;
        }
        __syncthreads();
    }
}
