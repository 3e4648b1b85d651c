//! The engine: runs the steps of a network, places their values in buffers and distributes rows over threads.

#[cfg(feature = "std")]
mod awake;
mod pools;
mod prepare;
mod scratch;

use crate::{
    kernels::{
        binary::{BinaryConv, StagedBits, TaskBuffers},
        dense::{self, Dense},
        tail::{Arithmetic, MOST, Portable, RowWriter, Tail, Values, bytes_of_pixel},
        window::Windows,
    },
    simd::SimdLevel,
};
use alloc::vec::Vec;
use core::ops::Range;
pub(crate) use prepare::{ScratchSizes, prepare};
pub use scratch::Scratch;
pub(crate) use scratch::TaskMemory;

/// The place of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueLocation {
    /// The caller's image.
    Image,
    /// A buffer of bits.
    Bits(usize),
    /// A buffer of floats.
    Floats(usize),
}

/// A value and its shape.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value {
    pub(crate) place: ValueLocation,
    /// Channels, rows, columns.
    pub(crate) shape: [usize; 3],
}

/// The main operation of a step, before its [`Tail`].
pub(crate) enum MainOp {
    Binary(BinaryConv),
    Dense(Dense),
    MaxPool(Windows),
    AveragePool(Windows),
    /// The input itself.
    Copy,
}

/// A step that is ready to run.
pub(crate) struct Step {
    pub(crate) main: MainOp,
    pub(crate) input: Value,
    pub(crate) residual: Option<Value>,
    pub(crate) tail: Tail,
    pub(crate) shape: [usize; 3],
    /// Buffer of the output as floats.
    pub(crate) floats: Option<usize>,
    /// Buffer of the signs of the output.
    pub(crate) bits: Option<usize>,
    /// Rough number of operations. It determines the number of threads.
    #[cfg_attr(not(feature = "std"), allow(dead_code, reason = "one thread"))]
    pub(crate) work: usize,
}

/// A network that is ready to run.
pub(crate) struct Program {
    pub(crate) level: SimdLevel,
    pub(crate) steps: Vec<Step>,
    pub(crate) output: Value,
    pub(crate) sizes: ScratchSizes,
}

/// Minimum work of a thread. Handing over less work takes longer than the work.
#[cfg(feature = "std")]
const WORK_OF_THREAD: usize = 1 << 17;

impl Program {
    /// Runs one image with up to `threads` threads. `image` and `output` must have the network's lengths, and `scratch` must fit the
    /// network.
    pub(crate) fn run(&self, file: &[u8], image: &[f32], scratch: &mut Scratch, threads: usize, output: &mut [f32]) {
        #[cfg(feature = "std")]
        {
            let most_work = self.steps.iter().map(|step| step.work).max().unwrap_or(0);
            let threads = threads.min(scratch.tasks.len()).min(most_work / WORK_OF_THREAD).max(1);
            awake::with_threads(threads, &mut || self.run_steps(file, image, scratch, threads));
        }
        #[cfg(not(feature = "std"))]
        self.run_steps(file, image, scratch, threads);
        let [channels, height, width] = self.output.shape;
        let pixels = height * width;
        let from = view(&self.output, image, &scratch.bits, &scratch.floats);
        for pixel in 0..pixels {
            for first in (0..channels).step_by(MOST) {
                let mut values = [0.0; MOST];
                let values = &mut values[..MOST.min(channels - first)];
                from.read([channels, pixels], pixel, first, values);
                for (channel, value) in (first..).zip(values.iter()) {
                    output[channel * pixels + pixel] = *value;
                }
            }
        }
    }

    fn run_steps(&self, file: &[u8], image: &[f32], scratch: &mut Scratch, threads: usize) {
        for step in &self.steps {
            self.run_step(step, file, image, scratch, threads);
        }
    }

