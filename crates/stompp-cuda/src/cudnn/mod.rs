//! Convolutions with cuDNN, which is loaded at run time if it is installed.

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

/// Constants from the headers of cuDNN.
const FLOAT: i32 = 0;
const CROSS_CORRELATION: i32 = 1;
const MAY_ROUND: i32 = 0; // CUDNN_DEFAULT_MATH
const F32_ONLY: i32 = 3; // CUDNN_FMA_MATH
const DETERMINISTIC: i32 = 1;

/// CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION: converts factors to half precision, which has too small a range.
const CONVERTS: i32 = 2;
/// The forward algorithms without transforms: IMPLICIT_GEMM, IMPLICIT_PRECOMP_GEMM, GEMM and DIRECT. With the transforms of FFT and
/// Winograd, sums of integers are not exact.
const PLAIN: RangeInclusive<i32> = 0..=3;

/// Largest workspace of one convolution in bytes.
const MOST_WORKSPACE: usize = 1 << 30;

/// One of the three passes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConvPass {
    Forward,
    InputGradient,
    WeightGradient,
}

/// The values that are convolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Operands {
    /// Any numbers, with the precision in [`GpuSettings`].
    Values,
    /// Signs, with exact results. TF32 on tensor cores is allowed: it does not round 1 and -1, and the sums are f32. Forward only.
    Signs,
}

/// The order of a tensor's axes in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TensorLayout {
    /// NCHW. A weight is (O, I, K, K).
    ChannelsFirst = 0, // CUDNN_TENSOR_NCHW
    /// NHWC. A weight is (O, K, K, I).
    ChannelsLast = 1, // CUDNN_TENSOR_NHWC
}

/// A pass, its operands and its layout.
pub(crate) type ConvVariant = (ConvPass, Operands, TensorLayout);

/// cuDNN, with the plans of all shapes so far.
#[derive(Debug)]
pub(crate) struct Cudnn {
    api: Api,
    handle: Opaque,
    plans: Mutex<Plans>,
}

// SAFETY: cuDNN allows one thread at a time to use a handle. Every use of the handle holds the lock of `plans`.
unsafe impl Send for Cudnn {}
// SAFETY: as above.
unsafe impl Sync for Cudnn {}

/// The plan of each shape and variant. `None` means that cuDNN has no algorithm.
type Plans = HashMap<(ConvShape, ConvVariant), Option<Arc<Plan>>>;

/// The descriptors and the algorithm of one variant of one shape.
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
    /// Loads the library and creates a handle for `device`. Returns `None` if the library is not installed.
    ///
    /// # Errors
    /// Returns an error if the library was found but the handle cannot be created.
    pub(crate) fn load(device: &CudaDevice) -> Result<Option<Self>, GpuError> {
        device.bind_to_thread()?;
        let Some(api) = Api::load() else { return Ok(None) };
        let mut handle = ptr::null_mut();
        // SAFETY: cuDNN only writes to `handle`. The handle uses the null stream, as all work of this crate does.
        check("cudnnCreate", unsafe { (api.create)(&mut handle) })?;
        Ok(Some(Self {
            api,
            handle,
            plans: Mutex::default(),
        }))
    }

    /// Returns the version of cuDNN.
    pub(crate) fn version(&self) -> (usize, usize, usize) {
        self.api.version()
    }

    /// Computes a pass of a convolution. If `beta` is 1, adds to the output; if it is 0, overwrites it.
    ///
    /// # Panics
    /// Panics if cuDNN has no algorithm for it, see [`Cudnn::has_algorithm`].
    ///
    /// # Safety
    /// `x`, `w` and `y` must be addresses in the memory of `device`, with the lengths of `s`. No other code may use the tensor that is
    /// written.
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
        // SAFETY: cuDNN writes the workspace before it reads it.
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
        // SAFETY: the descriptors have the sizes that the caller guarantees. The scalars live until the call returns. The workspace is
        // freed in stream order, after the convolution.
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

    /// Whether cuDNN has an algorithm for a variant of a shape.
    pub(crate) fn has_algorithm(
        &self,
        settings: GpuSettings,
        s: &ConvShape,
        way: ConvVariant,
    ) -> Result<bool, GpuError> {
        let plan = self.known_plan(&mut self.plans(), settings, s, way)?;
        Ok(plan.is_some())
    }

    /// Returns the shapes and passes of all convolutions of numbers so far, in a fixed order.
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

    /// Returns the plan of an earlier call, or makes a new one.
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

    /// Makes a plan with the fastest algorithm that `settings` allow. Returns `None` if there is none.
    fn plan(&self, settings: GpuSettings, s: &ConvShape, way: ConvVariant) -> Result<Option<Plan>, GpuError> {
        let (pass, of, layout) = way;
        let mut plan = self.describe(s, layout)?;
        let mut proposals = [AlgorithmPerf::default(); 8];
        let mut count = 0;
        let signs = of == Operands::Signs;
        let tf32 = settings.tf32 || signs;
        // Algorithms without transforms are needed for signs, whose sums must be exact, and for strict f32 in the forward pass.
        let plain = signs || (!settings.tf32 && pass == ConvPass::Forward);
        let math = if tf32 { MAY_ROUND } else { F32_ONLY };
        let (api, handle, capacity) = (&self.api, self.handle, proposals.len() as i32);
        let Plan {
            x, w, y, convolution, ..
        } = plan;
        // SAFETY: the descriptors were created above, and `proposals` has `capacity` entries.
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
        // cuDNN lists the fastest algorithm first.
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
        // Without TF32, the math type is strict f32 for every proposal.
        let math = if tf32 { best.math } else { F32_ONLY };
        // SAFETY: as above.
        check("cudnnSetConvolutionMathType", unsafe {
            (api.set_math)(convolution, math)
        })?;
        (plan.algorithm, plan.workspace) = (best.algorithm, best.workspace);
        Ok(Some(plan))
    }

    /// Creates the descriptors of a shape. The plan has no algorithm yet.
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
        // SAFETY: each descriptor is created before it is set.
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
        // SAFETY: `describe` created the descriptors, and they are no longer used.
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
        // SAFETY: `load` created the handle, and it is not used after this.
        unsafe { (self.api.destroy)(self.handle) };
    }
}
