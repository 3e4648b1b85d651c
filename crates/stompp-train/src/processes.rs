//! The processes that train together: which images each has, and what they agree on.

use crate::{
    CodeVersion, RunConfig, TrainError,
    config::{ConfigError, OnBadImage, ReductionOrder},
    network_file,
    run::StopRequest,
    run_dir::RunRecord,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{ops::Range, path::Path, sync::Arc};
use stompp_graph::Graph;
use stompp_nn::{Backend, BatchReduction, Slices, VisitTensors};
use stompp_parallel::{Collective, CollectiveError};

/// The processes of a run, and the part of this one.
#[derive(Clone, Debug)]
pub(crate) struct Processes {
    collective: Arc<dyn Collective>,
    /// The images of this process in each training batch.
    part: Range<usize>,
    /// The slices of this process's images.
    slices: Slices,
    /// Images of the whole batch.
    batch_size: usize,
    local_batch_norm: bool,
}

impl Processes {
    /// Divides the batches of `config` among the processes. Completes the configuration, so that it describes the same run for another
    /// number of processes.
    ///
    /// # Errors
    /// Returns [`TrainError::Config`] if so many processes cannot train with the configuration.
    pub(crate) fn new(collective: Arc<dyn Collective>, config: &mut RunConfig) -> Result<Self, TrainError> {
        let (rank, size, batch_size) = (collective.rank(), collective.size(), config.training.batch_size);
        if size > 1 {
            check(config, size)?;
        }
        let exact = config.processes.reduction == ReductionOrder::Exact;
        if size > 1 && exact {
            config.processes.slices.get_or_insert(size);
        }
        let all = config.slices();
        let (part, slices) = match (exact, all.of_part(size), Slices::new(size)) {
            (true, Some(slices), Some(parts)) => (parts.ranges(batch_size)[rank].clone(), slices),
            (true, ..) => return Err(too_few_slices(all.count(), size)),
            (false, ..) => (equal_part(rank, size, batch_size), Slices::ONE),
        };
        Ok(Self {
            part,
            slices,
            batch_size,
            local_batch_norm: config.processes.local_batch_norm,
            collective,
        })
    }

    /// How training passes compute sums over the batch.
    pub(crate) fn reduction(&self) -> BatchReduction {
        let collective = Arc::clone(&self.collective);
        BatchReduction::shared(collective, self.slices, self.batch_size, self.local_batch_norm)
    }

    /// All processes.
    pub(crate) fn collective(&self) -> &dyn Collective {
        &*self.collective
    }

    /// Whether there are others.
    pub(crate) fn are_many(&self) -> bool {
        self.collective.size() > 1
    }

    /// Whether this process writes the files of the run.
    pub(crate) fn is_first(&self) -> bool {
        self.collective.rank() == 0
    }

    /// The images of this process in each training batch; `None` if it has all.
    pub(crate) fn training_part(&self) -> Option<Range<usize>> {
        self.are_many().then(|| self.part.clone())
    }

    /// The images of this process among the `images` of an evaluation; `None` if it has all.
    pub(crate) fn evaluation_part(&self, images: usize) -> Option<Range<usize>> {
        self.are_many()
            .then(|| equal_part(self.collective.rank(), self.collective.size(), images))
    }

    /// Returns what the first process has, in every process. The values of the others are ignored.
    ///
    /// # Errors
    /// Returns [`TrainError::Processes`] if a process has ended, or has other code.
    pub(crate) fn broadcast<T: Serialize + DeserializeOwned>(&self, value: T) -> Result<T, TrainError> {
        if !self.are_many() {
            return Ok(value);
        }
        let message = match self.is_first() {
            true => serde_json::to_vec(&value).expect("it has a JSON form"),
            false => Vec::new(),
        };
        let message = self.collective.broadcast(message)?;
        serde_json::from_slice(&message).map_err(|_| CollectiveError::Mismatch { rank: 0 }.into())
    }

    /// Whether any process says `true`.
    ///
    /// # Errors
    /// Returns [`TrainError::Processes`] if a process has ended.
    pub(crate) fn any(&self, own: bool) -> Result<bool, TrainError> {
        match self.are_many() {
            true => Ok(gather(self.collective(), &own)?.contains(&true)),
            false => Ok(own),
        }
    }

    /// Gives every process the network of the first one, if batch norms are local. Only their running statistics differ, which do not
    /// affect the training.
    ///
    /// # Errors
    /// Returns [`TrainError::Processes`] if a process has ended.
    pub(crate) fn share_statistics<D: Backend>(&self, network: &mut impl VisitTensors<D>) -> Result<(), TrainError> {
        if !(self.are_many() && self.local_batch_norm) {
            return Ok(());
        }
        let own = match self.is_first() {
            true => network_file::to_bytes(network),
            false => Vec::new(),
        };
        let first = self.collective.broadcast(own)?;
        match self.is_first() {
            true => Ok(()),
            false => network_file::restore(network, &first, Path::new("the network of process 0")),
        }
    }

    /// Checks that all processes have the same code, configuration, network, initial weights and numbers of images.
    ///
    /// # Errors
    /// Returns [`TrainError::OtherProcess`] with the first difference, and [`TrainError::Processes`] if a process has ended.
    pub(crate) fn check_equal(&self, config: &RunConfig, record: &RunRecord, graph: &Graph) -> Result<(), TrainError> {
        if !self.are_many() {
            return Ok(());
        }
        let own = (CodeVersion::current(), config.clone(), record.clone(), graph.to_toml());
        let all = gather(self.collective(), &own)?;
        let (code, config, record, graph) = &all[0];
        for (rank, (other_code, other_config, other_record, other_graph)) in all.iter().enumerate().skip(1) {
            let problem = if other_code != code {
                let revision = |code: &CodeVersion| format!("{} ({}, {})", code.version, code.revision, code.rustc);
                Some(format!(
                    "its program is {}, that of process 0 is {}",
                    revision(other_code),
                    revision(code)
                ))
            } else if let Some(difference) = config.difference(other_config) {
                Some(difference.to_string())
            } else {
                other_record
                    .other_images(record)
                    .map(|(details, _)| format!("its images: {details}"))
            };
            let problem = problem.or_else(|| {
                let same = graph == other_graph && record.compare_origin(other_record).is_ok();
                (!same).then(|| "its network or its initial weights".to_owned())
            });
            if let Some(problem) = problem {
                return Err(TrainError::OtherProcess { rank, problem });
            }
        }
        Ok(())
    }
}

/// Sends `value` to all processes. Returns the values of all, by rank.
///
/// # Errors
/// Returns [`CollectiveError::Lost`] if a process has ended, and [`CollectiveError::Mismatch`] if one sent something else.
pub(crate) fn gather<T: Serialize + DeserializeOwned>(
    collective: &dyn Collective,
    value: &T,
) -> Result<Vec<T>, CollectiveError> {
    let own = serde_json::to_vec(value).expect("it has a JSON form");
    let read = |(rank, message): (usize, &Vec<u8>)| {
        serde_json::from_slice(message).map_err(|_| CollectiveError::Mismatch { rank })
    };
    collective.gather(own)?.iter().enumerate().map(read).collect()
}

/// The part of process `rank` of `size` of `images` images. The sizes of parts differ by at most one.
fn equal_part(rank: usize, size: usize, images: usize) -> Range<usize> {
    rank * images / size..(rank + 1) * images / size
}

/// What one process did in a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProcessShare {
    /// Bytes sent to other processes.
    pub(crate) bytes_sent: u64,
    /// Seconds of its own work, without waiting for others.
    pub(crate) seconds: f64,
}