    fn run_step(&self, step: &Step, file: &[u8], image: &[f32], scratch: &mut Scratch, threads: usize) {
        let Scratch {
            bits,
            floats,
            staged,
            table,
            padded,
            tasks,
            ..
        } = scratch;
        // The output buffers are taken out of the lists, so that the other buffers can be borrowed for reading.
        let mut out_bits = step.bits.map(|slot| core::mem::take(&mut bits[slot]));
        let mut out_floats = step.floats.map(|slot| core::mem::take(&mut floats[slot]));
        let input = view(&step.input, image, bits, floats);
        match (&step.main, input) {
            (MainOp::Binary(conv), Values::Bits(bits)) => conv.stage(bits, staged, table),
            (MainOp::Dense(dense), input) => dense.stage(input, padded),
            _ => {}
        }
        let rows = RowTasks {
            program: self,
            step,
            file,
            input,
            residual: step.residual.as_ref().map(|value| view(value, image, bits, floats)),
            staged,
            table,
            padded,
        };
        rows.run_all(
            &mut tasks[..threads],
            out_bits.as_deref_mut(),
            out_floats.as_deref_mut(),
        );
        if let (Some(slot), Some(buffer)) = (step.bits, out_bits) {
            bits[slot] = buffer;
        }
        if let (Some(slot), Some(buffer)) = (step.floats, out_floats) {
            floats[slot] = buffer;
        }
    }
}

/// Returns the part of the buffer that holds the value.
fn view<'a>(value: &Value, image: &'a [f32], bits: &'a [Vec<u8>], floats: &'a [Vec<f32>]) -> Values<'a> {
    let [channels, height, width] = value.shape;
    match value.place {
        ValueLocation::Image => Values::Image(image),
        ValueLocation::Bits(slot) => Values::Bits(&bits[slot][..height * width * bytes_of_pixel(channels)]),
        ValueLocation::Floats(slot) => Values::Floats(&floats[slot][..height * width * channels]),
    }
}

/// The data that all tasks of a step share.
#[derive(Clone, Copy)]
struct RowTasks<'a> {
    program: &'a Program,
    step: &'a Step,
    file: &'a [u8],
    input: Values<'a>,
    residual: Option<Values<'a>>,
    staged: &'a [u8],
    table: &'a [u32],
    padded: &'a [f32],
}

