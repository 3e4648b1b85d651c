//! Selects the fastest of several algorithms by measurement, once for each shape.
//!
//! In deterministic mode, a selection is used only if all candidates give the same bits, so it does not change results. Times differ from
//! run to run, so the selected algorithms may differ, too.

use crate::{Gpu, GpuError, profile::Event};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// Number of timed runs of an algorithm. An untimed first run comes before them. The fastest run counts.
const TIMES: usize = 3;

/// The measured times of the algorithms for one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct AlgorithmChoice {
    /// The operation and its shape.
    pub what: String,
    /// Names of the algorithms and their times in milliseconds, fastest first.
    pub tried: Vec<(&'static str, f32)>,
}

impl fmt::Display for AlgorithmChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.what)?;
        let mut comma = "";
        for (name, milliseconds) in &self.tried {
            write!(f, "{comma} {name} {milliseconds:.3} ms")?;
            comma = ",";
        }
        Ok(())
    }
}

/// All choices so far.
#[derive(Debug, Default)]
pub(crate) struct AlgorithmChoices(Mutex<Vec<AlgorithmChoice>>);

impl Gpu {
    /// Returns all choices between algorithms so far, in order.
    pub fn algorithm_choices(&self) -> Vec<AlgorithmChoice> {
        self.choices.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Measures each of `ways` and returns the fastest. `run` must return false, without any effect, if a way is not possible.
    ///
    /// # Errors
    /// Returns an error if the driver or `run` fails.
    ///
    /// # Panics
    /// Panics if no way is possible.
    pub(crate) fn fastest<W: Copy>(
        &self,
        what: String,
        ways: &[(&'static str, W)],
        mut run: impl FnMut(W) -> Result<bool, GpuError>,
    ) -> Result<W, GpuError> {
        let mut tried = Vec::new();
        for &(name, way) in ways {
            if !run(way)? {
                continue;
            }
            let mut fastest = f32::INFINITY;
            for _ in 0..TIMES {
                let start = Event::now(&self.device)?;
                run(way)?;
                let end = Event::now(&self.device)?;
                self.device.synchronize()?;
                fastest = fastest.min(start.until(&end)?);
            }
            tried.push(((name, fastest), way));
        }
        tried.sort_by(|((_, a), _), ((_, b), _)| a.total_cmp(b));
        let way = tried.first().expect("one way can do everything").1;
        let tried = tried.into_iter().map(|(time, _)| time).collect();
        let mut choices = self.choices.0.lock().unwrap_or_else(PoisonError::into_inner);
        choices.push(AlgorithmChoice { what, tried });
        Ok(way)
    }
}
