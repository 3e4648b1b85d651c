//! A packed network that is open and ready to run.

use crate::{
    container::{Dtype, Header},
    error::{OpenError, RunError},
    graph_text,
    info::NetworkInfo,
    run::{Program, Scratch, prepare},
    simd::SimdLevel,
    tensors::{self, StepTensors},
};
use alloc::{borrow::Cow, vec::Vec};
use core::ops::{Deref, Range};
use stompp_graph::{ActivationRule, DeployPlan, Graph, Shape};

/// A network from a packed file, ready to run.
///
/// Images are floats in (channels, height, width) order, prepared as [`NetworkInfo`] describes. Results do not depend on the
/// [`SimdLevel`] or on the number of threads.
pub struct Network<'a> {
    file: Cow<'a, [u8]>,
    graph: Graph,
    activations: ActivationRule,
    info: NetworkInfo,
    program: Program,
    /// Scratch memory of earlier runs, to be reused.
    #[cfg(feature = "std")]
    spare: std::sync::Mutex<Vec<Scratch>>,
}

#[cfg(feature = "std")]
impl Network<'static> {
    /// Opens a packed file. Uses the level in the environment variable `STOMPP_SIMD`, or [`SimdLevel::detect`] if it is not set.
    ///
    /// # Errors
    /// Returns [`OpenError::Read`] if the file cannot be read, and the errors of [`Network::from_bytes`].
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let file = std::fs::read(path).map_err(|source| OpenError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::from_vec(file)
    }
}

impl Network<'static> {
    /// Opens a packed network from bytes that it owns.
    ///
    /// # Errors
    /// Returns the errors of [`Network::from_bytes`].
    pub fn from_vec(file: Vec<u8>) -> Result<Self, OpenError> {
        Self::new(Cow::Owned(file), chosen_level()?)
    }
}

impl<'a> Network<'a> {
    /// Opens a packed network from the bytes of a file. The bytes are borrowed; they need no alignment.
    ///
    /// # Errors
    /// Returns an [`OpenError`] if `file` is not a packed network or is damaged, or if `STOMPP_SIMD` has an unknown or unsupported level.
    pub fn from_bytes(file: &'a [u8]) -> Result<Self, OpenError> {
        Self::new(Cow::Borrowed(file), chosen_level()?)
    }

    /// Opens a packed network for a given level, for tests and measurements. Ignores `STOMPP_SIMD`.
    ///
    /// # Errors
    /// Returns [`OpenError::Level`] if this machine does not support `level`. Returns another [`OpenError`] if `file` is not a packed
    /// network or is damaged.
    pub fn from_bytes_at(file: &'a [u8], level: SimdLevel) -> Result<Self, OpenError> {
        if !level.is_supported() {
            return Err(OpenError::Level(alloc::format!("this machine lacks {level}")));
        }
        Self::new(Cow::Borrowed(file), level)
    }

    fn new(file: Cow<'a, [u8]>, level: SimdLevel) -> Result<Self, OpenError> {
        let mut header = Header::read(&file)?;
        let (info, activations) = NetworkInfo::read(&header.metadata)?;
        let graph = graph_text::read(header.metadata.get("graph").map_or("", |text| text))?;
        let plan = DeployPlan::new(&graph, activations);
        let steps = plan.steps().iter();
        let tensors: Vec<StepTensors<Range<usize>>> = steps
            .map(|step| {
                let specs = tensors::step_tensors(&graph, &plan, step);
                specs.try_map(|spec| {
                    let range = header.find_tensor(&spec.name, spec.dtype, &spec.shape)?;
                    let channels = step.main.map_or(0, |main| graph.first_input_shape(main)[0]);
                    if spec.dtype == Dtype::U8 && has_bits_past(&file[range.clone()], channels) {
                        return Err(OpenError::Tensor {
                            name: spec.name,
                            problem: "has bits past its channels",
                        });
                    }
                    Ok(range)
                })
            })
            .collect::<Result<_, OpenError>>()?;
        header.check_all_used()?;
        let program = prepare(level, &graph, activations, &plan, &tensors, &file);
        Ok(Self {
            file,
            graph,
            activations,
            info,
            program,
            #[cfg(feature = "std")]
            spare: std::sync::Mutex::new(Vec::new()),
        })
    }

    /// Returns the description of the network.
    pub fn info(&self) -> &NetworkInfo {
        &self.info
    }

