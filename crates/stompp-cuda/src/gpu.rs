//! A GPU that is ready: its kernels compiled, its libraries loaded.

use crate::{
    GpuError, OpenGpuError, by_cudnn::LayoutChoices, choice::AlgorithmChoices, cudnn::Cudnn, kernels::Kernels,
    profile::Profile, xnor::SignConvAlgorithms,
};
use cudarc::{
    cublas::{CudaBlas, sys as cublas},
    driver::{CudaDevice, sys as driver},
};
use std::{ffi::CStr, fmt, sync::Arc};

/// How a GPU computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSettings {
    /// Whether convolutions and matrix products may round their factors to TF32 (10 bits of mantissa; sums stay f32), as
    /// PyTorch's convolutions do. Without it, forward convolutions use no algorithm that transforms (FFT, Winograd). Convolutions of
    /// signs are exact either way.
    pub tf32: bool,
    /// Whether only algorithms are used that give the same bits each time.
    pub deterministic: bool,
    /// Whether convolutions are cuDNN's where it can be loaded.
    pub cudnn: bool,
}

impl Default for GpuSettings {
    fn default() -> Self {
        Self {
            tf32: true,
            deterministic: true,
            cudnn: true,
        }
    }
}

/// What a GPU is and what serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// The GPU's name.
    pub name: String,
    /// Its compute capability.
    pub compute_capability: (i32, i32),
    /// The newest CUDA that the driver supports, such as (13, 0).
    pub driver: (i32, i32),
    /// cuDNN's version, such as (9, 1, 0), if it was found.
    pub cudnn: Option<(usize, usize, usize)>,
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ((major, minor), driver) = (self.compute_capability, self.driver);
        write!(f, "{}, compute capability {major}.{minor}", self.name)?;
        write!(f, ", CUDA driver {}.{}, ", driver.0, driver.1)?;
        match self.cudnn {
            Some((major, minor, patch)) => write!(f, "cuDNN {major}.{minor}.{patch}"),
            None => f.write_str("no cuDNN"),
        }
    }
}

/// A GPU, ready.
#[derive(Debug)]
pub struct Gpu {
    // In the order in which they are dropped: the device last.
    pub(crate) profile: Profile,
    pub(crate) choices: AlgorithmChoices,
    pub(crate) layouts: LayoutChoices,
    pub(crate) sign_ways: SignConvAlgorithms,
    pub(crate) cudnn: Option<Cudnn>,
    pub(crate) blas: CudaBlas,
    pub(crate) kernels: Kernels,
    pub(crate) device: Arc<CudaDevice>,
    pub(crate) settings: GpuSettings,
    multiprocessors: u32,
    versions: Versions,
}

impl Gpu {
    /// Makes `device` ready: compiles the kernels, loads the libraries, and lets freed memory stay with the process.
    ///
    /// # Errors
    /// If a library is missing what is needed; a missing cuDNN is no error.
    pub fn open(device: Arc<CudaDevice>, settings: GpuSettings) -> Result<Self, OpenGpuError> {
        use driver::CUdevice_attribute_enum as Attribute;
        device.bind_to_thread()?;
        let attribute = |which| device.attribute(which).map_err(GpuError::from);
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let multiprocessors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let kernels = Kernels::compile((major, minor))?;
        keep_memory(&device)?;
        let blas = CudaBlas::new(Arc::clone(&device))?;
        let mode = match settings.tf32 {
            true => cublas::cublasMath_t::CUBLAS_TF32_TENSOR_OP_MATH,
            false => cublas::cublasMath_t::CUBLAS_DEFAULT_MATH,
        };
        // SAFETY: the handle was made a line above.
        unsafe { cublas::cublasSetMathMode(*blas.handle(), mode).result() }?;
        let cudnn = if settings.cudnn { Cudnn::load(&device)? } else { None };
        let versions = Versions {
            name: name(&device)?,
            compute_capability: (major, minor),
            driver: driver_version()?,
            cudnn: cudnn.as_ref().map(Cudnn::version),
        };
        Ok(Self {
            profile: Profile::default(),
            choices: AlgorithmChoices::default(),
            layouts: LayoutChoices::default(),
            sign_ways: SignConvAlgorithms::default(),
            device,
            kernels,
            blas,
            cudnn,
            settings,
            multiprocessors: multiprocessors.max(1) as u32,
            versions,
        })
    }

    /// How it computes.
    pub fn settings(&self) -> GpuSettings {
        self.settings
    }

    /// What it is.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// The device.
    pub fn device(&self) -> &Arc<CudaDevice> {
        &self.device
    }

    /// Bytes of the GPU's memory that this process uses.
    ///
    /// # Errors
    /// The driver's.
    pub fn memory_in_use(&self) -> Result<u64, GpuError> {
        let mut bytes = 0u64;
        let attribute = driver::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
        // SAFETY: the attribute's value is a u64.
        unsafe { driver::cuMemPoolGetAttribute(pool(&self.device)?, attribute, (&raw mut bytes).cast()) }.result()?;
        Ok(bytes)
    }

    /// The most blocks of a kernel that goes through its work by itself: enough to keep every multiprocessor busy.
    pub(crate) fn max_blocks(&self) -> u32 {
        self.multiprocessors * 16
    }
}

/// The driver gives freed memory back to the system at each synchronization, unless told otherwise, and a step has several.
fn keep_memory(device: &CudaDevice) -> Result<(), GpuError> {
    let mut threshold = u64::MAX;
    let attribute = driver::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute's value is a u64.
    unsafe { driver::cuMemPoolSetAttribute(pool(device)?, attribute, (&raw mut threshold).cast()) }.result()?;
    Ok(())
}

/// Where all memory comes from.
fn pool(device: &CudaDevice) -> Result<driver::CUmemoryPool, GpuError> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: it is there to be written.
    unsafe { driver::cuDeviceGetDefaultMemPool(&mut pool, *device.cu_device()) }.result()?;
    Ok(pool)
}

fn name(device: &CudaDevice) -> Result<String, GpuError> {
    let mut bytes = [0; 256];
    // SAFETY: the length is the buffer's, and the driver ends the name with a zero.
    unsafe { driver::cuDeviceGetName(bytes.as_mut_ptr(), bytes.len() as i32, *device.cu_device()) }.result()?;
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(bytes.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}

fn driver_version() -> Result<(i32, i32), GpuError> {
    let mut version = 0;
    // SAFETY: it is there to be written.
    unsafe { driver::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version / 1000, version % 1000 / 10))
}
