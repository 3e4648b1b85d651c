//! A set of images in device memory, and batches of crops from it.

use crate::{
    FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};
use cudarc::driver::CudaSlice;

/// RGB images of one size in device memory, with one byte per value and a table of the values of each byte.
#[derive(Debug)]
pub struct DeviceImages {
    bytes: CudaSlice<u8>,
    table: CudaSlice<f32>,
    count: usize,
    height: usize,
    width: usize,
}

impl DeviceImages {
    /// Returns the height and width of each image.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
}

impl Gpu {
    /// Copies images, (N, 3, height, width), to the device. `table`, (3, 256), has the value of each byte of each channel.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation or a copy fails.
    ///
    /// # Panics
    /// Panics if `bytes` is not a whole number of images, or `table` has the wrong length.
    pub fn upload_images(
        &self,
        (height, width): (usize, usize),
        bytes: &[u8],
        table: &[f32],
    ) -> Result<DeviceImages, GpuError> {
        let image = 3 * height * width;
        assert_eq!(
            bytes.len() % image,
            0,
            "{} bytes are not images of {image}",
            bytes.len()
        );
        check_length("table", table.len(), 3 * 256);
        Ok(DeviceImages {
            bytes: self.device.htod_sync_copy(bytes)?,
            table: self.device.htod_sync_copy(table)?,
            count: bytes.len() / image,
            height,
            width,
        })
    }

    /// Computes a batch of crops, (N, 3, height, width). Each entry of `crops` is (index, rows down, columns right, mirrored): the image
    /// `index` is moved, uncovered pixels become black, then the image is mirrored and normalized.
    ///
    /// # Errors
    /// Returns [`GpuError::Driver`] if an allocation, a copy or the launch fails.
    ///
    /// # Panics
    /// Panics if an index is out of range or `out` has the wrong length.
    pub fn crop_images(
        &self,
        images: &DeviceImages,
        crops: &[(usize, i32, i32, bool)],
        out: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        let (height, width) = images.size();
        check_length("out", out.len(), crops.len() * 3 * height * width);
        let mut numbers = Vec::with_capacity(4 * crops.len());
        for &(index, down, right, mirrored) in crops {
            assert!(index < images.count, "image {index} of {}", images.count);
            numbers.extend([size(index) as i32, down, right, i32::from(mirrored)]);
        }
        let numbers = self.device.htod_sync_copy(&numbers)?;
        let batch = size(crops.len());
        let grid = self.grid(size(out.len()));
        let (height, width) = (size(height), size(width));
        launch!(
            self,
            "place_images",
            grid,
            batch,
            height,
            width,
            images.bytes,
            images.table,
            numbers,
            out
        )
    }
}
