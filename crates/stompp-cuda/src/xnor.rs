//! The convolution of signs. Three methods give the same integers: XNOR and popcount on packed bits, tensor cores on bytes, and cuDNN's
//! convolution of floats that are 1 or -1. The sums of floats are exact below 2^24.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    by_cudnn::DisplayConv,
    conv::Conv,
    cudnn::{ConvPass, Operands, TensorLayout},
    launch::{THREADS, launch, size},
    memory::check_length,
};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::{
    collections::HashMap,
    sync::{Mutex, OnceLock, PoisonError},
};
use stompp_kernels::ConvShape;

/// Output channels of a block of `sign_conv`. `SIGN_OUTPUTS` in the kernels' sources.
const OUTPUTS: u32 = 16;

/// Pixels and output channels of a warp of `sign_conv_bytes`. `BYTE_PIXELS` and `BYTE_OUTPUTS` in the kernels' sources.
const BYTE_TILE: (u32, u32) = (32, 64);

/// Number of four-channel words that one instruction of `sign_conv_bytes` multiplies. `BYTE_WORDS` in the kernels' sources.
const BYTE_WORDS: usize = 8;

/// Largest number of signs whose sum is exact in f32.
const EXACT: usize = 1 << 24;

/// An algorithm for the convolution of signs. All algorithms give the same result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignConvAlgorithm {
    /// Packed bits with XNOR and `__popc`. Always possible.
    Popcount,
    /// Bytes on tensor cores (int8 `mma`). Needs compute capability 8.0 or newer.
    Bytes,
    /// Floats with cuDNN. Uses only algorithms without transforms. They may use TF32, which is exact for 1 and -1.
    Cudnn(TensorLayout),
}

impl SignConvAlgorithm {
    /// All algorithms with their names in [`Gpu::algorithm_choices`].
    pub const ALL: [(&str, Self); 4] = [
        ("popcount", Self::Popcount),
        ("int8 mma", Self::Bytes),
        ("cuDNN NCHW", Self::Cudnn(TensorLayout::ChannelsFirst)),
        ("cuDNN NHWC", Self::Cudnn(TensorLayout::ChannelsLast)),
    ];
}

/// The fastest algorithm of each shape so far.
#[derive(Debug, Default)]
pub(crate) struct SignConvAlgorithms(Mutex<HashMap<ConvShape, SignConvAlgorithm>>);

/// The signs of a weight, (O, I, K, K), one bit each. They are converted to bytes and floats when these are first needed.
#[derive(Debug)]
pub struct Signs {
    bits: CudaSlice<u32>,
    bytes: OnceLock<CudaSlice<u32>>,
    floats: OnceLock<CudaSlice<f32>>,
    outputs: usize,
    inputs: usize,
    kernel: usize,
}

impl Gpu {
    /// Packs the signs of `w`, (outputs, inputs, kernel, kernel). `sign(0) = sign(-0) = +1`.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation or a launch fails.
    pub fn signs(&self, (outputs, inputs, kernel): (usize, usize, usize), w: Floats<'_>) -> Result<Signs, GpuError> {
        let taps = kernel * kernel;
        check_length("w", w.len(), outputs * inputs * taps);
        let words = outputs * taps * inputs.div_ceil(32);
        // SAFETY: the kernel writes all of it.
        let bits = unsafe { self.device.alloc::<u32>(words) }?;
        let grid = self.grid(size(words));
        let sizes = (size(outputs), size(inputs), size(taps));
        launch!(self, "pack_weight_signs", grid, sizes.0, sizes.1, sizes.2, w, bits)?;
        Ok(Signs {
            bits,
            bytes: OnceLock::new(),
            floats: OnceLock::new(),
            outputs,
            inputs,
            kernel,
        })
    }

    /// Computes the convolution of the signs of `x` with the signs of a weight, with zero padding. `y` is overwritten. The sums are exact
    /// integers. The first call with a shape measures every algorithm; later calls use the fastest.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if an allocation, a launch or a library call fails.
    ///
    /// # Panics
    /// Panics if the shape of the weight or a length does not match.
    pub fn sign_conv2d(&self, s: &ConvShape, x: Floats<'_>, w: &Signs, mut y: FloatsMut<'_>) -> Result<(), GpuError> {
        let known = {
            let ways = self.sign_ways.0.lock().unwrap_or_else(PoisonError::into_inner);
            ways.get(s).copied()
        };
        let way = match known {
            Some(way) => way,
            None => {
                let what = format!("signs {}", DisplayConv(s));
                let way = self.fastest(what, &SignConvAlgorithm::ALL, |way| {
                    self.sign_conv2d_with(way, s, x, w, y.reborrow())
                })?;
                let mut ways = self.sign_ways.0.lock().unwrap_or_else(PoisonError::into_inner);
                ways.insert(*s, way);
                way
            }
        };
        let done = self.sign_conv2d_with(way, s, x, w, y)?;
        assert!(done, "{way:?} was possible before");
        Ok(())
    }

