// The training loss.

// The loss of each row of logits, and the gradient of the mean loss: (softmax - target) / count, where `count` is the number of rows of
// the whole batch. The target is
// 1 - smoothing + smoothing / classes for the label's class and smoothing / classes for the others. One thread a row, in double.
KERNEL cross_entropy(u32 batch, double count, u32 classes, float smoothing, const float* logits, const u32* labels,
                     double* losses, float* gradient) {
    double off = double(smoothing) / double(classes);
    double on = 1.0 - double(smoothing) + off;
    FOR_EACH(n, batch) {
        const float* row = logits + n * classes;
        double largest = row[0];
        for (u32 c = 1; c < classes; ++c)
            if (double(row[c]) > largest || largest != largest) largest = row[c];
        double sum = 0.0;
        for (u32 c = 0; c < classes; ++c) sum += exp(double(row[c]) - largest);
        double log_sum = largest + log(sum);
        double expected = double(row[labels[n]]);
        if (smoothing != 0.0f) {
            double others = 0.0;
            for (u32 c = 0; c < classes; ++c)
                if (c != labels[n]) others += double(row[c]);
            expected = on * expected + off * others;
        }
        losses[n] = log_sum - expected;
        for (u32 c = 0; c < classes; ++c) {
            double softmax = exp(double(row[c]) - log_sum);
            gradient[n * classes + c] = float((softmax - (c == labels[n] ? on : off)) / count);
        }
    }
}

// The sum of the losses of the rows from `first` to `first + rows`. One block.
KERNEL loss_sum(u32 first, u32 rows, const double* losses, u32 place, double* sums) {
    double sum = 0.0;
    for (u32 n = threadIdx.x; n < rows; n += THREADS) sum += losses[first + n];
    sum = block_sum(sum);
    if (threadIdx.x == 0) sums[place] = sum;
}

KERNEL loss_mean(double count, const double* sum, float* loss) {
    if (blockIdx.x * blockDim.x + threadIdx.x == 0) loss[0] = float(sum[0] / count);
}
