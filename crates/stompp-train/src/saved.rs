//! A trained network, read back from its run directory.

use crate::{
    Callback, RunConfig, RunRecord, Score, TrainError,
    error::device_error,
    evaluate::{classes, evaluate},
    feed::{Supply, on_device},
    files,
    images::TestImages,
    network_file,
};
use dfdx::tensor::Cpu;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use stompp_data::{Normalization, contact_sheet};
use stompp_resnet::ResNet;

/// The run in a directory that [`train`](crate::train) made.
#[derive(Clone, Debug)]
pub struct SavedRun {
    dir: PathBuf,
    /// Its configuration.
    pub config: RunConfig,
    /// How it came about.
    pub record: RunRecord,
}

impl SavedRun {
    /// Reads configuration and record of the run in `dir`.
    ///
    /// # Errors
    /// If they are missing or damaged.
    pub fn load(dir: &Path) -> Result<Self, TrainError> {
        Ok(Self {
            dir: dir.to_owned(),
            config: RunConfig::load(&dir.join(files::CONFIG))?,
            record: files::read_json(&dir.join(files::RUN))?,
        })
    }

    /// Scores the saved deploy network on the test images of the configuration, exactly as the run did at its end. `watcher` is
    /// told of images that could not be read.
    ///
    /// # Errors
    /// If the configuration cannot be run, the network is missing (the run has not finished) or damaged, or the images cannot
    /// be read or have other classes than the run's.
    pub fn evaluate(&self, watcher: &mut dyn Callback) -> Result<Score, TrainError> {
        let device = Cpu::default();
        let network = self.network(&device)?;
        let images = self.images()?;
        let normalization = Normalization::new(self.record.statistics())?;
        let view = self.config.method.name.deployed();
        let test = Supply::new(&device, &images.test, &normalization)?;
        if !images.notes.is_empty() {
            watcher.on_notes(&images.notes)?;
        }
        let score = evaluate(&network, &test, &normalization, view)?;
        let bad = images.bad_images();
        if !bad.is_empty() {
            watcher.on_bad_images(&bad)?;
        }
        Ok(score)
    }

    /// A picture (PNG) of the first `count` test images as the network gets them. Under each stands what the deploy network says;
    /// where that is wrong, the truth follows in brackets.
    ///
    /// # Errors
    /// As [`SavedRun::evaluate`].
    pub fn predictions_sheet(&self, count: usize) -> Result<Vec<u8>, TrainError> {
        let device = Cpu::default();
        let network = self.network(&device)?;
        let images = self.images()?;
        let normalization = Normalization::new(self.record.statistics())?;
        let count = count.min(images.test.len());
        let mut answers = HashMap::new();
        if let Some(batch) = images.test.first(&normalization, count)? {
            let pixels = on_device(&device, &batch).map_err(device_error)?;
            let logits = network.evaluate(pixels, self.config.method.name.deployed());
            let logits = logits.map_err(device_error)?.as_vec();
            answers.extend(batch.indices.iter().copied().zip(classes(&logits, batch.labels.len())));
        }
        let caption = |index: usize, label: usize| match answers.get(&index) {
            Some(&answer) if answer != label => {
                format!("{} ({})", images.class_name(answer), images.class_name(label))
            }
            _ => images.class_name(label),
        };
        let examples = images.test.plain_examples(&normalization);
        let indices: Vec<_> = (0..count).collect();
        Ok(contact_sheet(&*examples, &normalization, 0, &indices, caption)?)
    }

    /// The trained network.
    fn network(&self, device: &Cpu) -> Result<ResNet<Cpu>, TrainError> {
        self.config.check()?;
        let path = self.dir.join(files::NETWORK);
        let bytes = files::read(&path)?;
        let (architecture, binarization) = (self.config.architecture()?, self.config.binarization());
        let mut network = ResNet::new(device, &architecture, binarization, self.config.seed).map_err(device_error)?;
        network_file::restore(&mut network, &bytes, &path)?;
        Ok(network)
    }

    /// The test images of the configuration; training images are not looked for, unless the test images are held out of them.
    ///
    /// # Errors
    /// If the images cannot be read, or have classes that the run was not trained on.
    fn images(&self) -> Result<TestImages, TrainError> {
        let path = self.dir.join(files::CLASSES);
        let trained: Option<Vec<String>> = path.exists().then(|| files::read_json(&path)).transpose()?;
        TestImages::load(&self.config.data, trained.as_deref(), Some(&self.dir.join(files::INDEX)))
    }
}
