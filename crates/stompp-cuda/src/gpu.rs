//! An open GPU with compiled kernels and loaded libraries.

use crate::{
    GpuError, OpenGpuError, by_cudnn::LayoutChoices, choice::AlgorithmChoices, cudnn::Cudnn, kernels::Kernels,
    profile::Profile, xnor::SignConvAlgorithms,
};
use cudarc::{
    cublas::{CudaBlas, sys as cublas},
    driver::{CudaDevice, sys as driver},
};
use std::{ffi::CStr, fmt, sync::Arc};

/// Numeric and library settings of a GPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuSettings {
    /// Whether convolutions and matrix products may round their factors to TF32 (10 bits of mantissa; sums stay f32), as PyTorch's
    /// convolutions do. If false, forward convolutions do not use transforms (FFT, Winograd). Convolutions of signs are exact in
    /// both cases.
    pub tf32: bool,
    /// Whether to use only algorithms with bitwise reproducible results.
    pub deterministic: bool,
    /// Whether to use cuDNN for convolutions if it can be loaded.
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

/// The name of a GPU and the versions of its software.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    /// Name of the GPU.
    pub name: String,
    /// Compute capability of the GPU.
    pub compute_capability: (i32, i32),
    /// Newest CUDA version that the driver supports, for example (13, 0).
    pub driver: (i32, i32),
    /// Version of cuDNN, for example (9, 1, 0), if it is loaded.
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

/// An open GPU. Its methods launch kernels.
#[derive(Debug)]
pub struct Gpu {
    // The fields are dropped in this order: the libraries and kernels before the device.
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
    /// Opens `device`: compiles the kernels, loads the libraries and configures the memory pool to keep freed memory.
    ///
    /// # Errors
    /// Returns [`OpenGpuError::Compile`] if NVRTC cannot compile the kernels, and [`OpenGpuError::Gpu`] if a call of the driver, cuBLAS
    /// or cuDNN fails. A missing cuDNN is not an error.
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
        // SAFETY: the handle was created above.
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

    /// Returns the settings of the GPU.
    pub fn settings(&self) -> GpuSettings {
        self.settings
    }

    /// Returns the name of the GPU and the versions of its software.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// Returns the device.
    pub fn device(&self) -> &Arc<CudaDevice> {
        &self.device
    }

    /// Returns the number of bytes of GPU memory that this process uses.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if the driver fails.
    pub fn memory_in_use(&self) -> Result<u64, GpuError> {
        let mut bytes = 0u64;
        let attribute = driver::CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT;
        // SAFETY: the attribute's value is a u64.
        unsafe { driver::cuMemPoolGetAttribute(pool(&self.device)?, attribute, (&raw mut bytes).cast()) }.result()?;
        Ok(bytes)
    }

    /// Largest number of blocks of a kernel with a grid-stride loop: enough to keep every multiprocessor busy.
    pub(crate) fn max_blocks(&self) -> u32 {
        self.multiprocessors * 16
    }
}

/// The number of the GPU for process number `process` of this machine: each process has one of its own, if there are enough of them.
///
/// # Errors
/// Returns [`OpenGpuError::NoDevice`] if there is no driver, or no GPU is visible to this process.
pub fn gpu_of_process(process: usize) -> Result<usize, OpenGpuError> {
    use cudarc::driver::{DriverError, result};
    let count = || -> Result<i32, DriverError> {
        result::init()?;
        result::device::get_count()
    };
    match count() {
        Ok(count @ 1..) => Ok(process % count as usize),
        Ok(count) => Err(OpenGpuError::NoDevice(format!("{count} GPUs"))),
        // By its number: without a driver there are no messages for its errors.
        Err(error) => Err(OpenGpuError::NoDevice(format!("{:?}", error.0))),
    }
}

/// Configures the memory pool to keep freed memory. By default, the driver returns it to the system at each synchronization.
fn keep_memory(device: &CudaDevice) -> Result<(), GpuError> {
    let mut threshold = u64::MAX;
    let attribute = driver::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the attribute's value is a u64.
    unsafe { driver::cuMemPoolSetAttribute(pool(device)?, attribute, (&raw mut threshold).cast()) }.result()?;
    Ok(())
}

/// Returns the memory pool of the device.
fn pool(device: &CudaDevice) -> Result<driver::CUmemoryPool, GpuError> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the driver only writes to `pool`.
    unsafe { driver::cuDeviceGetDefaultMemPool(&mut pool, *device.cu_device()) }.result()?;
    Ok(pool)
}

fn name(device: &CudaDevice) -> Result<String, GpuError> {
    let mut bytes = [0; 256];
    // SAFETY: the length is the length of the buffer, and the driver ends the name with a zero.
    unsafe { driver::cuDeviceGetName(bytes.as_mut_ptr(), bytes.len() as i32, *device.cu_device()) }.result()?;
    // SAFETY: as above.
    let name = unsafe { CStr::from_ptr(bytes.as_ptr()) };
    Ok(name.to_string_lossy().into_owned())
}

fn driver_version() -> Result<(i32, i32), GpuError> {
    let mut version = 0;
    // SAFETY: the driver only writes to `version`.
    unsafe { driver::cuDriverGetVersion(&mut version) }.result()?;
    Ok((version / 1000, version % 1000 / 10))
}