impl ProcessShare {
    /// The bytes sent and the seconds waited since the start.
    pub(crate) fn so_far(reduction: &BatchReduction) -> Self {
        Self {
            bytes_sent: reduction.collective().map_or(0, |collective| collective.bytes_sent()),
            seconds: reduction.seconds_waited(),
        }
    }
}

/// What a process tells the others after a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct StepMessage {
    /// Images that it classified correctly.
    pub(crate) correct: usize,
    /// When it was told to stop.
    pub(crate) stop: StopRequest,
    pub(crate) share: ProcessShare,
}

impl RunConfig {
    /// The slices of a batch: one if the number is not set.
    pub(crate) fn slices(&self) -> Slices {
        let count = match self.processes.reduction {
            ReductionOrder::Exact => self.processes.slices.unwrap_or(1),
            ReductionOrder::Fast => 1,
        };
        Slices::new(count).expect("the configuration was checked")
    }
}

/// Rejects configurations that several processes cannot train.
fn check(config: &RunConfig, size: usize) -> Result<(), TrainError> {
    let error = |field: &'static str, problem: String| Err(ConfigError::Field { field, problem }.into());
    if config.data.on_bad_image == OnBadImage::Skip {
        let problem = "skip: a process cannot leave out images that the others count; make a list without them";
        return error("data.on_bad_image", problem.to_owned());
    }
    if config.training.batch_size < size {
        let problem = format!(
            "{}: {size} processes need at least one image each",
            config.training.batch_size
        );
        return error("training.batch_size", problem);
    }
    if config.processes.reduction == ReductionOrder::Exact && !size.is_power_of_two() {
        let problem = format!("exact: {size} processes cannot add in pairs; use a power of two, or `fast`");
        return error("processes.reduction", problem);
    }
    Ok(())
}