    /// Returns the graph of the network.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Returns the rule that the graph's [`Op::Activation`](stompp_graph::Op::Activation) nodes use.
    pub fn activations(&self) -> ActivationRule {
        self.activations
    }

    /// Returns the channels, height and width of an image.
    pub fn input_shape(&self) -> Shape {
        self.graph.input_shape()
    }

    /// Returns the number of logits.
    pub fn outputs(&self) -> usize {
        self.graph.output_shape().iter().product()
    }

    /// Returns the level that the network is prepared for.
    pub fn level(&self) -> SimdLevel {
        self.program.level
    }

    /// Returns the size of a [`Scratch`] in bytes. A run allocates nothing else. Images that run at the same time need one each.
    pub fn scratch_bytes(&self) -> usize {
        self.scratch_bytes_of(threads())
    }

    /// Returns the size of a [`Scratch`] for `threads` threads.
    pub(crate) fn scratch_bytes_of(&self, threads: usize) -> usize {
        self.program.sizes.total(threads)
    }

    /// Allocates the memory for [`Network::run`].
    ///
    /// # Errors
    /// Returns [`RunError::Memory`] if the memory cannot be allocated.
    pub fn scratch(&self) -> Result<Scratch, RunError> {
        Scratch::new(&self.program.sizes, threads())
    }

    /// Computes the logits of one image into `logits`, with `scratch` from [`Network::scratch`]. Allocates nothing.
    ///
    /// # Errors
    /// Returns [`RunError::Length`] if `image` or `logits` has the wrong length, and [`RunError::WrongScratch`] if `scratch` does not fit
    /// this network.
    pub fn run(&self, image: &[f32], scratch: &mut Scratch, logits: &mut [f32]) -> Result<(), RunError> {
        self.run_with(threads(), image, scratch, logits)
    }

    fn run_with(
        &self,
        threads: usize,
        image: &[f32],
        scratch: &mut Scratch,
        logits: &mut [f32],
    ) -> Result<(), RunError> {
        check("image", image.len(), self.input_shape().iter().product())?;
        check("output", logits.len(), self.outputs())?;
        if scratch.sizes != self.program.sizes {
            return Err(RunError::WrongScratch);
        }
        self.program.run(&self.file, image, scratch, threads, logits);
        Ok(())
    }
}

#[cfg(feature = "std")]
impl Network<'_> {
    /// Computes the logits of one image into `logits`. The first call allocates scratch memory; later calls reuse it.
    ///
    /// # Errors
    /// Returns [`RunError::Length`] if `image` or `logits` has the wrong length, and [`RunError::Memory`] if scratch memory cannot be
    /// allocated.
    pub fn logits_into(&self, image: &[f32], logits: &mut [f32]) -> Result<(), RunError> {
        self.logits_with(threads(), image, logits)
    }

    fn logits_with(&self, threads: usize, image: &[f32], logits: &mut [f32]) -> Result<(), RunError> {
        let mut scratch = self.acquire_scratch()?;
        let result = self.run_with(threads, image, &mut scratch, logits);
        self.release_scratch(scratch);
        result
    }

    /// Computes the logits of one image.
    ///
    /// # Errors
    /// Returns the errors of [`Network::logits_into`].
    pub fn logits(&self, image: &[f32]) -> Result<Vec<f32>, RunError> {
        let mut logits = alloc::vec![0.0; self.outputs()];
        self.logits_into(image, &mut logits)?;
        Ok(logits)
    }

    /// Returns the five most likely classes of one image.
    ///
    /// # Errors
    /// Returns the errors of [`Network::logits_into`].
    pub fn classify(&self, image: &[f32]) -> Result<TopClasses, RunError> {
        let mut scratch = self.acquire_scratch()?;
        let mut logits = core::mem::take(&mut scratch.logits);
        let result = self
            .run(image, &mut scratch, &mut logits)
            .map(|()| TopClasses::new(&logits));
        scratch.logits = logits;
        self.release_scratch(scratch);
        result
    }

    /// Computes the logits of several images into `logits`. `images` has the images one after the other, as `logits` has the results.
    /// The threads of the current rayon pool share the images. If there are fewer images than threads, several threads share an image.
    ///
    /// # Errors
    /// Returns the errors of [`Network::logits_into`].
    pub fn logits_of_batch(&self, images: &[f32], logits: &mut [f32]) -> Result<(), RunError> {
        use rayon::prelude::*;

        let (image, outputs) = (self.input_shape().iter().product::<usize>(), self.outputs());
        let count = logits.len() / outputs;
        check("output", logits.len(), count * outputs)?;
        check("images", images.len(), count * image)?;
        let threads = (threads() / count.max(1)).max(1);
        images
            .par_chunks(image)
            .zip(logits.par_chunks_mut(outputs))
            .try_for_each(|(image, logits)| self.logits_with(threads, image, logits))
    }

    fn acquire_scratch(&self) -> Result<Scratch, RunError> {
        // A panic of another thread cannot leave the list in an invalid state.
        let spare = self
            .spare
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .pop();
        spare.map_or_else(|| self.scratch(), Ok)
    }

    fn release_scratch(&self, scratch: Scratch) {
        self.spare
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .push(scratch);
    }
}

