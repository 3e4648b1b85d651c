// Sums over the slices of a batch, whose bits do not depend on how the slices are split among processes.

// Adds the shares of each of `lines` pairs of sums, in order. parts is (lines, splits, 2); row `slice` of sums, (slices, lines, 2), is
// written.
KERNEL add_shares(u32 lines, u32 splits, const double* parts, u32 slice, double* sums) {
    FOR_EACH(at, 2 * lines) {
        double sum = 0.0;
        for (u32 split = 0; split < splits; ++split) sum += parts[2 * (at / 2 * splits + split) + at % 2];
        sums[2 * lines * slice + at] = sum;
    }
}

// Adds the rows of sums, (slices, width), in pairs: (a + b) + (c + d). `slices` is a power of two. The first row becomes the sum.
KERNEL add_slices(u32 width, u32 slices, double* sums) {
    FOR_EACH(at, width) {
        for (u32 step = 1; step < slices; step *= 2)
            for (u32 slice = 0; slice < slices; slice += 2 * step) sums[slice * width + at] += sums[(slice + step) * width + at];
    }
}
