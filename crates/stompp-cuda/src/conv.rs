//! Convolution without bias and its gradients, with cuDNN or as matrix products of patches.

use crate::{
    Floats, FloatsMut, Gpu, GpuError,
    cudnn::ConvPass,
    launch::{Argument, launch, size},
    linear::Matrix,
    memory::check_length,
    sums::nonempty,
};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::ops::Range;
use stompp_kernels::{ConvShape, Slices};

/// Largest number of floats in a matrix of patches: 256 MiB.
const MOST_PATCHES: usize = 1 << 26;

/// The sizes of a convolution. `Conv` in the kernels' sources.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Conv {
    batch: u32,
    in_channels: u32,
    in_height: u32,
    in_width: u32,
    out_channels: u32,
    kernel: u32,
    stride: u32,
    padding: u32,
    out_height: u32,
    out_width: u32,
}

// SAFETY: laid out as the kernels' struct.
unsafe impl Argument for Conv {
    const TYPE: &'static str = "Conv";
}

impl Conv {
    pub(crate) fn new(s: &ConvShape) -> Self {
        size(s.input_len());
        size(s.output_len());
        Self {
            batch: size(s.batch),
            in_channels: size(s.in_channels),
            in_height: size(s.in_height),
            in_width: size(s.in_width),
            out_channels: size(s.out_channels),
            kernel: size(s.kernel),
            stride: size(s.stride),
            padding: size(s.padding),
            out_height: size(s.out_height()),
            out_width: size(s.out_width()),
        }
    }
}

/// A group of images whose patches share one matrix.
struct Group {
    first: usize,
    images: usize,
    /// Output pixels of an image.
    pixels: usize,
    /// Entries of a patch.
    entries: usize,
}

impl Group {
    /// Number of columns of the matrix of patches.
    fn columns(&self) -> usize {
        self.images * self.pixels
    }

    /// Returns the matrix of patches, image by image.
    fn by_image(&self, cols: &CudaSlice<f32>) -> Matrix {
        Matrix::new(*cols.device_ptr(), self.columns()).step(self.pixels)
    }

    /// Returns the group's part of the output or its gradient, (O, pixels) for each image.
    fn outputs(&self, s: &ConvShape, address: u64) -> Matrix {
        let image = s.out_channels * self.pixels;
        Matrix::new(address + 4 * (self.first * image) as u64, self.pixels).step(image)
    }
}

