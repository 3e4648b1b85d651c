//! Batches on the device: copied there one by one, or cut out of a set that lies there as a whole.

use crate::{TrainError, config::RunConfig, error::device_error, images::Part};
use dfdx::tensor::{Cpu, Tensor};
use std::{convert::Infallible, fmt::Debug, sync::Arc};
use stompp_binarize::BinaryBackend;
use stompp_data::{Batch, Batches, ImageSet, Normalization, PlacedBatches, Placement, Position};
use stompp_nn::{Image, OpResult};

/// A batch of images, (N, C, H, W).
pub(crate) type Images<D> = Tensor<Image<usize, usize>, f32, D>;

/// The most images that are evaluated at once.
const EVALUATION_BATCH: usize = 250;

/// Multiply-accumulates that one thread does in a fraction of a second.
const MACS_AT_ONCE: usize = 4 << 30;

/// A device, and how it holds a set of images as a whole, if it does.
pub(crate) trait Holder: BinaryBackend {
    /// Images in its memory.
    type Held: Debug;

    /// What it is, in words, if it is not the machine itself.
    fn words(&self) -> Option<String>;

    /// Takes a set in; `None` if images are as near to it where they are.
    fn hold(&self, set: &ImageSet, normalization: &Normalization) -> Option<Result<Self::Held, Self::Err>>;

    /// How many images to evaluate at once. A running evaluation can be interrupted between two such batches.
    fn evaluation_batch(macs_per_image: usize) -> usize;

    /// The images of these indices, each cropped and normalized.
    fn cut(&self, held: &Self::Held, placements: &[(usize, Placement)]) -> OpResult<Image<usize, usize>, Self>;
}

impl Holder for Cpu {
    type Held = Infallible;

    fn words(&self) -> Option<String> {
        None
    }

    fn hold(&self, _: &ImageSet, _: &Normalization) -> Option<Result<Infallible, Self::Err>> {
        None
    }

    /// Few enough for a fraction of a second, whatever the network; enough to give each thread one.
    fn evaluation_batch(macs_per_image: usize) -> usize {
        let of_a_thread = (MACS_AT_ONCE / macs_per_image.max(1)).max(1);
        (rayon::current_num_threads() * of_a_thread).min(EVALUATION_BATCH)
    }

    fn cut(&self, held: &Infallible, _: &[(usize, Placement)]) -> OpResult<Image<usize, usize>, Self> {
        match *held {}
    }
}

#[cfg(feature = "cuda")]
impl Holder for dfdx::tensor::Cuda {
    type Held = stompp_nn::cuda::ImagesOnDevice;

    fn words(&self) -> Option<String> {
        stompp_nn::cuda::gpu().ok().map(|gpu| gpu.versions().to_string())
    }

    fn hold(&self, set: &ImageSet, normalization: &Normalization) -> Option<Result<Self::Held, Self::Err>> {
        use stompp_nn::cuda::on_gpu;
        let table: Vec<f32> = (0..3).flat_map(|channel| *normalization.table(channel)).collect();
        let sides = (set.height(), set.width());
        Some(on_gpu(|gpu| gpu.upload_images(sides, set.pixels(), &table)))
    }

    fn evaluation_batch(_: usize) -> usize {
        EVALUATION_BATCH
    }

    fn cut(&self, held: &Self::Held, placements: &[(usize, Placement)]) -> OpResult<Image<usize, usize>, Self> {
        use stompp_nn::{Backend, cuda::on_gpu};
        let number = |&(index, placement): &(usize, Placement)| {
            let Placement { down, right, mirrored } = placement;
            (index, down, right, mirrored)
        };
        let placements: Vec<_> = placements.iter().map(number).collect();
        let (height, width) = held.sides();
        self.filled((placements.len(), 3, height, width), |out| {
            on_gpu(|gpu| gpu.place_images(held, &placements, out))
        })
    }
}

/// A part of a data set, held by the device where it does that.
#[derive(Debug)]
pub(crate) struct Supply<D: Holder> {
    device: D,
    part: Part,
    held: Option<Arc<D::Held>>,
}

impl<D: Holder> Supply<D> {
    /// Takes in a part that is in memory.
    ///
    /// # Errors
    /// The device's: there may not be room.
    pub(crate) fn new(device: &D, part: &Part, normalization: &Normalization) -> Result<Self, TrainError> {
        let held = part.in_memory().and_then(|set| device.hold(set, normalization));
        Ok(Self {
            device: device.clone(),
            part: part.clone(),
            held: held.transpose().map_err(device_error)?.map(Arc::new),
        })
    }

    /// The device.
    pub(crate) fn device(&self) -> &D {
        &self.device
    }