impl RowTasks<'_> {
    /// Computes every row. The number of tasks depends on the work and on the memory in `tasks`.
    fn run_all(&self, tasks: &mut [TaskMemory], bits: Option<&mut [u8]>, floats: Option<&mut [f32]>) {
        let [channels, height, width] = self.step.shape;
        let of_row = [width * bytes_of_pixel(channels), width * channels];
        let bits = bits.map(|bits| &mut bits[..height * of_row[0]]);
        let floats = floats.map(|floats| &mut floats[..height * of_row[1]]);
        #[cfg(feature = "std")]
        {
            let threads = (self.step.work / WORK_OF_THREAD).clamp(1, tasks.len()).min(height);
            self.split(0..height, of_row, &mut tasks[..threads], bits, floats);
        }
        #[cfg(not(feature = "std"))]
        self.run(0..height, &mut tasks[0], bits, floats);
    }

    /// Computes some rows with one task for each entry of `tasks`. Splits the rows in halves recursively, which allocates nothing.
    #[cfg(feature = "std")]
    fn split(
        &self,
        rows: Range<usize>,
        of_row: [usize; 2],
        tasks: &mut [TaskMemory],
        bits: Option<&mut [u8]>,
        floats: Option<&mut [f32]>,
    ) {
        let _inside = awake::Inside::enter();
        if let [task] = tasks {
            return self.run(rows, task, bits, floats);
        }
        let (first, second) = tasks.split_at_mut(tasks.len() / 2);
        let count = (rows.len() * first.len())
            .div_ceil(first.len() + second.len())
            .min(rows.len());
        let middle = rows.start + count;
        let (first_bits, second_bits) = halves(bits, count * of_row[0]);
        let (first_floats, second_floats) = halves(floats, count * of_row[1]);
        rayon::join(
            || self.split(rows.start..middle, of_row, first, first_bits, first_floats),
            || self.split(middle..rows.end, of_row, second, second_bits, second_floats),
        );
    }

    /// Computes some rows.
    fn run(&self, rows: Range<usize>, task: &mut TaskMemory, bits: Option<&mut [u8]>, floats: Option<&mut [f32]>) {
        let [channels, height, width] = self.step.shape;
        let mut sink = RowWriter {
            tail: &self.step.tail,
            channels,
            pixels: height * width,
            first: rows.start * width,
            residual: self.residual,
            floats,
            bits,
        };
        match (&self.step.main, self.input) {
            (MainOp::Binary(conv), Values::Bits(bits)) => {
                let input = StagedBits {
                    bits,
                    staged: self.staged,
                    table: self.table,
                };
                let memory = TaskBuffers {
                    words: &mut task.words,
                    offsets: &mut task.offsets,
                    bytes: &mut task.bytes,
                };
                conv.run(self.file, rows, input, memory, &mut sink);
            }
            (MainOp::Dense(dense), view) => {
                let input = dense::StagedFloats {
                    view,
                    padded: self.padded,
                };
                let memory = [&mut task.patches[..], &mut task.sums[..], &mut task.block[..]];
                dense.run(self.program.level, self.file, rows, input, memory, &mut sink);
            }
            (MainOp::MaxPool(windows), Values::Bits(bits)) => pools::max_of_bits(windows, bits, rows, &mut sink),
            (MainOp::MaxPool(windows), input) => pools::max(windows, input, rows, &mut sink),
            (MainOp::AveragePool(windows), input) => pools::average(windows, input, rows, &mut sink),
            (MainOp::Copy, input) => copy(
                self.program.level,
                input,
                rows.start * width..rows.end * width,
                &mut sink,
            ),
            // `prepare` creates binary convolutions only for inputs of bits.
            (MainOp::Binary(_), _) => {}
        }
    }
}

/// Copies the input and applies the tail.
fn copy(level: SimdLevel, input: Values<'_>, pixels: Range<usize>, sink: &mut RowWriter<'_>) {
    if let (Values::Bits(bytes), Some(bits), true) = (input, &mut sink.bits, sink.tail.keeps_signs())
        && sink.residual.is_none()
        && sink.floats.is_none()
    {
        let of_pixel = bytes_of_pixel(sink.channels);
        return bits.copy_from_slice(&bytes[pixels.start * of_pixel..pixels.end * of_pixel]);
    }
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    if level >= SimdLevel::Avx2 {
        #[target_feature(enable = "avx2,fma")]
        fn copy_avx2(input: Values<'_>, pixels: Range<usize>, sink: &mut RowWriter<'_>) {
            copy_pixels::<crate::kernels::tail::Fma>(input, pixels, sink);
        }
        // SAFETY: a network has a level only if the machine supports it.
        return unsafe { copy_avx2(input, pixels, sink) };
    }
    let _ = level;
    copy_pixels::<Portable>(input, pixels, sink);
}

#[inline(always)]
fn copy_pixels<A: Arithmetic>(input: Values<'_>, pixels: Range<usize>, sink: &mut RowWriter<'_>) {
    let shape = [sink.channels, sink.pixels];
    for pixel in pixels {
        for first in (0..shape[0]).step_by(MOST) {
            let mut values = [0.0; MOST];
            let values = &mut values[..MOST.min(shape[0] - first)];
            input.read(shape, pixel, first, values);
            sink.write::<A>(pixel, first, values);
        }
    }
}

/// Splits `whole` at `at`.
#[cfg(feature = "std")]
fn halves<T>(whole: Option<&mut [T]>, at: usize) -> (Option<&mut [T]>, Option<&mut [T]>) {
    whole.map(|whole| whole.split_at_mut(at)).unzip()
}
