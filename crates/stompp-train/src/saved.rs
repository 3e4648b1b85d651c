//! A trained network, read back from its run directory.

use crate::{
    RunConfig, RunRecord, Score, TrainError, error::device_error, evaluate::evaluate, files, images::Images,
    network_file,
};
use dfdx::tensor::Cpu;
use std::path::{Path, PathBuf};
use stompp_data::Normalization;
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

    /// Scores the saved deploy network on the test images of the configuration, exactly as the run did at its end.
    ///
    /// # Errors
    /// If the configuration cannot be run, the network is missing (the run has not finished) or damaged, or the images cannot
    /// be read.
    pub fn evaluate(&self) -> Result<Score, TrainError> {
        self.config.check()?;
        let path = self.dir.join(files::NETWORK);
        let bytes = files::read(&path)?;
        let device = Cpu::default();
        let (architecture, binarization) = (self.config.architecture()?, self.config.binarization());
        let mut network = ResNet::new(&device, &architecture, binarization, self.config.seed).map_err(device_error)?;
        network_file::restore(&mut network, &bytes, &path)?;
        let images = Images::load(&self.config.data)?;
        let normalization = Normalization::new(self.record.statistics())?;
        let view = self.config.method.name.deployed();
        evaluate(&device, &network, &images.test, &normalization, view)
    }
}
