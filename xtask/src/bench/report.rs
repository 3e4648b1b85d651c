//! The figures of a benchmark: medians and ratios.

use super::case::{BenchNetwork, Workload};
use serde::Serialize;
use std::fmt;
use stompp_train::{CodeVersion, MachineInfo};

/// Median, smallest and largest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    /// Computes the spread of `values`.
    ///
    /// # Panics
    /// Panics if `values` is empty.
    pub(crate) fn new(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let (low, high) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
        Self {
            median: (low + high) / 2.0,
            min: values[0],
            max: values[values.len() - 1],
        }
    }
}

/// One case on both sides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) name: String,
    /// Median seconds of our step.
    pub(crate) ours_s: f64,
    /// Median seconds of the peer's step; absent without a peer.
    pub(crate) peer_s: Option<f64>,
    /// How many times faster we are, turn by turn.
    pub(crate) ratio: Option<Spread>,
    /// Seconds of each turn, here and there.
    #[serde(skip)]
    turns: [Vec<f64>; 2],
}

impl Comparison {
    /// Creates a comparison from the seconds of each turn. `theirs` is empty without a peer.
    pub(crate) fn new(name: String, ours: Vec<f64>, theirs: Vec<f64>) -> Self {
        let ratios: Vec<f64> = theirs.iter().zip(&ours).map(|(theirs, ours)| theirs / ours).collect();
        Self {
            name,
            ours_s: Spread::new(ours.clone()).median,
            peer_s: (!theirs.is_empty()).then(|| Spread::new(theirs.clone()).median),
            ratio: (!ratios.is_empty()).then(|| Spread::new(ratios)),
            turns: [ours, theirs],
        }
    }

    /// Combines several comparisons into one. `combine` gets the seconds of all `parts` in one turn.
    pub(crate) fn combined(name: String, parts: &[&Self], combine: impl Fn(&[f64]) -> f64) -> Self {
        let [ours, theirs] = [0, 1].map(|side| {
            let turns = parts.iter().map(|part| part.turns[side].len()).min().unwrap_or(0);
            let of_turn = |turn: usize| parts.iter().map(|part| part.turns[side][turn]).collect::<Vec<f64>>();
            (0..turns).map(|turn| combine(&of_turn(turn))).collect::<Vec<f64>>()
        });
        Self::new(name, ours, theirs)
    }

    /// Compares our side of `ours` with the peer's side of `peer`.
    fn relative_to_peer(name: String, ours: &Self, peer: &Self) -> Self {
        Self::new(name, ours.turns[0].clone(), peer.turns[1].clone())
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} {:>9.2} ms", self.name, 1e3 * self.ours_s)?;
        if let (Some(peer_s), Some(ratio)) = (self.peer_s, self.ratio) {
            write!(
                f,
                " {:>9.2} ms {:>8.2} {:>7.2} {:>7.2}",
                1e3 * peer_s,
                ratio.median,
                ratio.min,
                ratio.max
            )?;
        }
        Ok(())
    }
}

/// The mean step of a whole forward plan, and its comparison with the peer's STE step. Each is left out if a case that it needs was not
/// measured.
pub(crate) fn schedules(network: BenchNetwork, measured: &[(Workload, Comparison)]) -> Vec<Comparison> {
    let mut points: Vec<(usize, &Comparison)> = measured
        .iter()
        .filter_map(|(work, comparison)| match work {
            Workload::Freezing(percent) => Some((*percent, comparison)),
            Workload::Ste => None,
        })
        .collect();
    points.sort_by_key(|(percent, _)| *percent);
    if points.len() < super::COMMITTED.len() {
        return Vec::new();
    }
    // Windows are equally long, so steps are spread evenly over the committed share. The cost is linear between two points.
    let shares: Vec<f64> = points
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0) as f64 / 100.0)
        .collect();
    let mean = |seconds: &[f64]| {
        let pairs = seconds.windows(2).zip(&shares);
        pairs.map(|(pair, share)| share * (pair[0] + pair[1]) / 2.0).sum()
    };
    let parts: Vec<&Comparison> = points.iter().map(|(_, comparison)| *comparison).collect();
    let schedule = Comparison::combined(format!("{}-schedule", network.name()), &parts, mean);
    let ste = measured.iter().find(|(work, _)| *work == Workload::Ste);
    let versus_ste = ste
        .filter(|(_, comparison)| comparison.peer_s.is_some())
        .map(|(_, ste)| Comparison::relative_to_peer(format!("{}-schedule-vs-ste", network.name()), &schedule, ste));
    [schedule].into_iter().chain(versus_ste).collect()
}

