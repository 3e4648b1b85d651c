//! Convolutions with cuDNN, in the NCHW layout of this crate or transposed to NHWC.
//!
//! The two layouts round differently. If [`crate::GpuSettings::deterministic`] is off, the faster one is measured and used; otherwise
//! NCHW is used.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    cudnn::{ConvPass, Cudnn, Operands, TensorLayout},
    launch::{launch, size},
};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};
use stompp_kernels::ConvShape;

/// The layouts with their names in [`Gpu::algorithm_choices`]. The time of NHWC includes the transposition.
const LAYOUTS: [(&str, TensorLayout); 2] = [
    ("NCHW", TensorLayout::ChannelsFirst),
    ("NHWC", TensorLayout::ChannelsLast),
];

/// The fastest layout of each shape and pass so far.
#[derive(Debug, Default)]
pub(crate) struct LayoutChoices(Mutex<HashMap<(ConvShape, ConvPass), TensorLayout>>);

/// Displays a shape as `batch x inputs -> outputs, kernel/stride @height`, for example `256 x 64 -> 128, 3x3/2 @32`.
pub(crate) struct DisplayConv<'a>(pub(crate) &'a ConvShape);

impl fmt::Display for DisplayConv<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0;
        let (kernel, stride, side) = (s.kernel, s.stride, s.in_height);
        let (batch, inputs, outputs) = (s.batch, s.in_channels, s.out_channels);
        write!(f, "{batch} x {inputs} -> {outputs}, {kernel}x{kernel}/{stride} @{side}")
    }
}

/// The sizes of a tensor as a batch of matrices: (batch, channels, places).
type Matrices = (usize, usize, usize);

/// Returns the sizes of x, w and y.
fn matrices(s: &ConvShape) -> [Matrices; 3] {
    [
        (s.batch, s.in_channels, s.in_height * s.in_width),
        (s.out_channels, s.in_channels, s.kernel * s.kernel),
        (s.batch, s.out_channels, s.out_height() * s.out_width()),
    ]
}

fn len((batch, rows, columns): Matrices) -> usize {
    batch * rows * columns
}

/// Returns the index of the tensor, of x, w and y, that a pass writes.
fn written(pass: ConvPass) -> usize {
    match pass {
        ConvPass::InputGradient => 0,
        ConvPass::WeightGradient => 1,
        ConvPass::Forward => 2,
    }
}

impl Gpu {
    /// Computes `pass` of a convolution with cuDNN. Adds to the output if `add`. Returns false, without any effect, if cuDNN is not loaded
    /// or has no algorithm.
    ///
    /// # Safety
    /// `addresses` must be the addresses of x, w and y with the lengths of `s`. No other code may use the tensor that is written.
    pub(crate) unsafe fn by_cudnn(
        &self,
        s: &ConvShape,
        pass: ConvPass,
        add: bool,
        addresses: [u64; 3],
    ) -> Result<bool, GpuError> {
        let Some(cudnn) = &self.cudnn else { return Ok(false) };
        if !cudnn.has_algorithm(self.settings, s, (pass, Operands::Values, TensorLayout::ChannelsFirst))? {
            return Ok(false);
        }
        let layout = match self.settings.deterministic {
            true => TensorLayout::ChannelsFirst,
            // SAFETY: the caller's.
            false => unsafe { self.faster_layout(cudnn, s, pass, addresses) }?,
        };
        // SAFETY: the caller's.
        unsafe { self.convolve(cudnn, s, (pass, Operands::Values, layout), add, addresses) }
    }

    /// Returns the faster layout for a pass. Measures it in the first call.
    ///
    /// # Safety
    /// The same as for [`Gpu::by_cudnn`].
    unsafe fn faster_layout(
        &self,
        cudnn: &Cudnn,
        s: &ConvShape,
        pass: ConvPass,
        mut addresses: [u64; 3],
    ) -> Result<TensorLayout, GpuError> {
        let layouts = || self.layouts.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(layout) = layouts().get(&(*s, pass)) {
            return Ok(*layout);
        }
        // The measured runs write to scratch memory, because the output must be written only once.
        let output = written(pass);
        // SAFETY: the memory is written before it is read.
        let scratch = unsafe { self.device.alloc::<f32>(len(matrices(s)[output])) }?;
        addresses[output] = *scratch.device_ptr();
        let layout = self.fastest(format!("cuDNN {pass:?} {}", DisplayConv(s)), &LAYOUTS, |layout| {
            // SAFETY: the caller guarantees the inputs; the scratch memory has the length of the output.
            unsafe { self.convolve(cudnn, s, (pass, Operands::Values, layout), false, addresses) }
        })?;
        layouts().insert((*s, pass), layout);
        Ok(layout)
    }

