//! Opens a GPU or the fake driver, and copies numbers to and from it.

use cudarc::driver::{CudaDevice, CudaSlice};
use rand::RngExt;
use stompp_cuda::{Gpu, GpuSettings};
use stompp_kernels::ChannelShape;
use stompp_rng::{Purpose, stream};

/// Settings without TF32, so that results can be compared closely with the CPU.
pub(crate) const STRICT: GpuSettings = GpuSettings {
    tf32: false,
    deterministic: true,
    cudnn: false,
};

/// The first GPU.
pub(crate) fn gpu(settings: GpuSettings) -> Gpu {
    Gpu::open(CudaDevice::new(0).expect("a device"), settings).expect("a GPU that is ready")
}

/// Returns `len` numbers in (-2, 2). About every eighth is 0, -0, 1 or -1.
pub(crate) fn numbers(len: usize, salt: u64) -> Vec<f32> {
    let mut rng = stream(0, Purpose::new(*b"cudatest"), len as u64, salt);
    let special = [0.0, -0.0, 1.0, -1.0];
    (0..len)
        .map(|_| match rng.random_range(0..32) {
            which @ 0..4 => special[which],
            _ => rng.random_range(-2.0..2.0),
        })
        .collect()
}

/// Copies values to the device.
pub(crate) fn up(gpu: &Gpu, values: &[f32]) -> CudaSlice<f32> {
    gpu.device().htod_sync_copy(values).expect("memory")
}

/// Returns `len` unwritten floats on the device. In the fake driver they are NaN.
pub(crate) fn blank(gpu: &Gpu, len: usize) -> CudaSlice<f32> {
    // SAFETY: the kernel under test writes them.
    unsafe { gpu.device().alloc(len) }.expect("memory")
}

/// Copies values to the host.
pub(crate) fn down(gpu: &Gpu, values: &CudaSlice<f32>) -> Vec<f32> {
    gpu.device().dtoh_sync_copy(values).expect("the values")
}

/// Asserts that `found` equals `expected` up to `tolerance` times the largest entry.
#[track_caller]
pub(crate) fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: length");
    let scale = expected.iter().fold(1e-3f32, |most, value| most.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(
            (found - expected).abs() <= tolerance * scale,
            "{what}: entry {place} is {found}, expected {expected}"
        );
    }
}

/// Returns the bits of each float. All NaN have the same bits.
pub(crate) fn bits(values: &[f32]) -> Vec<u32> {
    let bits = |value: &f32| {
        if value.is_nan() {
            f32::NAN.to_bits()
        } else {
            value.to_bits()
        }
    };
    values.iter().map(bits).collect()
}

/// Sizes of tensors with channels: a usual size, the smallest, many channels, many images.
pub(crate) const CHANNELS: [ChannelShape; 4] = [
    ChannelShape {
        batch: 2,
        channels: 3,
        inner: 16,
    },
    ChannelShape {
        batch: 1,
        channels: 1,
        inner: 1,
    },
    ChannelShape {
        batch: 5,
        channels: 70,
        inner: 9,
    },
    ChannelShape {
        batch: 64,
        channels: 2,
        inner: 300,
    },
];