impl core::fmt::Debug for Network<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Network")
            .field("info", &self.info)
            .field("level", &self.level())
            .finish_non_exhaustive()
    }
}

/// A class and its probability.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassProbability {
    /// Index of the class.
    pub class: usize,
    /// Softmax probability of the class.
    pub probability: f32,
}

/// The five most likely classes, best first. Shorter if the network has fewer classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopClasses {
    predictions: [ClassProbability; 5],
    len: usize,
}

impl TopClasses {
    /// Selects the most likely classes from `logits`. Equal logits are ordered by class. A NaN is never better than another logit.
    pub fn new(logits: &[f32]) -> Self {
        let mut top = Self {
            predictions: Default::default(),
            len: logits.len().min(5),
        };
        fill_best(logits, &mut top.predictions[..top.len]);
        top
    }
}

/// Returns the `k` most likely classes of `logits`, in the order of [`TopClasses::new`]. Shorter if there are fewer logits.
///
/// ```
/// let top = stompp_infer::top_k(&[0.0, 3f32.ln(), 0.0], 2);
/// assert_eq!((top[0].class, top[1].class), (1, 0));
/// assert!((top[0].probability - 0.6).abs() < 1e-6);
/// ```
pub fn top_k(logits: &[f32], k: usize) -> Vec<ClassProbability> {
    let mut best = alloc::vec![ClassProbability::default(); k.min(logits.len())];
    fill_best(logits, &mut best);
    best
}

/// Fills `best` with the most likely classes. `best` must not be longer than `logits`.
fn fill_best(logits: &[f32], best: &mut [ClassProbability]) {
    let mut filled = 0;
    for (class, &logit) in logits.iter().enumerate() {
        let is_worse = |other: &ClassProbability| logit > logits[other.class];
        let at = best[..filled].iter().position(is_worse).unwrap_or(filled);
        if at < best.len() {
            filled = (filled + 1).min(best.len());
            best.copy_within(at..filled - 1, at + 1);
            best[at].class = class;
        }
    }
    let largest = best.first().map_or(0.0, |first| f64::from(logits[first.class]));
    let weight = |logit: f32| libm::exp(f64::from(logit) - largest);
    let sum: f64 = logits.iter().map(|logit| weight(*logit)).sum();
    for prediction in best {
        prediction.probability = (weight(logits[prediction.class]) / sum) as f32;
    }
}

impl Deref for TopClasses {
    type Target = [ClassProbability];

    fn deref(&self) -> &[ClassProbability] {
        &self.predictions[..self.len]
    }
}

/// Returns the level that networks are opened for.
fn chosen_level() -> Result<SimdLevel, OpenError> {
    #[cfg(feature = "std")]
    return SimdLevel::from_environment();
    #[cfg(not(feature = "std"))]
    Ok(SimdLevel::Portable)
}

fn threads() -> usize {
    #[cfg(feature = "std")]
    return rayon::current_num_threads().max(1);
    #[cfg(not(feature = "std"))]
    1
}

fn check(what: &'static str, given: usize, wanted: usize) -> Result<(), RunError> {
    if given == wanted {
        Ok(())
    } else {
        Err(RunError::Length { what, given, wanted })
    }
}

/// Whether a binary weight has a one in the unused bits after its last channel.
fn has_bits_past(bytes: &[u8], channels: usize) -> bool {
    let past = !(0xFF >> (7 - (channels + 7) % 8));
    let last_of_pixel = bytes
        .iter()
        .skip(channels.div_ceil(8).max(1) - 1)
        .step_by(channels.div_ceil(8).max(1));
    last_of_pixel.fold(0, |all, byte| all | byte) & past != 0
}