fn too_few_slices(slices: usize, size: usize) -> TrainError {
    let problem =
        format!("{slices}: {size} processes need at least {size} slices; the number of slices changes the result");
    let field = "processes.slices";
    ConfigError::Field { field, problem }.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_parallel::{LocalGroup, Reduction, Solo};

    fn refused(change: impl FnOnce(&mut RunConfig)) -> String {
        let mut config = RunConfig::default();
        change(&mut config);
        check(&config, 2).unwrap_err().to_string()
    }

    #[test]
    fn what_several_processes_cannot_train_is_named() {
        assert!(check(&RunConfig::default(), 2).is_ok());
        for (message, expected) in [
            (
                refused(|config| config.data.on_bad_image = OnBadImage::Skip),
                "data.on_bad_image: skip",
            ),
            (
                refused(|config| config.training.batch_size = 1),
                "training.batch_size: 1",
            ),
        ] {
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn parts_are_disjoint_and_cover_batch_and_evaluation() {
        for (size, reduction) in [(1, "exact"), (2, "exact"), (4, "exact"), (3, "fast"), (5, "fast")] {
            let group: Vec<Arc<dyn Collective>> = match size {
                1 => vec![Arc::new(Solo)],
                _ => LocalGroup::members(size, Reduction::Fast)
                    .unwrap()
                    .into_iter()
                    .map(|member| Arc::new(member) as Arc<dyn Collective>)
                    .collect(),
            };
            let (mut batch, mut evaluation) = (Vec::new(), Vec::new());
            for member in group {
                let mut config = RunConfig::default();
                config.training.batch_size = 30;
                config.processes.reduction = reduction.parse().unwrap();
                let processes = Processes::new(member, &mut config).unwrap();
                assert_eq!(
                    config.processes.slices,
                    (size > 1 && reduction == "exact").then_some(size)
                );
                batch.extend(processes.training_part().unwrap_or(0..30));
                evaluation.extend(processes.evaluation_part(17).unwrap_or(0..17));
            }
            assert_eq!(batch, (0..30).collect::<Vec<_>>());
            assert_eq!(evaluation, (0..17).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_step_message_is_read_as_it_was_sent() {
        let message = |rank: usize| StepMessage {
            correct: 5 + rank,
            stop: StopRequest {
                now: rank == 1,
                after_step: rank == 0,
            },
            share: ProcessShare {
                bytes_sent: 1 << (40 + rank),
                seconds: 0.25 * rank as f64,
            },
        };
        let members = LocalGroup::members(2, Reduction::Exact).unwrap();
        std::thread::scope(|threads| {
            for member in members {
                threads.spawn(move || {
                    let all = gather(&member, &message(member.rank())).unwrap();
                    assert_eq!(all, [message(0), message(1)]);
                });
            }
        });
    }
}