/// Peak memory of one case on both sides: the memory of a process beyond what it had before it made the network.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MemoryComparison {
    pub(crate) name: String,
    /// Our memory in MiB.
    pub(crate) ours_mib: f64,
    /// The peer's memory in MiB; absent without a peer.
    pub(crate) peer_mib: Option<f64>,
}

impl fmt::Display for MemoryComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<34} {:>9.0} MiB", self.name, self.ours_mib)?;
        if let Some(peer_mib) = self.peer_mib {
            write!(f, "{peer_mib:>9.0} MiB {:>8.2}", peer_mib / self.ours_mib)?;
        }
        Ok(())
    }
}

/// All results of a benchmark.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: MachineInfo,
    revision: String,
    peer: Option<String>,
    pub(crate) comparisons: Vec<Comparison>,
    pub(crate) memory: Vec<MemoryComparison>,
}

impl Report {
    pub(crate) fn new(peer: Option<String>) -> Self {
        Self {
            machine: MachineInfo::current(),
            revision: CodeVersion::current().revision,
            peer,
            comparisons: Vec::new(),
            memory: Vec::new(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let MachineInfo {
            cpu, threads, os, gpu, ..
        } = &self.machine;
        if let Some(gpu) = gpu {
            writeln!(f, "{gpu}; on")?;
        }
        writeln!(f, "{cpu}, {threads} threads, {os}; revision {}", self.revision)?;
        for comparison in &self.comparisons {
            writeln!(f, "{comparison}")?;
        }
        for memory in &self.memory {
            writeln!(f, "{memory}")?;
        }
        match &self.peer {
            Some(peer) => write!(
                f,
                "Columns: median here, in {peer}, and how many times faster: median, min, max. xnor-...: against our own f32."
            ),
            None => write!(f, "Column: median step. --peer-python PYTHON adds PyTorch."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(seconds: [f64; 5], ste: f64) -> Vec<(Workload, Comparison)> {
        let comparison = |name: &str, ours: f64| Comparison::new(name.to_owned(), vec![ours], vec![2.0 * ours]);
        let steps = super::super::COMMITTED.into_iter().zip(seconds);
        steps
            .map(|(percent, s)| (Workload::Freezing(percent), comparison("step", s)))
            .chain([(Workload::Ste, comparison("ste", ste))])
            .collect()
    }

    #[test]
    fn ratios_are_taken_turn_by_turn() {
        let comparison = Comparison::new("x".to_owned(), vec![1.0, 2.0, 4.0], vec![3.0, 2.0, 8.0]);
        assert_eq!((comparison.ours_s, comparison.peer_s), (2.0, Some(3.0)));
        assert_eq!(
            comparison.ratio,
            Some(Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        assert_eq!(Comparison::new("x".to_owned(), vec![1.0, 2.0], vec![]).ours_s, 1.5);
    }

    /// Trapezoids of 8, 6, 4, 2, 0: mean 4. The peer is twice as slow; its STE step takes 20.
    #[test]
    fn a_schedule_is_the_mean_over_the_plan() {
        let found = schedules(BenchNetwork::ResNet20, &measured([8.0, 6.0, 4.0, 2.0, 0.0], 10.0));
        assert_eq!(found[0].name, "resnet20-schedule");
        assert_eq!((found[0].ours_s, found[0].peer_s), (4.0, Some(8.0)));
        assert_eq!(found[1].name, "resnet20-schedule-vs-ste");
        assert_eq!(found[1].ratio.map(|r| r.median), Some(5.0));
        // Turn by turn: a slow turn of one point is a slow turn of the schedule.
        let two = |ours: [f64; 2]| Comparison::new("step".to_owned(), ours.to_vec(), vec![6.0, 6.0]);
        let points = super::super::COMMITTED.map(|percent| (Workload::Freezing(percent), two([3.0, 2.0])));
        let spread = schedules(BenchNetwork::ResNet20, &points)[0].ratio.expect("a ratio");
        assert_eq!((spread.min, spread.median, spread.max), (2.0, 2.5, 3.0));
        let incomplete = &measured([1.0; 5], 1.0)[1..];
        assert!(
            schedules(BenchNetwork::ResNet20, incomplete).is_empty(),
            "nothing frozen was not measured"
        );
    }
}
