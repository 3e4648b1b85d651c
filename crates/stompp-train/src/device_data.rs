//! Batches on the device: copied one by one, or cropped from a whole set of images in device memory.

use crate::{TrainError, config::RunConfig, error::device_error, images::SplitImages};
use dfdx::tensor::{Cpu, Tensor};
use std::{convert::Infallible, fmt::Debug, ops::Range, sync::Arc};
use stompp_binarize::BinaryBackend;
use stompp_data::{Batch, Batches, CropBatches, CropParams, ImageSet, Normalization, Position};
use stompp_nn::{ImageShape, OpResult};

/// A batch of images, (N, C, H, W).
pub(crate) type ImageTensor<D> = Tensor<ImageShape<usize, usize>, f32, D>;

/// The largest batch size of an evaluation.
const EVALUATION_BATCH: usize = 250;

/// Number of multiply-accumulates that one thread does in a fraction of a second.
const MACS_AT_ONCE: usize = 4 << 30;

/// A device that can hold a whole set of images in its memory.
pub(crate) trait DeviceDataset: BinaryBackend {
    /// A set of images in device memory.
    type DeviceImages: Debug;

    /// Describes the device; `None` for the CPU.
    fn description(&self) -> Option<String>;

    /// Copies a set into the device's memory; `None` on the CPU, which needs no copy.
    fn upload(&self, set: &ImageSet, normalization: &Normalization) -> Option<Result<Self::DeviceImages, Self::Err>>;

    /// The batch size of an evaluation. A running evaluation can be stopped between two batches.
    fn evaluation_batch(macs_per_image: usize) -> usize;

    /// Crops and normalizes the images with the given indices.
    fn crop_batch(
        &self,
        images: &Self::DeviceImages,
        crops: &[(usize, CropParams)],
    ) -> OpResult<ImageShape<usize, usize>, Self>;
}

impl DeviceDataset for Cpu {
    type DeviceImages = Infallible;

    fn description(&self) -> Option<String> {
        None
    }

    fn upload(&self, _: &ImageSet, _: &Normalization) -> Option<Result<Infallible, Self::Err>> {
        None
    }

    /// Small enough to take a fraction of a second for any network, but at least one image per thread.
    fn evaluation_batch(macs_per_image: usize) -> usize {
        let of_a_thread = (MACS_AT_ONCE / macs_per_image.max(1)).max(1);
        (rayon::current_num_threads() * of_a_thread).min(EVALUATION_BATCH)
    }

    fn crop_batch(&self, images: &Infallible, _: &[(usize, CropParams)]) -> OpResult<ImageShape<usize, usize>, Self> {
        match *images {}
    }
}

#[cfg(feature = "cuda")]
impl DeviceDataset for dfdx::tensor::Cuda {
    type DeviceImages = stompp_nn::cuda::DeviceImages;

    fn description(&self) -> Option<String> {
        stompp_nn::cuda::gpu().ok().map(|gpu| gpu.versions().to_string())
    }

    fn upload(&self, set: &ImageSet, normalization: &Normalization) -> Option<Result<Self::DeviceImages, Self::Err>> {
        use stompp_nn::cuda::on_gpu;
        let table: Vec<f32> = (0..3).flat_map(|channel| *normalization.table(channel)).collect();
        let sides = (set.height(), set.width());
        Some(on_gpu(|gpu| gpu.upload_images(sides, set.pixels(), &table)))
    }

    fn evaluation_batch(_: usize) -> usize {
        EVALUATION_BATCH
    }

    fn crop_batch(
        &self,
        images: &Self::DeviceImages,
        crops: &[(usize, CropParams)],
    ) -> OpResult<ImageShape<usize, usize>, Self> {
        use stompp_nn::{Backend, cuda::on_gpu};
        let number = |&(index, crop): &(usize, CropParams)| {
            let CropParams { down, right, mirrored } = crop;
            (index, down, right, mirrored)
        };
        let crops: Vec<_> = crops.iter().map(number).collect();
        let (height, width) = images.size();
        self.filled((crops.len(), 3, height, width), |out| {
            on_gpu(|gpu| gpu.crop_images(images, &crops, out))
        })
    }
}

/// The training or test images of a run, in device memory if the device holds a copy.
#[derive(Debug)]
pub(crate) struct DataSource<D: DeviceDataset> {
    device: D,
    split: SplitImages,
    /// The images of this process: of each batch in training, of the whole split in evaluation. All if absent.
    part: Option<Range<usize>>,
    images: Option<Arc<D::DeviceImages>>,
}

impl<D: DeviceDataset> DataSource<D> {
    /// Creates a source of the images of `split`. Copies images in memory to the device, except on the CPU.
    ///
    /// # Errors
    /// Returns [`TrainError::Device`] if the copy fails, for example for lack of memory.
    pub(crate) fn new(device: &D, split: &SplitImages, normalization: &Normalization) -> Result<Self, TrainError> {
        let images = split.memory_set().and_then(|set| device.upload(set, normalization));
        Ok(Self {
            device: device.clone(),
            split: split.clone(),
            part: None,
            images: images.transpose().map_err(device_error)?.map(Arc::new),
        })
    }

    /// The same source, but only with the images of this process: the images `part` of each training batch, or of the split in
    /// evaluation. A device still holds all images of the split, because each epoch gives this process other ones.
    pub(crate) fn with_part(self, part: Option<Range<usize>>) -> Self {
        Self { part, ..self }
    }

    /// Number of images of this process in an evaluation.
    pub(crate) fn evaluated_images(&self) -> usize {
        self.part.as_ref().map_or(self.split.len(), ExactSizeIterator::len)
    }

