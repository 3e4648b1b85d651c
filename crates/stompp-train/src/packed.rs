//! Writes the network of a run as a packed file.

use crate::{SavedRun, TrainError, config::Method, files, init::checksum, tensors};
use dfdx::tensor::Cpu;
use std::path::{Path, absolute};
use stompp_graph::{CostSummary, find_tensor};
use stompp_infer::{Network, NetworkInfo, pack};

/// The size of a packed file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedSize {
    /// The whole file.
    pub file: usize,
    /// Its header: names, classes and preprocessing.
    pub header: usize,
    /// The size of the rest, as predicted by [`CostSummary::bytes`].
    pub promised: usize,
}

impl SavedRun {
    /// Packs the deploy network for inference. The packed network needs neither the training images nor the trainer.
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::pack`], and [`TrainError::Open`] if `STOMPP_SIMD` asks for instructions that this CPU lacks.
    pub fn packed(&self) -> Result<Network<'static>, TrainError> {
        Network::from_vec(self.pack("")?).map_err(|source| TrainError::Open {
            path: self.dir().to_owned(),
            source: Box::new(source),
        })
    }

    /// The bytes of the packed file: the deploy network with its classes, preprocessing, `licence` and origin.
    ///
    /// # Errors
    /// Returns [`TrainError::NotBinary`] if the run's method leaves the network in full precision, and [`TrainError::Pack`] if the network
    /// cannot be evaluated. Returns [`TrainError::Unfinished`], [`TrainError::NoCheckpoint`], [`TrainError::OtherRun`],
    /// [`TrainError::Damaged`], [`TrainError::Config`] or [`TrainError::Io`] if the network cannot be read. For a checkpoint of a run that
    /// re-estimates batch-norm statistics, returns [`TrainError::Data`] if the training images cannot be read.
    pub fn pack(&self, licence: &str) -> Result<Vec<u8>, TrainError> {
        let network = self.binary_network(&Cpu::default())?;
        let values = tensors::network_values(&network);
        let activations = network.binarization().activations;
        let packed = pack(network.graph(), activations, find_tensor(&values), &self.info(licence)?);
        packed.map_err(|source| TrainError::Pack {
            path: self.dir().to_owned(),
            source: Box::new(source),
        })
    }

    /// The deploy network, if the method makes it binary.
    pub(crate) fn binary_network(&self, device: &Cpu) -> Result<stompp_binarize::Network<Cpu>, TrainError> {
        match self.config.method.name {
            Method::Float => Err(TrainError::NotBinary {
                path: self.dir().to_owned(),
            }),
            Method::Ste | Method::Stompp | Method::StomppSte => self.deployed(device),
        }
    }

    /// The metadata that a user of the network needs: classes, preprocessing, revision, licence and origin.
    pub(crate) fn info(&self, licence: &str) -> Result<NetworkInfo, TrainError> {
        let statistics = self.record.statistics();
        let classes = 0..self.config.data.classes();
        Ok(NetworkInfo {
            classes: classes.map(|class| self.class_name(class)).collect(),
            mean: statistics.mean.to_vec(),
            std: statistics.std.to_vec(),
            preprocessing: self.preprocessing()?.description(),
            revision: self.record.code.revision.clone(),
            licence: licence.to_owned(),
            parent: self.parent(&self.weights()?)?,
        })
    }

    /// Writes the packed network of [`SavedRun::pack`] to the new file `path`, atomically.
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::pack`], and [`TrainError::Io`] if the file exists or cannot be written.
    pub fn write_packed(&self, path: &Path, licence: &str) -> Result<PackedSize, TrainError> {
        let file = self.pack(licence)?;
        let promised = CostSummary::new(&self.graph()?, self.config.binarization().activations).bytes();
        files::write_new(path, &file)?;
        let header = file
            .first_chunk()
            .map_or(0, |length| 8 + u64::from_le_bytes(*length) as usize);
        Ok(PackedSize {
            file: file.len(),
            header,
            promised,
        })
    }

    /// The origin of the network: the names of its run and file, and the checksum of the file.
    fn parent(&self, weights: &Path) -> Result<String, TrainError> {
        let run = absolute(self.dir()).unwrap_or_else(|_| self.dir().to_owned());
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let checksum = checksum(&files::read(weights)?);
        Ok(format!("run {}, {}, XXH3-128 {checksum}", name(&run), name(weights)))
    }
}

#[cfg(test)]
mod tests;
