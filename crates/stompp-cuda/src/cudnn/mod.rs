//! Convolutions by cuDNN, if the library is there.

mod api;

use crate::{GpuError, GpuSettings};
use api::{AlgorithmPerf, Api, Opaque, check};
use cudarc::driver::{CudaDevice, DevicePtr};
use std::{
    collections::HashMap,
    ops::RangeInclusive,
    ptr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use stompp_kernels::ConvShape;

/// Numbers of cuDNN's headers.
const FLOAT: i32 = 0;
const CROSS_CORRELATION: i32 = 1;
const MAY_ROUND: i32 = 0; // CUDNN_DEFAULT_MATH
const F32_ONLY: i32 = 3; // CUDNN_FMA_MATH
const DETERMINISTIC: i32 = 1;

/// CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION: factors become half precision, whose range is too small.
const CONVERTS: i32 = 2;
/// The algorithms of a forward pass that only multiply and add: IMPLICIT_GEMM, IMPLICIT_PRECOMP_GEMM, GEMM and DIRECT. FFT and Winograd
/// transform first, so that sums of integers are not exact.
const PLAIN: RangeInclusive<i32> = 0..=3;

/// The most memory that one convolution may take for itself.
const MOST_WORKSPACE: usize = 1 << 30;

/// Which of a convolution's three products.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConvPass {
    Forward,
    InputGradient,
    WeightGradient,
}

/// What is convolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operands {
    /// Numbers, as precisely as [`GpuSettings`] say.
    Values,
    /// Signs, exactly. Tensor cores may do that: 1 and -1 are not rounded by TF32, and sums are f32. Forward only.
    Signs,
}

/// The order of a tensor's axes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorLayout {
    /// NCHW, and (O, I, K, K) of a weight.
    ChannelsFirst = 0, // CUDNN_TENSOR_NCHW
    /// NHWC, and (O, K, K, I) of a weight.
    ChannelsLast = 1, // CUDNN_TENSOR_NHWC
}

/// What is computed, and how.
pub(crate) type ConvVariant = (ConvPass, Operands, TensorLayout);

/// cuDNN, and what it has found best for each shape so far.
#[derive(Debug)]
pub(crate) struct Cudnn {
    api: Api,
    handle: Opaque,
    plans: Mutex<Plans>,
}

// SAFETY: cuDNN allows one thread at a time to use a handle; every use of it is under the lock of `plans`.
unsafe impl Send for Cudnn {}
// SAFETY: as above.
unsafe impl Sync for Cudnn {}

/// `None` where cuDNN has no algorithm.
type Plans = HashMap<(ConvShape, ConvVariant), Option<Arc<Plan>>>;

/// How one product of one shape is computed.
#[derive(Debug)]
struct Plan {
    x: Opaque,
    w: Opaque,
    y: Opaque,
    convolution: Opaque,
    algorithm: i32,
    workspace: usize,
}

impl Cudnn {
    /// The library, set up for `device`; `None` where there is none.
    ///
    /// # Errors
    /// If the library is there and cannot be set up.
    pub(crate) fn load(device: &CudaDevice) -> Result<Option<Self>, GpuError> {
        device.bind_to_thread()?;
        let Some(api) = Api::load() else { return Ok(None) };
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is there to be written; it uses the null stream, as everything here.
        check("cudnnCreate", unsafe { (api.create)(&mut handle) })?;
        Ok(Some(Self {
            api,
            handle,
            plans: Mutex::default(),
        }))
    }

    /// Its version.
    pub(crate) fn version(&self) -> (usize, usize, usize) {
        self.api.version()
    }