    /// Computes a pass in a given layout. Returns false, without any effect, if cuDNN has no algorithm for it.
    ///
    /// # Safety
    /// The same as for [`Gpu::by_cudnn`].
    pub(crate) unsafe fn convolve(
        &self,
        cudnn: &Cudnn,
        s: &ConvShape,
        way: (ConvPass, Operands, TensorLayout),
        add: bool,
        addresses: [u64; 3],
    ) -> Result<bool, GpuError> {
        let (pass, _, layout) = way;
        if !cudnn.has_algorithm(self.settings, s, way)? {
            return Ok(false);
        }
        if layout == TensorLayout::ChannelsFirst {
            let span = self.start_span(|| format!("cuDNN {pass:?} {}", DisplayConv(s)))?;
            let beta = f32::from(u8::from(add));
            // SAFETY: the caller's.
            unsafe { cudnn.convolve(&self.device, self.settings, s, way, beta, addresses) }?;
            self.end_span(span)?;
            return Ok(true);
        }
        let (matrices, output) = (matrices(s), written(pass));
        let mut reordered = Vec::with_capacity(3);
        for (place, &matrices) in matrices.iter().enumerate() {
            // SAFETY: the transposition below or the convolution writes the memory before it is read.
            let memory = unsafe { self.device.alloc::<f32>(len(matrices)) }?;
            if place != output {
                // SAFETY: the caller's.
                let from = unsafe { Floats::from_raw(addresses[place], len(matrices)) };
                // SAFETY: allocated a few lines above.
                let to = unsafe { FloatsMut::from_raw(*memory.device_ptr(), len(matrices)) };
                self.transpose(matrices, false, from, to)?;
            }
            reordered.push(memory);
        }
        let inner = [0, 1, 2].map(|place: usize| *reordered[place].device_ptr());
        let span = self.start_span(|| format!("cuDNN NHWC {pass:?} {}", DisplayConv(s)))?;
        // SAFETY: this function allocated the memory with the lengths of `s`.
        unsafe { cudnn.convolve(&self.device, self.settings, s, way, 0.0, inner) }?;
        self.end_span(span)?;
        let (batch, rows, columns) = matrices[output];
        let back = (batch, columns, rows);
        let result: &CudaSlice<f32> = &reordered[output];
        // SAFETY: the caller's.
        let to = unsafe { FloatsMut::from_raw(addresses[output], len(back)) };
        self.transpose(back, add, Floats::new(result), to)?;
        Ok(true)
    }

    /// Transposes each of a batch of matrices (rows, columns). Adds to `to` if `add`.
    fn transpose(&self, of: Matrices, add: bool, from: Floats<'_>, to: FloatsMut<'_>) -> Result<(), GpuError> {
        const TILE: usize = 32;
        let (batch, rows, columns) = of;
        let tiles = size(batch * rows.div_ceil(TILE) * columns.div_ceil(TILE));
        let grid = (tiles.clamp(1, self.max_blocks()), 1);
        let (batch, rows, columns) = (size(batch), size(rows), size(columns));
        launch!(self, "transpose", grid, batch, rows, columns, i32::from(add), from, to)
    }

    /// Measures every convolution of numbers that cuDNN has computed so far, in both layouts. [`Gpu::algorithm_choices`] returns the
    /// results. Has no other effect in deterministic mode.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if an allocation, a launch or a call of cuDNN fails.
    pub fn time_layouts(&self) -> Result<(), GpuError> {
        let Some(cudnn) = &self.cudnn else { return Ok(()) };
        for (s, pass) in cudnn.passes() {
            let operands = matrices(&s).map(|matrices| self.device.alloc_zeros::<f32>(len(matrices)));
            let [x, w, y] = operands;
            let (x, w, y) = (x?, w?, y?);
            let addresses = [*x.device_ptr(), *w.device_ptr(), *y.device_ptr()];
            // SAFETY: as many floats as the shape says, in this function's own memory.
            unsafe { self.faster_layout(cudnn, &s, pass, addresses) }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GpuSettings;
    use cudarc::driver::CudaDevice;

    fn numbers(len: usize, salt: usize) -> Vec<f32> {
        (0..len)
            .map(|i| ((i * 7919 + salt) % 1009) as f32 / 504.5 - 1.0)
            .collect()
    }

    /// Each pass in both orders of axes on the same memory, added and overwritten.
    #[test]
    #[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
    fn cuda_layouts_agree() {
        let settings = GpuSettings {
            tf32: false,
            ..GpuSettings::default()
        };
        let gpu = Gpu::open(CudaDevice::new(0).unwrap(), settings).unwrap();
        let Some(cudnn) = &gpu.cudnn else {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "no cuDNN: skipped");
            return;
        };
        for (kernel, stride, padding, in_channels, out_channels) in
            [(3, 1, 1, 5, 40), (3, 2, 1, 33, 3), (1, 2, 0, 4, 70)]
        {
            let s = ConvShape {
                batch: 2,
                in_channels,
                in_height: 8,
                in_width: 7,
                out_channels,
                kernel,
                stride,
                padding,
            };
            for (pass, add) in [
                (ConvPass::Forward, false),
                (ConvPass::InputGradient, true),
                (ConvPass::WeightGradient, true),
                (ConvPass::WeightGradient, false),
            ] {
                let [first, last] = LAYOUTS.map(|(_, layout)| {
                    let operands = [0, 1, 2].map(|place| {
                        let values = numbers(len(matrices(&s)[place]), place);
                        gpu.device.htod_sync_copy(&values).unwrap()
                    });
                    let addresses = [0, 1, 2].map(|place: usize| *operands[place].device_ptr());
                    // SAFETY: this closure allocated the memory with the lengths of the shape.
                    let done = unsafe { gpu.convolve(cudnn, &s, (pass, Operands::Values, layout), add, addresses) };
                    assert!(done.unwrap());
                    gpu.device.dtoh_sync_copy(&operands[written(pass)]).unwrap()
                });
                let largest = first.iter().fold(0.0f32, |most, value| most.max(value.abs()));
                let off = first
                    .iter()
                    .zip(&last)
                    .fold(0.0f32, |most, (a, b)| most.max((a - b).abs()));
                assert!(
                    off <= 1e-5 * largest,
                    "{pass:?}, added: {add}, {s:?}: off by {off} of {largest}"
                );
            }
        }
    }
}
