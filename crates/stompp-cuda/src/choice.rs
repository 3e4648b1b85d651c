//! Ways to compute the same thing: each is tried once a shape, and the fastest is kept.
//!
//! Only ways that give the same bits are chosen between like this, so a choice changes no result. Times differ from run to run, and so
//! may the choices.

use crate::{Gpu, GpuError, profile::Event};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

/// How often a way is timed after the first call, which may compile or look for algorithms. The fastest counts.
const TIMES: usize = 3;

/// What was tried for one shape.
#[derive(Clone, Debug, PartialEq)]
pub struct AlgorithmChoice {
    /// What is computed, with its shape.
    pub what: String,
    /// Names of the ways that were tried, and their milliseconds, the fastest first.
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

/// Every choice so far.
#[derive(Debug, Default)]
pub(crate) struct AlgorithmChoices(Mutex<Vec<AlgorithmChoice>>);

impl Gpu {
    /// Every choice between ways of computing that was made so far, in order.
    pub fn algorithm_choices(&self) -> Vec<AlgorithmChoice> {
        self.choices.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs each of `ways` some times and returns the fastest. `run` does nothing and returns false for a way that cannot do it.
    ///
    /// # Errors
    /// If the driver or a way fails.
    ///
    /// # Panics
    /// If no way can do it.
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
