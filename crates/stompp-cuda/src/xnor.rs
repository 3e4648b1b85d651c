//! The convolution of signs, on packed bits.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    conv::Conv,
    launch::{THREADS, launch, size},
    memory::check_length,
};
use cudarc::driver::CudaSlice;
use stompp_kernels::ConvShape;

/// Output channels of a block; `SIGN_OUTPUTS` of the kernels' sources.
const OUTPUTS: u32 = 16;

/// The signs of a weight, (O, I, K, K), a bit each.
#[derive(Debug)]
pub struct Signs {
    bits: CudaSlice<u32>,
    outputs: usize,
    inputs: usize,
    kernel: usize,
}

impl Gpu {
    /// The signs of `w`, (outputs, inputs, kernel, kernel), with `sign(0) = sign(-0) = +1`.
    ///
    /// # Errors
    /// The driver's.
    pub fn signs(&self, (outputs, inputs, kernel): (usize, usize, usize), w: Floats<'_>) -> Result<Signs, GpuError> {
        let taps = kernel * kernel;
        check_length("w", w.len(), outputs * inputs * taps);
        let words = outputs * taps * inputs.div_ceil(32);
        // SAFETY: the kernel writes all of it.
        let bits = unsafe { self.device.alloc::<u32>(words) }?;
        let grid = self.grid(size(words));
        launch!(
            self,
            "pack_weight_signs",
            grid,
            size(outputs),
            size(inputs),
            size(taps),
            w,
            bits
        )?;
        Ok(Signs {
            bits,
            outputs,
            inputs,
            kernel,
        })
    }

    /// The convolution of the signs of `x` with those of a weight, padded with zeros; `y` is overwritten. Sums are integers, exact.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// If the weight is of another shape.
    pub fn sign_conv2d(&self, s: &ConvShape, x: Floats<'_>, w: &Signs, y: FloatsMut<'_>) -> Result<(), GpuError> {
        check_length("x", x.len(), s.input_len());
        check_length("y", y.len(), s.output_len());
        assert_eq!(
            (w.outputs, w.inputs, w.kernel),
            (s.out_channels, s.in_channels, s.kernel),
            "the packed weight is of another shape"
        );
        let plane = s.in_height * s.in_width;
        let words = s.batch * plane * s.in_channels.div_ceil(32);
        // SAFETY: the first kernel writes all of it.
        let bits = unsafe { self.device.alloc::<u32>(words) }?;
        let grid = self.grid(size(words));
        let (batch, channels) = (size(s.batch), size(s.in_channels));
        launch!(self, "pack_image_signs", grid, batch, channels, size(plane), x, bits)?;
        let pixels = size(s.batch * s.out_height() * s.out_width());
        let grid = (
            pixels.div_ceil(THREADS).max(1),
            size(s.out_channels).div_ceil(OUTPUTS).max(1),
        );
        launch!(self, "sign_conv", grid, Conv::of(s), bits, w.bits, y)
    }
}
