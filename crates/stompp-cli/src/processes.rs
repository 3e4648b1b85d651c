//! The processes that train together: those that an MPI launcher started, or this one alone.

use std::fmt;
use std::sync::Arc;
use stompp_parallel::{Collective, Solo, launched_processes};
use stompp_train::RunConfig;

/// Joins the processes that were started together with this one.
///
/// # Errors
/// Returns an error if a launcher started several processes and this program was built without MPI, or if MPI cannot be started.
pub(crate) fn join(config: &RunConfig) -> anyhow::Result<Arc<dyn Collective>> {
    let Some(processes) = launched_processes() else {
        return Ok(Arc::new(Solo));
    };
    #[cfg(feature = "mpi")]
    {
        use stompp_parallel::{Mpi, Reduction};
        use stompp_train::config::ReductionOrder;
        let reduction = match config.processes.reduction {
            ReductionOrder::Exact => Reduction::Exact,
            ReductionOrder::Fast => Reduction::Fast,
        };
        let group = Mpi::start(reduction)?;
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

/// Marks an error that the first process also has and reports.
#[derive(Debug)]
pub(crate) struct ReportedByFirst;

impl fmt::Display for ReportedByFirst {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("process 0 reports the same")
    }
}
