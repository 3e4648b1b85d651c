//! Classifies images with a packed network.

use crate::{SavedRun, TrainError};
use rayon::prelude::*;
use std::path::Path;
use stompp_data::{ChannelStatistics, Preprocessing, UnlabelledImages};
use stompp_infer::{ClassProbability, Network, top_k};

/// Number of images per thread that are classified before the results are passed to the caller.
const AT_A_TIME: usize = 32;

/// A packed network with its preprocessing and class names: predicts the class of an image file.
///
/// ```no_run
/// use stompp_train::{Predictor, TrainError, UnlabelledImages};
///
/// let predictor = Predictor::open("net.stompp")?;
/// predictor.predict(&UnlabelledImages::open("photos")?, 1, |image, top| {
///     println!("{image}: {}", predictor.class_name(top?[0].class));
///     Ok::<_, TrainError>(())
/// })?;
/// # Ok::<(), TrainError>(())
/// ```
#[derive(Debug)]
pub struct Predictor {
    network: Network<'static>,
    preprocessing: Preprocessing,
}

impl Predictor {
    /// Opens a packed file.
    ///
    /// # Errors
    /// Returns [`TrainError::Open`] if the file is not a packed network or is damaged, and [`TrainError::NotForImages`] if the network does
    /// not take square RGB images or its header has no valid preprocessing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, TrainError> {
        let path = path.as_ref();
        let network = Network::open(path).map_err(|source| TrainError::Open {
            path: path.to_owned(),
            source: Box::new(source),
        })?;
        let preprocessing = preprocessing(&network).map_err(|problem| TrainError::NotForImages {
            path: path.to_owned(),
            problem,
        })?;
        Ok(Self { network, preprocessing })
    }

    /// Packs the network of a run with [`SavedRun::packed`].
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::packed`].
    pub fn from_run(run: &SavedRun) -> Result<Self, TrainError> {
        Ok(Self {
            network: run.packed()?,
            preprocessing: run.preprocessing()?,
        })
    }

    /// The network.
    pub fn network(&self) -> &Network<'static> {
        &self.network
    }

    /// The preprocessing of images.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.preprocessing
    }

    /// The name of a class; `class N` if the network has no name for it.
    pub fn class_name(&self, class: usize) -> String {
        let name = self.network.info().classes.get(class);
        name.cloned().unwrap_or_else(|| format!("class {class}"))
    }

    /// Classifies every image, on the threads of the current rayon pool. Calls `each` in order with the image's name and its `k` most
    /// likely classes, or with the error if the image could not be classified. An error from `each` ends the work.
    ///
    /// # Errors
    /// Returns the first error of `each`.
    pub fn predict<E>(
        &self,
        images: &UnlabelledImages,
        k: usize,
        mut each: impl FnMut(String, Result<Vec<ClassProbability>, TrainError>) -> Result<(), E>,
    ) -> Result<(), E> {
        let at_a_time = AT_A_TIME * rayon::current_num_threads();
        for start in (0..images.len()).step_by(at_a_time) {
            let indices = start..(start + at_a_time).min(images.len());
            let answers: Vec<_> = indices
                .clone()
                .into_par_iter()
                .map(|index| self.top(images, index, k))
                .collect();
            for (index, answer) in indices.zip(answers) {
                each(images.name(index), answer)?;
            }
        }
        Ok(())
    }

    fn top(&self, images: &UnlabelledImages, index: usize, k: usize) -> Result<Vec<ClassProbability>, TrainError> {
        let image = images.prepare(index, &self.preprocessing)?;
        let logits = self.network.logits(&image)?;
        Ok(top_k(&logits, k))
    }
}

/// The preprocessing in the header of a packed network.
fn preprocessing(network: &Network<'_>) -> Result<Preprocessing, String> {
    let info = network.info();
    let [channels, height, width] = network.input_shape();
    if channels != 3 || height != width {
        return Err(format!(
            "the network takes {channels}x{height}x{width}, not square RGB images"
        ));
    }
    let three = |values: &[f32], what: &str| {
        <[f32; 3]>::try_from(values).map_err(|_| format!("its header has {} {what}, expected 3", values.len()))
    };
    let statistics = ChannelStatistics {
        mean: three(&info.mean, "means")?,
        std: three(&info.std, "deviations")?,
    };
    Preprocessing::from_description(&info.preprocessing, height, statistics).map_err(|error| error.to_string())
}