impl Gpu {
    /// Computes the convolution of `x` (N, I, H, W) with `w` (O, I, K, K), one slice of the batch after the other: an algorithm may be
    /// chosen by the number of images. `y` is overwritten.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if an allocation, a launch, or a call of cuBLAS or cuDNN fails.
    pub fn conv2d(
        &self,
        s: &ConvShape,
        slices: Slices,
        x: Floats<'_>,
        w: Floats<'_>,
        mut y: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.input_len());
        check_length("w", w.len(), s.weight_len());
        check_length("y", y.len(), s.output_len());
        for images in nonempty(slices, s.batch) {
            let (s, input, output) = of_images(s, &images);
            self.conv2d_images(&s, x.of_images(&images, input), w, y.of_images(&images, output))?;
        }
        Ok(())
    }

    fn conv2d_images(&self, s: &ConvShape, x: Floats<'_>, w: Floats<'_>, y: FloatsMut<'_>) -> Result<(), GpuError> {
        let addresses = [x.address(), w.address(), y.address()];
        // SAFETY: the lengths were checked, and `y` is borrowed exclusively.
        if unsafe { self.by_cudnn(s, ConvPass::Forward, false, addresses) }? {
            return Ok(());
        }
        self.by_groups(s, |group, cols| {
            self.gather_patches(s, group, x, cols)?;
            let w = Matrix::new(w.address(), group.entries);
            let dims = (s.out_channels, group.entries, group.pixels);
            let out = group.outputs(s, y.address());
            // SAFETY: `out` is the group's part of `y`, and `cols` has the patches of this group only.
            unsafe { self.product(dims, group.images, w, group.by_image(cols), 0.0, out) }
        })
    }

    /// Adds the gradient of the input to `gx`, one slice of the batch after the other.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if an allocation, a launch, or a call of cuBLAS or cuDNN fails.
    pub fn conv2d_input_gradient(
        &self,
        s: &ConvShape,
        slices: Slices,
        w: Floats<'_>,
        gy: Floats<'_>,
        mut gx: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("w", w.len(), s.weight_len());
        check_length("gy", gy.len(), s.output_len());
        check_length("gx", gx.len(), s.input_len());
        for images in nonempty(slices, s.batch) {
            let (s, input, output) = of_images(s, &images);
            let (gy, gx) = (gy.of_images(&images, output), gx.of_images(&images, input));
            self.input_gradient_of_images(&s, w, gy, gx)?;
        }
        Ok(())
    }

    fn input_gradient_of_images(
        &self,
        s: &ConvShape,
        w: Floats<'_>,
        gy: Floats<'_>,
        gx: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        let addresses = [gx.address(), w.address(), gy.address()];
        // SAFETY: the lengths were checked, and `gx` is borrowed exclusively.
        if unsafe { self.by_cudnn(s, ConvPass::InputGradient, true, addresses) }? {
            return Ok(());
        }
        self.by_groups(s, |group, gcols| {
            let w = Matrix::new(w.address(), group.entries).transposed();
            let dims = (group.entries, s.out_channels, group.pixels);
            let upstream = group.outputs(s, gy.address());
            // SAFETY: `gcols` has the patches of this group only.
            unsafe { self.product(dims, group.images, w, upstream, 0.0, group.by_image(gcols)) }?;
            let grid = self.grid(size(group.images * s.in_channels * s.in_height * s.in_width));
            let (first, images) = (size(group.first), size(group.images));
            launch!(self, "patches_backward", grid, Conv::new(s), first, images, *gcols, gx)
        })
    }

    /// Adds the gradient of the weight to `gw`. The gradients of the slices are added in pairs.
    ///
    /// # Errors
    /// Returns a [`GpuError`] if an allocation, a launch, or a call of cuBLAS or cuDNN fails.
    pub fn conv2d_weight_gradient(
        &self,
        s: &ConvShape,
        slices: Slices,
        x: Floats<'_>,
        gy: Floats<'_>,
        gw: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        check_length("x", x.len(), s.input_len());
        check_length("gy", gy.len(), s.output_len());
        check_length("gw", gw.len(), s.weight_len());
        self.add_in_slices(slices, s.batch, gw, |images, gw| {
            let (s, input, output) = of_images(s, images);
            self.weight_gradient_of_images(&s, x.of_images(images, input), gy.of_images(images, output), gw)
        })
    }

    fn weight_gradient_of_images(
        &self,
        s: &ConvShape,
        x: Floats<'_>,
        gy: Floats<'_>,
        gw: FloatsMut<'_>,
    ) -> Result<(), GpuError> {
        let addresses = [x.address(), gw.address(), gy.address()];
        // SAFETY: the lengths were checked, and `gw` is borrowed exclusively.
        if unsafe { self.by_cudnn(s, ConvPass::WeightGradient, true, addresses) }? {
            return Ok(());
        }
        self.by_groups(s, |group, cols| {
            self.gather_patches(s, group, x, cols)?;
            // The columns have the same order as those of the patches, so that one product sums over all images.
            let len = s.out_channels * group.columns();
            // SAFETY: the kernel writes all of it.
            let rows = unsafe { self.device.alloc::<f32>(len) }?;
            let grid = self.grid(size(len));
            let (outputs, pixels) = (size(s.out_channels), size(group.pixels));
            let (first, images) = (size(group.first), size(group.images));
            launch!(self, "channels_first", grid, outputs, pixels, first, images, gy, rows)?;
            let upstream = Matrix::new(*rows.device_ptr(), group.columns());
            let cols = Matrix::new(*cols.device_ptr(), group.columns()).transposed();
            let dims = (s.out_channels, group.columns(), group.entries);
            // SAFETY: `gw` is borrowed exclusively, and this function owns the others.
            unsafe { self.product(dims, 1, upstream, cols, 1.0, Matrix::new(gw.address(), group.entries)) }
        })
    }

    /// Calls `work` for each group of images, with memory for their patches. [`MOST_PATCHES`] limits the size of a group.
    fn by_groups(
        &self,
        s: &ConvShape,
        mut work: impl FnMut(&Group, &CudaSlice<f32>) -> Result<(), GpuError>,
    ) -> Result<(), GpuError> {
        let pixels = s.out_height() * s.out_width();
        let entries = s.in_channels * s.kernel * s.kernel;
        let most = (MOST_PATCHES / (entries * pixels).max(1)).max(1);
        for first in (0..s.batch).step_by(most) {
            let group = Group {
                first,
                images: most.min(s.batch - first),
                pixels,
                entries,
            };
            // SAFETY: `work` writes all of it before it reads it.
            let cols = unsafe { self.device.alloc::<f32>(entries * group.columns()) }?;
            work(&group, &cols)?;
        }
        Ok(())
    }

    fn gather_patches(
        &self,
        s: &ConvShape,
        group: &Group,
        x: Floats<'_>,
        cols: &CudaSlice<f32>,
    ) -> Result<(), GpuError> {
        let grid = self.grid(size(group.entries * group.columns()));
        let (first, images) = (size(group.first), size(group.images));
        launch!(self, "patches", grid, Conv::new(s), first, images, x, *cols)
    }
}

/// The convolution of some of the images, and the floats of an image of the input and of the output.
fn of_images(s: &ConvShape, images: &Range<usize>) -> (ConvShape, usize, usize) {
    let of_images = ConvShape {
        batch: images.len(),
        ..*s
    };
    let image = ConvShape { batch: 1, ..*s };
    (of_images, image.input_len(), image.output_len())
}
