//! The fully connected layer, and the cuBLAS matrix product of this crate.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
    sums::nonempty,
};
use cudarc::cublas::{result::sgemm_strided_batched, sys::cublasOperation_t};
use std::ops::Range;
use stompp_kernels::Slices;

/// A row-major matrix of a batch of matrices. `row` is the distance between rows, `step` the distance between matrices, both in floats.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix {
    pub(crate) address: u64,
    pub(crate) row: usize,
    pub(crate) step: usize,
    pub(crate) transposed: bool,
}

impl Matrix {
    pub(crate) fn new(address: u64, row: usize) -> Self {
        Self {
            address,
            row,
            step: 0,
            transposed: false,
        }
    }

    pub(crate) fn transposed(self) -> Self {
        Self {
            transposed: true,
            ..self
        }
    }

    pub(crate) fn step(self, step: usize) -> Self {
        Self { step, ..self }
    }

    fn operation(&self) -> cublasOperation_t {
        if self.transposed {
            cublasOperation_t::CUBLAS_OP_T
        } else {
            cublasOperation_t::CUBLAS_OP_N
        }
    }
}

impl Gpu {
    /// Computes `c = a b + beta c` for each matrix of a batch. After transposition, `a` is (m, k), `b` is (k, n) and `c` is (m, n).
    ///
    /// # Safety
    /// The matrices must be in device memory, and `c` must not overlap `a` or `b`.
    pub(crate) unsafe fn product(
        &self,
        (m, k, n): (usize, usize, usize),
        batch: usize,
        a: Matrix,
        b: Matrix,
        beta: f32,
        c: Matrix,
    ) -> Result<(), GpuError> {
        self.device.bind_to_thread()?;
        let int = |n: usize| size(n) as i32;
        let alpha = 1.0f32;
        let span = self.start_span(|| format!("cuBLAS {m}x{k}x{n}, {batch} times"))?;
        // cuBLAS is column-major: this is the transposed product of the transposed matrices, in the same memory.
        // SAFETY: the caller guarantees the matrices; `alpha` and `beta` live until the call returns.
        unsafe {
            sgemm_strided_batched(
                *self.blas.handle(),
                b.operation(),
                a.operation(),
                int(n),
                int(m),
                int(k),
                &alpha,
                b.address as *const f32,
                int(b.row),
                b.step as i64,
                a.address as *const f32,
                int(a.row),
                a.step as i64,
                &beta,
                c.address as *mut f32,
                int(c.row),
                c.step as i64,
                int(batch),
            )
        }?;
        self.end_span(span)
    }

    /// Computes `y = x wᵀ + bias`: `x` (N, I), `w` (O, I), `bias` (O,), `y` (N, O), one slice of the batch after the other.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if cuBLAS or a launch fails.
    pub fn linear(
        &self,
        (batch, inputs, outputs): (usize, usize, usize),
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        bias: Floats<'_>,
        mut y: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), batch * inputs);
        check_length("w", w.len(), outputs * inputs);
        check_length("bias", bias.len(), outputs);
        check_length("y", y.len(), batch * outputs);
        let b = Matrix::new(w.address(), inputs).transposed();
        for images in nonempty(slices, batch) {
            let a = Matrix::new(x.of_images(&images, inputs).address(), inputs);
            let c = Matrix::new(y.of_images(&images, outputs).address(), outputs);
            // SAFETY: the lengths were checked, and `y` is borrowed exclusively.
            unsafe { self.product((images.len(), inputs, outputs), 1, a, b, 0.0, c) }?;
        }
        let n = size(y.len());
        launch!(self, "add_bias", self.grid(n), n, size(outputs), bias, y)
    }

    /// Adds the gradients of the weight, the bias and, if `gx` is given, the input. The sums of the slices are added in pairs.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if cuBLAS or a launch fails.
    pub fn linear_backward(
        &self,
        (batch, inputs, outputs): (usize, usize, usize),
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        gy: Floats<'_>,
        (gx, gw, gbias): (Option<FloatsMut<'_>>, FloatsMut<'_>, FloatsMut<'_>),
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), batch * inputs);
        check_length("w", w.len(), outputs * inputs);
        check_length("gy", gy.len(), batch * outputs);
        check_length("gw", gw.len(), outputs * inputs);
        check_length("gbias", gbias.len(), outputs);
        let upstream = |images: &Range<usize>| Matrix::new(gy.of_images(images, outputs).address(), outputs);
        if let Some(mut gx) = gx {
            check_length("gx", gx.len(), batch * inputs);
            let w = Matrix::new(w.address(), inputs);
            for images in nonempty(slices, batch) {
                let gx = Matrix::new(gx.of_images(&images, inputs).address(), inputs);
                // SAFETY: as in `linear`.
                unsafe { self.product((images.len(), outputs, inputs), 1, upstream(&images), w, 1.0, gx) }?;
            }
        }
        self.add_in_slices(slices, batch, gw, |images, gw| {
            let x = Matrix::new(x.of_images(images, inputs).address(), inputs);
            let (dims, gw) = ((outputs, images.len(), inputs), Matrix::new(gw.address(), inputs));
            // SAFETY: as in `linear`.
            unsafe { self.product(dims, 1, upstream(images).transposed(), x, 1.0, gw) }
        })?;
        self.add_in_slices(slices, batch, gbias, |images, gbias| {
            let gy = gy.of_images(images, outputs);
            let (batch, outputs) = (size(images.len()), size(outputs));
            launch!(self, "bias_backward", self.grid(outputs), batch, outputs, gy, gbias)
        })
    }
}