    /// Computes a pass of a convolution that [`Cudnn::has_algorithm`]; `beta` 1 adds to the output, 0 overwrites it.
    ///
    /// # Panics
    /// If cuDNN has no algorithm for it.
    ///
    /// # Safety
    /// `x`, `w` and `y` are the addresses of as many floats as `s` says, in the memory of `device`, and the one that is written
    /// is nobody else's meanwhile.
    pub(crate) unsafe fn convolve(
        &self,
        device: &Arc<CudaDevice>,
        settings: GpuSettings,
        s: &ConvShape,
        way: ConvVariant,
        beta: f32,
        [x, w, y]: [u64; 3],
    ) -> Result<(), GpuError> {
        device.bind_to_thread()?;
        let mut plans = self.plans();
        let plan = self.known_plan(&mut plans, settings, s, way)?;
        let plan = plan.expect("cuDNN has an algorithm");
        // SAFETY: cuDNN writes it before it reads it.
        let workspace = unsafe { device.alloc::<u8>(plan.workspace.max(1)) }?;
        let workspace = *workspace.device_ptr();
        let (alpha, handle) = (1.0f32, self.handle);
        let Plan {
            x: xd,
            w: wd,
            y: yd,
            convolution,
            algorithm,
            workspace: bytes,
        } = *plan;
        // SAFETY: descriptors say the sizes that the caller vouches for; scalars live until the call returns; the workspace is
        // freed in the order of the stream, behind the convolution.
        let (name, status) = unsafe {
            match way.0 {
                ConvPass::Forward => (
                    "cudnnConvolutionForward",
                    (self.api.forward)(
                        handle,
                        &alpha,
                        xd,
                        x,
                        wd,
                        w,
                        convolution,
                        algorithm,
                        workspace,
                        bytes,
                        &beta,
                        yd,
                        y,
                    ),
                ),
                ConvPass::InputGradient => (
                    "cudnnConvolutionBackwardData",
                    (self.api.input_gradient)(
                        handle,
                        &alpha,
                        wd,
                        w,
                        yd,
                        y,
                        convolution,
                        algorithm,
                        workspace,
                        bytes,
                        &beta,
                        xd,
                        x,
                    ),
                ),
                ConvPass::WeightGradient => (
                    "cudnnConvolutionBackwardFilter",
                    (self.api.weight_gradient)(
                        handle,
                        &alpha,
                        xd,
                        x,
                        yd,
                        y,
                        convolution,
                        algorithm,
                        workspace,
                        bytes,
                        &beta,
                        wd,
                        w,
                    ),
                ),
            }
        };
        check(name, status)
    }

    /// Whether it has an algorithm.
    pub(crate) fn has_algorithm(
        &self,
        settings: GpuSettings,
        s: &ConvShape,
        way: ConvVariant,
    ) -> Result<bool, GpuError> {
        let plan = self.known_plan(&mut self.plans(), settings, s, way)?;
        Ok(plan.is_some())
    }

    /// The convolutions of numbers that were done so far, in an order that is the same each time.
    pub(crate) fn passes(&self) -> Vec<(ConvShape, ConvPass)> {
        let plans = self.plans();
        let found = plans.iter().filter_map(|((s, (pass, math, layout)), plan)| {
            let counts = plan.is_some() && *math == Operands::Values && *layout == TensorLayout::ChannelsFirst;
            counts.then_some((*s, *pass))
        });
        let mut found: Vec<_> = found.collect();
        found.sort_by_key(|(s, pass)| (std::cmp::Reverse(s.in_height), s.in_channels, format!("{s:?} {pass:?}")));
        found
    }

    fn plans(&self) -> MutexGuard<'_, Plans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plan of an earlier call, or a new one.
    fn known_plan(
        &self,
        plans: &mut Plans,
        settings: GpuSettings,
        s: &ConvShape,
        way: ConvVariant,
    ) -> Result<Option<Arc<Plan>>, GpuError> {
        if let Some(plan) = plans.get(&(*s, way)) {
            return Ok(plan.clone());
        }
        let plan = self.plan(settings, s, way)?.map(Arc::new);
        plans.insert((*s, way), plan.clone());
        Ok(plan)
    }

