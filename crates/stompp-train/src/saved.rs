//! A trained network, read back from its run directory.

use crate::{
    Callback, RunConfig, RunRecord, RunResult, TrainError, checkpoint,
    checkpoint::CheckpointName,
    deploy,
    device_data::{DataSource, to_device},
    error::{damaged, device_error},
    eval_report::{EvaluationReport, ReportBuilder},
    evaluate::{Evaluator, macs_per_image, predicted_classes},
    files, images,
    images::{TestImages, TrainImages},
    network_file,
};
use dfdx::tensor::Cpu;
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};
use stompp_binarize::Network;
use stompp_data::{Normalization, Preprocessing, contact_sheet};
use stompp_graph::{CostSummary, Graph};
use stompp_nn::BatchReduction;
use stompp_parallel::Solo;

/// A saved run: the contents of a directory that [`train`](crate::train) wrote.
///
/// Classifies an image with the network of a finished run:
///
/// ```
/// use stompp_train::{RunConfig, SavedRun, train};
///
/// # let folder = tempfile::tempdir()?;
/// # let dir = folder.path().join("run");
/// # let mut bytes = b"P6 8 8 255 ".to_vec();
/// # bytes.resize(bytes.len() + 3 * 8 * 8, 128);
/// # let config = RunConfig::from_toml(
/// #     "data = { train_limit = 20, test_limit = 20, image_size = 8 }
/// #      network = { model = 'resnet8', width = 4 }
/// #      training = { duration = '1ep', batch_size = 10 }
/// #      method = { name = 'ste' }")?;
/// # train(&config, &dir, &mut [])?;
/// let run = SavedRun::open(&dir)?;
/// let net = run.packed()?;
/// let view = run.preprocessing()?;
/// let top = net.classify(&view.image(&bytes)?)?;
/// println!("{}: {:.1} %", run.class_name(top[0].class), 100.0 * top[0].probability);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct SavedRun {
    dir: PathBuf,
    /// Its configuration.
    pub config: RunConfig,
    /// Its record: code, machine and derived values.
    pub record: RunRecord,
    /// The checkpoint to use. With `None`, the trained network is used.
    pub checkpoint: Option<CheckpointName>,
    /// The class names of the image files that it was trained on.
    classes: Option<Vec<String>>,
}