    /// Computes [`Gpu::sign_conv2d`] with a given algorithm. Returns false, without changing `y`, if the algorithm does not support this
    /// GPU or shape.
    ///
    /// # Errors
    /// Returns the errors of [`Gpu::sign_conv2d`].
    ///
    /// # Panics
    /// Panics as [`Gpu::sign_conv2d`] does.
    pub fn sign_conv2d_with(
        &self,
        way: SignConvAlgorithm,
        s: &ConvShape,
        x: Floats<'_>,
        w: &Signs,
        y: FloatsMut<'_>,
    ) -> Result<bool, GpuError> {
        check_length("x", x.len(), s.input_len());
        check_length("y", y.len(), s.output_len());
        assert_eq!(
            (w.outputs, w.inputs, w.kernel),
            (s.out_channels, s.in_channels, s.kernel),
            "the packed weight is of another shape"
        );
        match way {
            SignConvAlgorithm::Popcount => self.by_popcount(s, x, w, y).map(|()| true),
            SignConvAlgorithm::Bytes => self.by_bytes(s, x, w, y),
            SignConvAlgorithm::Cudnn(layout) => self.by_floats(layout, s, x, w, y),
        }
    }

    fn by_popcount(&self, s: &ConvShape, x: Floats<'_>, w: &Signs, y: FloatsMut<'_>) -> Result<(), GpuError> {
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
        launch!(self, "sign_conv", grid, Conv::new(s), bits, w.bits, y)
    }

    fn by_bytes(&self, s: &ConvShape, x: Floats<'_>, w: &Signs, y: FloatsMut<'_>) -> Result<bool, GpuError> {
        if self.versions().compute_capability < (8, 0) {
            return Ok(false);
        }
        let (plane, words) = (s.in_height * s.in_width, byte_words(s.in_channels));
        let len = s.batch * plane * words;
        // SAFETY: the first kernel writes all of it.
        let bytes = unsafe { self.device.alloc::<u32>(len) }?;
        let sizes = (size(s.batch), size(s.in_channels), size(plane), size(words));
        let grid = self.grid(size(len));
        launch!(
            self,
            "pack_image_bytes",
            grid,
            sizes.0,
            sizes.1,
            sizes.2,
            sizes.3,
            x,
            bytes
        )?;
        let weight = w.as_bytes(self)?;
        let (pixels, outputs) = BYTE_TILE;
        let warps = THREADS / 32;
        let grid = (
            size(s.batch * s.out_height() * s.out_width())
                .div_ceil(warps * pixels)
                .max(1),
            size(s.out_channels).div_ceil(outputs).max(1),
        );
        launch!(
            self,
            "sign_conv_bytes",
            grid,
            Conv::new(s),
            size(words),
            bytes,
            *weight,
            y
        )?;
        Ok(true)
    }

    fn by_floats(
        &self,
        layout: TensorLayout,
        s: &ConvShape,
        x: Floats<'_>,
        w: &Signs,
        y: FloatsMut<'_>,
    ) -> Result<bool, GpuError> {
        let Some(cudnn) = &self.cudnn else { return Ok(false) };
        let way = (ConvPass::Forward, Operands::Signs, layout);
        if s.in_channels * s.kernel * s.kernel >= EXACT || !cudnn.has_algorithm(self.settings, s, way)? {
            return Ok(false);
        }
        // SAFETY: the kernel writes all of it.
        let signs = unsafe { self.device.alloc::<f32>(x.len()) }?;
        let n = size(x.len());
        launch!(self, "signs_of", self.grid(n), n, x, signs)?;
        let weight = w.as_floats(self)?;
        let addresses = [*signs.device_ptr(), *weight.device_ptr(), y.address()];
        // SAFETY: the lengths were checked, and `y` is borrowed exclusively.
        unsafe { self.convolve(cudnn, s, way, false, addresses) }
    }
}

impl Signs {
    /// Returns the signs as bytes, four channels a word: (O, K K, words). Bytes past the last channel are zero.
    fn as_bytes(&self, gpu: &Gpu) -> Result<&CudaSlice<u32>, GpuError> {
        if let Some(bytes) = self.bytes.get() {
            return Ok(bytes);
        }
        let (taps, words) = (self.kernel * self.kernel, byte_words(self.inputs));
        let len = self.outputs * taps * words;
        // SAFETY: the kernel writes all of it.
        let bytes = unsafe { gpu.device.alloc::<u32>(len) }?;
        let sizes = (size(self.inputs), size(words));
        let grid = gpu.grid(size(len));
        launch!(
            gpu,
            "weight_sign_bytes",
            grid,
            size(len),
            sizes.0,
            sizes.1,
            self.bits,
            bytes
        )?;
        Ok(self.bytes.get_or_init(|| bytes))
    }

    /// Returns the signs as floats, (O, I, K, K).
    fn as_floats(&self, gpu: &Gpu) -> Result<&CudaSlice<f32>, GpuError> {
        if let Some(floats) = self.floats.get() {
            return Ok(floats);
        }
        let taps = self.kernel * self.kernel;
        let len = self.outputs * self.inputs * taps;
        // SAFETY: the kernel writes all of it.
        let floats = unsafe { gpu.device.alloc::<f32>(len) }?;
        let sizes = (size(self.inputs), size(taps));
        let grid = gpu.grid(size(len));
        launch!(
            gpu,
            "weight_sign_floats",
            grid,
            size(len),
            sizes.0,
            sizes.1,
            self.bits,
            floats
        )?;
        Ok(self.floats.get_or_init(|| floats))
    }
}

/// Returns the number of four-channel words of a pixel, rounded up to whole instructions.
fn byte_words(channels: usize) -> usize {
    channels.div_ceil(4 * BYTE_WORDS) * BYTE_WORDS
}