    /// The best way that cuDNN knows under `settings`, or none.
    fn plan(&self, settings: GpuSettings, s: &ConvShape, way: ConvVariant) -> Result<Option<Plan>, GpuError> {
        let (pass, of, layout) = way;
        let mut plan = self.describe(s, layout)?;
        let mut proposals = [AlgorithmPerf::default(); 8];
        let mut count = 0;
        let signs = of == Operands::Signs;
        let tf32 = settings.tf32 || signs;
        // Strict sums are exact where their terms are 1 and -1, as those of signs.
        let plain = signs || (!settings.tf32 && pass == ConvPass::Forward);
        let math = if tf32 { MAY_ROUND } else { F32_ONLY };
        let (api, handle, capacity) = (&self.api, self.handle, proposals.len() as i32);
        let Plan {
            x, w, y, convolution, ..
        } = plan;
        // SAFETY: the descriptors were made above, and there is room for as many proposals as said.
        let status = unsafe {
            check("cudnnSetConvolutionMathType", (api.set_math)(convolution, math))?;
            let (count, first) = (&raw mut count, proposals.as_mut_ptr());
            match pass {
                ConvPass::Forward => (api.propose_forward)(handle, x, w, convolution, y, capacity, count, first),
                ConvPass::InputGradient => (api.propose_input)(handle, w, y, convolution, x, capacity, count, first),
                ConvPass::WeightGradient => (api.propose_weight)(handle, x, y, convolution, w, capacity, count, first),
            }
        };
        let proposed = if status == 0 {
            &proposals[..count.clamp(0, capacity) as usize]
        } else {
            &[]
        };
        // The fastest comes first.
        let best = proposed.iter().find(|proposal| {
            proposal.status == 0
                && proposal.workspace <= MOST_WORKSPACE
                && (!settings.deterministic || proposal.determinism == DETERMINISTIC)
                && proposal.math != CONVERTS
                && (tf32 || proposal.math == F32_ONLY || proposal.math == MAY_ROUND)
                && (!plain || PLAIN.contains(&proposal.algorithm))
        });
        let Some(best) = best else {
            self.forget(&plan);
            return Ok(None);
        };
        // Strict arithmetic stays strict, whatever was proposed.
        let math = if tf32 { best.math } else { F32_ONLY };
        // SAFETY: as above.
        check("cudnnSetConvolutionMathType", unsafe {
            (api.set_math)(convolution, math)
        })?;
        (plan.algorithm, plan.workspace) = (best.algorithm, best.workspace);
        Ok(Some(plan))
    }

    /// Descriptors of a shape; no algorithm yet.
    fn describe(&self, s: &ConvShape, layout: TensorLayout) -> Result<Plan, GpuError> {
        let (api, format) = (&self.api, layout as i32);
        let int = |n: usize| i32::try_from(n).expect("a size of a convolution fits 31 bits");
        let (stride, padding, kernel) = (int(s.stride), int(s.padding), int(s.kernel));
        let (batch, inputs, outputs) = (int(s.batch), int(s.in_channels), int(s.out_channels));
        let (in_height, in_width) = (int(s.in_height), int(s.in_width));
        let (out_height, out_width) = (int(s.out_height()), int(s.out_width()));
        let mut plan = Plan {
            x: ptr::null_mut(),
            w: ptr::null_mut(),
            y: ptr::null_mut(),
            convolution: ptr::null_mut(),
            algorithm: 0,
            workspace: 0,
        };
        // SAFETY: each descriptor is made before it is set.
        unsafe {
            check("cudnnCreateTensorDescriptor", (api.create_tensor)(&mut plan.x))?;
            check("cudnnCreateTensorDescriptor", (api.create_tensor)(&mut plan.y))?;
            check("cudnnCreateFilterDescriptor", (api.create_filter)(&mut plan.w))?;
            let made = (api.create_convolution)(&mut plan.convolution);
            check("cudnnCreateConvolutionDescriptor", made)?;
            let set = (api.set_tensor)(plan.x, format, FLOAT, batch, inputs, in_height, in_width);
            check("cudnnSetTensor4dDescriptor", set)?;
            let set = (api.set_tensor)(plan.y, format, FLOAT, batch, outputs, out_height, out_width);
            check("cudnnSetTensor4dDescriptor", set)?;
            let set = (api.set_filter)(plan.w, FLOAT, format, outputs, inputs, kernel, kernel);
            check("cudnnSetFilter4dDescriptor", set)?;
            let set = (api.set_convolution)(
                plan.convolution,
                padding,
                padding,
                stride,
                stride,
                1,
                1,
                CROSS_CORRELATION,
                FLOAT,
            );
            check("cudnnSetConvolution2dDescriptor", set)?;
        }
        Ok(plan)
    }

    fn forget(&self, plan: &Plan) {
        // SAFETY: the descriptors were made by `describe`, and nobody has them any more.
        unsafe {
            (self.api.destroy_tensor)(plan.x);
            (self.api.destroy_tensor)(plan.y);
            (self.api.destroy_filter)(plan.w);
            (self.api.destroy_convolution)(plan.convolution);
        }
    }
}

impl Drop for Cudnn {
    fn drop(&mut self) {
        let plans = std::mem::take(self.plans.get_mut().unwrap_or_else(PoisonError::into_inner));
        plans.values().flatten().for_each(|plan| self.forget(plan));
        // SAFETY: made by `load`, and this is its end.
        unsafe { (self.api.destroy)(self.handle) };
    }
}
