// The bias of the fully connected layer. cuBLAS computes its products.

KERNEL add_bias(u32 n, u32 outputs, const float* bias, float* y) {
    FOR_EACH(i, n) y[i] += bias[i % outputs];
}

KERNEL bias_backward(u32 batch, u32 outputs, const float* gy, float* gbias) {
    FOR_EACH(o, outputs) {
        double sum = 0.0;
        for (u32 n = 0; n < batch; ++n) sum += double(gy[n * outputs + o]);
        gbias[o] += float(sum);
    }
}