    /// Training batches from `start` on, without end.
    ///
    /// # Errors
    /// The data's.
    pub(crate) fn training(
        &self,
        config: &RunConfig,
        normalization: &Normalization,
        start: Position,
    ) -> Result<Feed<D>, TrainError> {
        self.feed(
            || self.part.placed_training_batches(config, start),
            || self.part.training_batches(config, normalization, start),
        )
    }

    /// The images in order, `batch_size` at a time.
    ///
    /// # Errors
    /// The data's.
    pub(crate) fn evaluation(&self, normalization: &Normalization, batch_size: usize) -> Result<Feed<D>, TrainError> {
        self.feed(
            || self.part.placed_evaluation_batches(batch_size),
            || self.part.evaluation_batches(normalization, batch_size),
        )
    }

    fn feed(
        &self,
        placed: impl FnOnce() -> Result<PlacedBatches, TrainError>,
        copied: impl FnOnce() -> Result<Batches, TrainError>,
    ) -> Result<Feed<D>, TrainError> {
        Ok(Feed {
            device: self.device.clone(),
            source: match &self.held {
                Some(held) => Source::Held(Arc::clone(held), placed()?),
                None => Source::Copied(copied()?),
            },
        })
    }
}

/// Batches on the device, in order.
#[derive(Debug)]
pub(crate) struct Feed<D: Holder> {
    device: D,
    source: Source<D>,
}

#[derive(Debug)]
enum Source<D: Holder> {
    Copied(Batches),
    Held(Arc<D::Held>, PlacedBatches),
}

/// A batch on the device, of at least one image.
#[derive(Debug)]
pub(crate) struct Fed<D: BinaryBackend> {
    pub(crate) images: Images<D>,
    pub(crate) labels: Vec<usize>,
    /// The place of each image in its set.
    pub(crate) indices: Vec<usize>,
}

impl<D: Holder> Iterator for Feed<D> {
    type Item = Result<Fed<D>, TrainError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            Source::Copied(batches) => {
                // Every image of a batch may be bad, and left out.
                let batch = batches.find(|batch| !matches!(batch, Ok(batch) if batch.labels.is_empty()))?;
                Some(batch.map_err(TrainError::from).and_then(|batch| {
                    let images = on_device(&self.device, &batch).map_err(device_error)?;
                    let Batch { labels, indices, .. } = batch;
                    Ok(Fed {
                        images,
                        labels,
                        indices,
                    })
                }))
            }
            Source::Held(held, batches) => {
                let batch = batches.next()?;
                let images = self.device.cut(held, &batch.placements).map_err(device_error);
                let indices = batch.placements.iter().map(|(index, _)| *index).collect();
                let labels = batch.labels;
                Some(images.map(|images| Fed {
                    images,
                    labels,
                    indices,
                }))
            }
        }
    }
}

/// The images of a batch as a tensor.
pub(crate) fn on_device<D: BinaryBackend>(device: &D, batch: &Batch) -> OpResult<Image<usize, usize>, D> {
    let [n, channels, height, width] = batch.shape;
    stompp_nn::tensor(device, &batch.images, (n, channels, height, width))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::RunConfig, images};

    /// The training images of `config` on a device: three batches over the end of an epoch, and every test batch.
    fn fed<D: Holder>(device: &D, config: &RunConfig) -> Vec<(Vec<f32>, Vec<usize>)> {
        let images = images::Images::load(&config.data, None, false).unwrap();
        let normalization = Normalization::new(images.statistics).unwrap();
        let supply = |part| Supply::new(device, part, &normalization).unwrap();
        let (train, test) = (supply(&images.train), supply(&images.test));
        let start = Position { epoch: 2, batch: 2 };
        let training = train.training(config, &normalization, start).unwrap().take(3);
        let batches = training.chain(test.evaluation(&normalization, 250).unwrap());
        let values = |batch: Result<Fed<D>, TrainError>| {
            let Fed { images, labels, .. } = batch.unwrap();
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
        let batches = fed(&Cpu::default(), &config(true));
        assert_eq!(batches.len(), 4, "three of training, one of 20 test images");
        assert_ne!(batches[0], fed(&Cpu::default(), &config(false))[0]);
    }

    #[cfg(feature = "cuda")]
    #[test]
    #[cfg_attr(not(feature = "cuda-stand-in"), ignore = "needs a GPU")]
    fn cuda_batches_are_the_cpu_s_to_the_bit() {
        let cuda = stompp_nn::cuda::open(stompp_nn::cuda::Settings::default()).unwrap();
        for augment in [true, false] {
            let config = config(augment);
            assert_eq!(fed(&cuda, &config), fed(&Cpu::default(), &config));
        }
    }
}