    /// The device.
    pub(crate) fn device(&self) -> &D {
        &self.device
    }

    /// An endless stream of training batches from `start` on.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] if the batches cannot be started.
    pub(crate) fn training_batches(
        &self,
        config: &RunConfig,
        normalization: &Normalization,
        start: Position,
    ) -> Result<BatchIter<D>, TrainError> {
        self.batches(
            || self.split.training_crops(config, start, self.part.clone()),
            || {
                self.split
                    .training_batches(config, normalization, start, self.part.clone())
            },
        )
    }

    /// The images in order, in batches of `batch_size`.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] if the batches cannot be started.
    pub(crate) fn evaluation_batches(
        &self,
        normalization: &Normalization,
        batch_size: usize,
    ) -> Result<BatchIter<D>, TrainError> {
        self.batches(
            || self.split.evaluation_crops(batch_size, self.part.clone()),
            || {
                self.split
                    .evaluation_batches(normalization, batch_size, self.part.clone())
            },
        )
    }

    fn batches(
        &self,
        placed: impl FnOnce() -> Result<CropBatches, TrainError>,
        copied: impl FnOnce() -> Result<Batches, TrainError>,
    ) -> Result<BatchIter<D>, TrainError> {
        Ok(BatchIter {
            device: self.device.clone(),
            source: match &self.images {
                Some(images) => BatchSource::OnDevice(Arc::clone(images), placed()?),
                None => BatchSource::Copied(copied()?),
            },
        })
    }
}

/// Batches on the device, in order.
#[derive(Debug)]
pub(crate) struct BatchIter<D: DeviceDataset> {
    device: D,
    source: BatchSource<D>,
}

#[derive(Debug)]
enum BatchSource<D: DeviceDataset> {
    Copied(Batches),
    OnDevice(Arc<D::DeviceImages>, CropBatches),
}

/// A batch of at least one image on the device.
#[derive(Debug)]
pub(crate) struct DeviceBatch<D: BinaryBackend> {
    pub(crate) images: ImageTensor<D>,
    pub(crate) labels: Vec<usize>,
    /// The index of each image in its set.
    pub(crate) indices: Vec<usize>,
}

impl<D: DeviceDataset> Iterator for BatchIter<D> {
    type Item = Result<DeviceBatch<D>, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            BatchSource::Copied(batches) => {
                // Skips a batch if none of its images could be read.
                let batch = batches.find(|batch| !matches!(batch, Ok(batch) if batch.labels.is_empty()))?;
                Some(batch.map_err(TrainError::from).and_then(|batch| {
                    let images = to_device(&self.device, &batch).map_err(device_error)?;
                    let Batch { labels, indices, .. } = batch;
                    Ok(DeviceBatch {
                        images,
                        labels,
                        indices,
                    })
                }))
            }
            BatchSource::OnDevice(images, batches) => {
                let batch = batches.next()?;
                let images = self.device.crop_batch(images, &batch.crops).map_err(device_error);
                let indices = batch.crops.iter().map(|(index, _)| *index).collect();
                let labels = batch.labels;
                Some(images.map(|images| DeviceBatch {
                    images,
                    labels,
                    indices,
                }))
            }
        }
    }
}

/// Copies the images of a batch to the device.
pub(crate) fn to_device<D: BinaryBackend>(device: &D, batch: &Batch) -> OpResult<ImageShape<usize, usize>, D> {
    let [n, channels, height, width] = batch.shape;
    stompp_nn::tensor(device, &batch.images, (n, channels, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RunConfig, images};

    /// The training images of `config` on a device: three batches over the end of an epoch, and every test batch.
    fn device_batches<D: DeviceDataset>(device: &D, config: &RunConfig) -> Vec<(Vec<f32>, Vec<usize>)> {
        let images = images::RunImages::load(&config.data, None).unwrap();
        let normalization = Normalization::new(images.statistics).unwrap();
        let source = |part| DataSource::new(device, part, &normalization).unwrap();
        let (train, test) = (source(&images.train), source(&images.test));
        let start = Position { epoch: 2, batch: 2 };
        let training = train.training_batches(config, &normalization, start).unwrap().take(3);
        let batches = training.chain(test.evaluation_batches(&normalization, 250).unwrap());
        let values = |batch: Result<DeviceBatch<D>, TrainError>| {
            let DeviceBatch { images, labels, .. } = batch.unwrap();
            (images.as_vec(), labels)
        };
        batches.map(values).collect()
    }

    fn config(augment: bool) -> RunConfig {
        let config = format!(
            "data = {{ train_limit = 40, test_limit = 20, image_size = 8, augment = {augment} }}
             training = {{ batch_size = 10 }}"
        );
        RunConfig::from_toml(&config).unwrap()
    }

    #[test]
    fn batches_go_on_where_they_are_asked_to() {
        let batches = device_batches(&Cpu::default(), &config(true));
        assert_eq!(batches.len(), 4, "three of training, one of 20 test images");
        assert_ne!(batches[0], device_batches(&Cpu::default(), &config(false))[0]);
    }

    #[cfg(feature = "cuda")]
    #[test]
    #[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
    fn cuda_batches_are_the_cpu_s_to_the_bit() {
        let cuda = stompp_nn::cuda::open(stompp_nn::cuda::GpuSettings::default()).unwrap();
        for augment in [true, false] {
            let config = config(augment);
            assert_eq!(device_batches(&cuda, &config), device_batches(&Cpu::default(), &config));
        }
    }
}