impl SavedRun {
    /// Reads the configuration, record and class names of the run in `dir`.
    ///
    /// # Errors
    /// Returns [`TrainError::NoRun`] if the directory holds no run, [`TrainError::Unfinished`] if the run has not started to train, and
    /// [`TrainError::Config`], [`TrainError::Io`] or [`TrainError::Damaged`] if a file cannot be read.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, TrainError> {
        let dir = dir.as_ref();
        let config = dir.join(files::CONFIG);
        if !config.is_file() {
            return Err(TrainError::NoRun { path: dir.to_owned() });
        }
        if !dir.join(files::RUN).is_file() {
            return Err(TrainError::Unfinished {
                path: dir.to_owned(),
                step: 0,
            });
        }
        let classes = dir.join(files::CLASSES);
        Ok(Self {
            dir: dir.to_owned(),
            config: RunConfig::load(&config)?,
            record: files::read_json(&dir.join(files::RUN))?,
            checkpoint: None,
            classes: classes.exists().then(|| files::read_json(&classes)).transpose()?,
        })
    }

    /// Scores the deploy network on the test images of the configuration, exactly as the run did at its end or at the step of the
    /// checkpoint. `callback` receives notes about the images, and images that could not be read.
    ///
    /// # Errors
    /// Returns [`TrainError::Unfinished`] if the run has no trained network yet, [`TrainError::NoCheckpoint`] if the checkpoint does not
    /// exist, [`TrainError::OtherRun`] if the checkpoint belongs to another run, [`TrainError::Io`] or [`TrainError::Damaged`] if a file
    /// cannot be read, [`TrainError::Config`] if the configuration cannot be run, [`TrainError::Data`] if the images cannot be read or have
    /// other classes, and [`TrainError::Device`] if an allocation fails. Also returns errors of `callback`.
    pub fn evaluate(&self, callback: &mut dyn Callback) -> Result<EvaluationReport, TrainError> {
        let device = Cpu::default();
        let network = self.deployed(&device)?;
        let images = self.images()?;
        let normalization = Normalization::new(self.record.statistics())?;
        let mode = self.config.method.name.deployed();
        if !images.notes.is_empty() {
            callback.on_notes(&images.notes)?;
        }
        let evaluator = Evaluator {
            images: &DataSource::new(&device, &images.test, &normalization)?,
            normalization: &normalization,
            mode,
            macs_per_image: macs_per_image(&CostSummary::new(
                network.graph(),
                self.config.binarization().activations,
            )),
            processes: &Solo,
        };
        let mut collector = ReportBuilder::new(self.config.data.classes());
        let score = evaluator.score(&network, &mut |answers| {
            if let Some(answers) = answers {
                collector.add(answers, |index| images.test.image_name(index));
            }
            Ok(())
        })?;
        let bad = images.bad_images();
        if !bad.is_empty() {
            callback.on_bad_images(&bad)?;
        }
        Ok(collector.finish(&score, |label| images.class_name(label)))
    }

    /// A contact sheet (PNG) of the first `count` test images as the network gets them. The caption of an image is the prediction of the
    /// deploy network; if it is wrong, the true class follows in brackets.
    ///
    /// # Errors
    /// Returns the errors of [`SavedRun::evaluate`].
    pub fn predictions_sheet(&self, count: usize) -> Result<Vec<u8>, TrainError> {
        let device = Cpu::default();
        let network = self.network(&device)?;
        let images = self.images()?;
        let normalization = Normalization::new(self.record.statistics())?;
        let count = count.min(images.test.len());
        let mut answers = HashMap::new();
        if let Some(batch) = images.test.first_batch(&normalization, count)? {
            let pixels = to_device(&device, &batch).map_err(device_error)?;
            let logits = network.evaluate(pixels, self.config.method.name.deployed());
            let logits = logits.map_err(device_error)?.as_vec();
            answers.extend(
                batch
                    .indices
                    .iter()
                    .copied()
                    .zip(predicted_classes(&logits, batch.labels.len())),
            );
        }
        let caption = |index: usize, label: usize| match answers.get(&index) {
            Some(&answer) if answer != label => {
                format!("{} ({})", images.class_name(answer), images.class_name(label))
            }
            _ => images.class_name(label),
        };
        let examples = images.test.evaluation_examples(&normalization);
        let indices: Vec<_> = (0..count).collect();
        Ok(contact_sheet(&*examples, &normalization, 0, &indices, caption)?)
    }

    /// The network's graph.
    ///
    /// # Errors
    /// Returns [`TrainError::Config`] if the graph of the run cannot be read or does not fit its configuration.
    pub fn graph(&self) -> Result<Graph, TrainError> {
        Ok(self.config.graph_of_run(&self.dir.join(files::MODEL))?)
    }

    /// The preprocessing of images, exactly as in [`SavedRun::evaluate`].
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] if the statistics in the record of the run are invalid.
    pub fn preprocessing(&self) -> Result<Preprocessing, TrainError> {
        let data = &self.config.data;
        Ok(Preprocessing::new(
            images::resize_method(data.dataset),
            data.image_size,
            self.record.statistics(),
        )?)
    }

    /// The name of a class: the name of its image folder, or the published name in a known data set; `class N` if it has none.
    pub fn class_name(&self, class: usize) -> String {
        images::class_name(self.classes.as_deref(), self.config.data.dataset, class)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The deploy network, with re-estimated batch-norm statistics if the configuration asks for them.
    pub(crate) fn deployed(&self, device: &Cpu) -> Result<Network<Cpu>, TrainError> {
        let network = self.network(device)?;
        if self.checkpoint.is_some() && self.config.training.bn_reestimate > 0 {
            // The file of the trained network already has them.
            let train = TrainImages::load(&self.config.data)?.train;
            let normalization = Normalization::new(self.record.statistics())?;
            let train = DataSource::new(device, &train, &normalization)?;
            if let Some(batches) = deploy::statistics_batches(&self.config, &train, &normalization)? {
                return deploy::reestimate(&network, self.config.method.name.deployed(), batches);
            }
        }
        Ok(network)
    }

    /// The trained network, or the network of the checkpoint.
    fn network(&self, device: &Cpu) -> Result<Network<Cpu>, TrainError> {
        self.config.check()?;
        let path = self.weights()?;
        let bytes = files::read(&path)?;
        let graph = self.graph()?;
        let network = Network::new(device, &graph, self.config.binarization(), self.config.seed);
        let mut network = network.map_err(device_error)?;
        network.set_reduction(BatchReduction::alone(self.config.slices()));
        match self.checkpoint {
            Some(_) => {
                let written = checkpoint::restore_network(&bytes, &mut network);
                let written = written.map_err(|problem| damaged(&path, problem))?;
                let own = RunConfig::load(&self.dir.join(files::CONFIG))?;
                if let Some(difference) = written.difference(&own) {
                    return Err(TrainError::OtherRun { path, difference });
                }
            }
            None => network_file::restore(&mut network, &bytes, &path)?,
        }
        Ok(network)
    }

    /// The file with the network's weights.
    pub(crate) fn weights(&self) -> Result<PathBuf, TrainError> {
        match &self.checkpoint {
            Some(name) => checkpoint::find(&self.dir, name),
            None if RunResult::exists(&self.dir) => Ok(self.dir.join(files::NETWORK)),
            None => Err(TrainError::Unfinished {
                path: self.dir.clone(),
                step: checkpoint::newest_step(&self.dir)?,
            }),
        }
    }

    /// The test images of the configuration. Does not look for training images unless the test images are held out of them.
    ///
    /// # Errors
    /// Returns [`TrainError::Data`] or [`TrainError::Config`] if the images cannot be read or have other classes than the run.
    fn images(&self) -> Result<TestImages, TrainError> {
        TestImages::load(
            &self.config.data,
            self.classes.as_deref(),
            Some(&files::index(&self.dir)),
        )
    }
}
