//! The processes that train together: those that a launcher started, or this one alone.

use clap::Args;
use std::{fmt, path::PathBuf, sync::Arc};
use stompp_parallel::{Collective, Solo, launched_processes};
use stompp_train::{
    RunConfig, TrainError,
    config::{ConfigError, Device},
};

/// The options of `stompp train` for processes on GPUs. They do not change the result of exact sums, so
/// a run's configuration does not contain them.
#[derive(Args)]
#[command(next_help_heading = "Several processes")]
pub(crate) struct ProcessArgs {
    /// Add over NCCL, between the GPUs of the processes, and not over MPI
    #[arg(long)]
    nccl: bool,

    /// Without MPI: the processes meet through this file, which all must see and which must not exist; implies --nccl. The launcher is
    /// torchrun, mpirun or srun
    #[arg(long, value_name = "FILE")]
    nccl_id: Option<PathBuf>,
}

impl ProcessArgs {
    /// Joins the processes that were started together with this one.
    ///
    /// # Errors
    /// Returns an error if a launcher started several processes and this program was built without MPI, or if MPI or NCCL cannot be used.
    pub(crate) fn join(&self, config: &RunConfig) -> anyhow::Result<Arc<dyn Collective>> {
        if (self.nccl || self.nccl_id.is_some()) && config.device.name == Device::Cpu {
            let problem = "cpu: NCCL adds between GPUs; use --device cuda".to_owned();
            let field = "device.name";
            return Err(TrainError::from(ConfigError::Field { field, problem }).into());
        }
        match &self.nccl_id {
            #[cfg(feature = "cuda")]
            Some(file) => Ok(Arc::new(stompp_parallel::Nccl::meet(file, reduction(config))?)),
            _ if self.nccl => over_nccl(by_launcher(config)?, config),
            _ => by_launcher(config),
        }
    }
}

/// The processes that `mpirun` or `srun` started, over MPI.
fn by_launcher(config: &RunConfig) -> anyhow::Result<Arc<dyn Collective>> {
    let Some(processes) = launched_processes() else {
        return Ok(Arc::new(Solo));
    };
    #[cfg(feature = "mpi")]
    {
        let group = stompp_parallel::Mpi::start(reduction(config))?;
        if group.size() != processes {
            anyhow::bail!(
                "the launcher started {processes} processes, but MPI knows {}: the launcher and the MPI library do not fit (srun needs \
                 --mpi=pmix or --mpi=pmi2)",
                group.size()
            );
        }
        Ok(Arc::new(group))
    }
    #[cfg(not(feature = "mpi"))]
    {
        let _ = config;
        if processes > 1 {
            anyhow::bail!(
                "a launcher started {processes} processes, but this program was built without MPI: build it with \
                 `cargo install --path crates/stompp-cli --features mpi` (docs/scale.md)"
            );
        }
        Ok(Arc::new(Solo))
    }
}

/// The same processes, which add over NCCL.
fn over_nccl(group: Arc<dyn Collective>, config: &RunConfig) -> anyhow::Result<Arc<dyn Collective>> {
    if group.size() == 1 {
        anyhow::bail!(
            "--nccl: no launcher has started several processes; use mpirun or srun with a program that has the feature `mpi`, or --nccl-id \
             (docs/scale.md)"
        );
    }
    #[cfg(feature = "cuda")]
    {
        let gpu = stompp_parallel::rank_on_this_machine(&*group)?;
        Ok(Arc::new(stompp_parallel::Nccl::beside(group, reduction(config), gpu)?))
    }
    #[cfg(not(feature = "cuda"))]
    {
        let _ = config;
        Ok(group) // The configuration, with a GPU, is refused later.
    }
}

#[cfg(any(feature = "cuda", feature = "mpi"))]
fn reduction(config: &RunConfig) -> stompp_parallel::Reduction {
    use stompp_parallel::Reduction;
    use stompp_train::config::ReductionOrder;
    match config.processes.reduction {
        ReductionOrder::Exact => Reduction::Exact,
        ReductionOrder::Fast => Reduction::Fast,
    }
}

/// Marks an error that the first process also has and reports.
#[derive(Debug)]
pub(crate) struct ReportedByFirst;

impl fmt::Display for ReportedByFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("process 0 reports the same")
    }
}
