// The training loss.

// Of each row of logits its own loss, and the gradient of the mean: (softmax - onehot) / batch. A thread a row, in double.
KERNEL cross_entropy(u32 batch, u32 classes, const float* logits, const u32* labels, double* losses, float* gradient) {
    FOR_EACH(n, batch) {
        const float* row = logits + n * classes;
        double largest = row[0];
        for (u32 c = 1; c < classes; ++c)
            if (double(row[c]) > largest || largest != largest) largest = row[c];
        double sum = 0.0;
        for (u32 c = 0; c < classes; ++c) sum += exp(double(row[c]) - largest);
        double log_sum = largest + log(sum);
        losses[n] = log_sum - double(row[labels[n]]);
        for (u32 c = 0; c < classes; ++c) {
            double softmax = exp(double(row[c]) - log_sum);
            gradient[n * classes + c] = float((softmax - (c == labels[n] ? 1.0 : 0.0)) / double(batch));
        }
    }
}

// The mean of the rows' losses: one block.
KERNEL mean_loss(u32 batch, const double* losses, float* loss) {
    double sum = 0.0;
    for (u32 n = threadIdx.x; n < batch; n += THREADS) sum += losses[n];
    sum = block_sum(sum);
    if (threadIdx.x == 0) loss[0] = float(sum / double(batch));
}
