//! A set of images that lies in the device's memory as a whole, and the batches that are cut out of it.

use crate::{
    FloatsMut, Gpu, GpuError,
    launch::{launch, size},
    memory::check_length,
};
use cudarc::driver::CudaSlice;

/// RGB images of one size in the device's memory, a byte a value, and what each byte stands for.
#[derive(Debug)]
pub struct DeviceImages {
    bytes: CudaSlice<u8>,
    table: CudaSlice<f32>,
    count: usize,
    height: usize,
    width: usize,
}

impl DeviceImages {
    /// Height and width of each.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }
}

impl Gpu {
    /// Copies images, (N, 3, height, width), to the device. `table`, (3, 256), has the value of each byte of each channel.
    ///
    /// # Errors
    /// The driver's: there may not be so much memory.
    ///
    /// # Panics
    /// If `bytes` are not whole images, or the table has another length.
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

    /// A batch, (N, 3, height, width): of each placement (index, rows down, columns right, mirrored) the image of that index,
    /// moved, black where it does not reach, then mirrored, normalized.
    ///
    /// # Errors
    /// The driver's.
    ///
    /// # Panics
    /// If there is no image of an index.
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
