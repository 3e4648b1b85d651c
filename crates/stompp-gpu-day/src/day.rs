//! One call of the program: runs all remaining steps, then the trainings, and writes the results after each.

use crate::{
    Options, UsageError,
    bundle::Bundle,
    machine::MachineTools,
    process::{self, Budget, ProcessEnd},
    results,
    steps::{self, Step},
    summary::{Call, DaySummary, Status, StepRecord, Training},
    training,
};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// A step starts only if at least this share of the call's time is left.
const WORTH_STARTING: f64 = 0.01;

pub(crate) struct Day<'a> {
    options: &'a Options,
    budget: Budget,
    bundle: Bundle,
    work: PathBuf,
    results: PathBuf,
    summary: DaySummary,
}

impl<'a> Day<'a> {
    /// Opens the bundle and the output folder.
    ///
    /// # Errors
    /// Returns [`UsageError`] if `--data` is not a folder, or `--epochs` differs from an earlier call. Also returns an error if the
    /// bundle, the output folder or an earlier summary cannot be used.
    pub(crate) fn open(options: &'a Options, budget: Budget) -> Result<Self> {
        let bundle = Bundle::open(&options.bundle)?;
        if let Some(data) = options.data.as_ref().filter(|data| !data.is_dir()) {
            return Err(UsageError(format!("--data {}: there is no such folder", data.display())).into());
        }
        let made = |name: &str| {
            let folder = options.out.join(name);
            fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
            folder
                .canonicalize()
                .with_context(|| format!("finding {}", folder.display()))
        };
        let (work, results) = (made("work")?, made("results")?);
        made("work/logs")?;
        made("work/runs")?;
        let mut summary = DaySummary::load(&results.join("summary.json"))?;
        if let (Some(wanted), Some(Training { epochs, .. })) = (options.epochs, &summary.training)
            && wanted != *epochs
        {
            let out = options.out.display();
            let problem =
                format!("--epochs {wanted}: the trainings in {out} have {epochs}; omit --epochs, or use another --out");
            return Err(UsageError(problem).into());
        }
        summary.revision = bundle.info.revision.clone();
        summary.stand_in = bundle.info.stand_in;
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        summary.calls.push(Call {
            started_unix: since.map_or(0, |since| since.as_secs()),
            minutes: options.minutes.as_secs_f64() / 60.0,
            seconds: None,
        });
        Ok(Self {
            options,
            budget,
            bundle,
            work,
            results,
            summary,
        })
    }

    /// Runs all remaining steps and trainings. Returns whether no step has failed.
    ///
    /// # Errors
    /// Returns an error if the results cannot be written.
    pub(crate) fn run(mut self) -> Result<bool> {
        self.save()?;
        let machine = MachineTools::detect(self.bundle.info.stand_in);
        self.summary.machine = Some(machine.clone());
        for step in steps::steps(&self.bundle, &machine, &self.work)? {
            self.step(step)?;
        }
        self.train()?;
        if let Some(call) = self.summary.calls.last_mut() {
            call.seconds = Some(self.budget.elapsed().as_secs_f64());
        }
        self.save()?;
        stompp_console::outln!("{}", self.summary);
        stompp_console::outln!("results to copy: {}", self.results.display());
        Ok(self.summary.has_no_failures())
    }

    /// Runs a step, unless its record from an earlier call is final.
    fn step(&mut self, step: Step) -> Result<()> {
        let Step { name, limit, work } = step;
        let built = &self.bundle.info.built;
        if self.summary.step(&name).is_some_and(|record| record.is_final(built)) {
            return Ok(());
        }
        let start = Instant::now();
        let (status, reason) = match work {
            Err(missing) => (Status::Skipped, Some(missing)),
            Ok(_) if self.is_out_of_time() => (Status::CutOff, Some("no time was left".to_owned())),
            Ok(mut command) => {
                stompp_console::outln!("{name} ...");
                let log = self.work.join("logs").join(format!("{name}.log"));
                step_status(process::run(&mut command, &log, limit, &self.budget, &mut || false))
            }
        };
        self.record(name, status, reason, start, limit)
    }

    fn train(&mut self) -> Result<()> {
        let scale = self.bundle.scale();
        let (command, result) = training::speed_run(&self.bundle, &self.work);
        let speed = Step {
            name: "speed".to_owned(),
            limit: Duration::from_secs(90),
            work: Ok(command),
        };
        self.step(speed)?;
        let start = Instant::now();
        let (status, reason) = match &self.options.data {
            None => (Status::Skipped, Some("no --data".to_owned())),
            Some(data) => match training::missing_data(data, scale) {
                Some(missing) => (Status::Skipped, Some(missing)),
                None if self.is_out_of_time() => (Status::CutOff, Some("no time was left".to_owned())),
                None => self.train_on(data, &result)?,
            },
        };
        self.record("training".to_owned(), status, reason, start, Duration::ZERO)
    }

    fn train_on(&mut self, data: &Path, speed_run: &Path) -> Result<(Status, Option<String>)> {
        let scale = self.bundle.scale();
        let data = data
            .canonicalize()
            .with_context(|| format!("finding {}", data.display()))?;
        let mut plan = match (self.summary.training.take(), self.options.epochs) {
            (Some(plan), _) => plan,
            (None, Some(epochs)) => Training {
                epochs,
                ..Training::default()
            },
            (None, None) => match training::epoch_seconds(speed_run, scale) {
                Ok(epoch_s) => Training {
                    epochs: training::epochs_that_fit(self.budget.time_left(), epoch_s, scale.start_s),
                    epoch_seconds: Some(epoch_s),
                    ..Training::default()
                },
                Err(error) => {
                    return Ok((
                        Status::Failed,
                        Some(format!(
                            "the speed was not measured, and --epochs was not given: {error:#}"
                        )),
                    ));
                }
            },
        };
        stompp_console::outln!("training, {} epochs ...", plan.epochs);
        training::update_progress(&self.work, &mut plan);
        let step_status = training::train(&self.bundle, &self.work, &data, &mut plan, &self.budget, |plan| {
            self.summary.training = Some(plan.clone());
            self.summary.save(&self.results.join("summary.json"))
        });
        self.summary.training = Some(plan);
        step_status
    }

    fn is_out_of_time(&self) -> bool {
        self.budget.time_left() < self.options.minutes.mul_f64(WORTH_STARTING)
    }

    fn record(
        &mut self,
        name: String,
        status: Status,
        reason: Option<String>,
        start: Instant,
        limit: Duration,
    ) -> Result<()> {
        let record = StepRecord {
            name,
            status,
            reason,
            seconds: start.elapsed().as_secs_f64(),
            limit_seconds: limit.as_secs_f64(),
            revision: self.bundle.info.revision.clone(),
            built: self.bundle.info.built.clone(),
        };
        stompp_console::outln!("{:<26} {status}, {:.1} s", record.name, record.seconds);
        self.summary.record(record);
        self.save()
    }

    /// Writes all results.
    fn save(&mut self) -> Result<()> {
        self.summary.bench = results::json(&self.work.join("bench.json"));
        self.summary.profile = results::json(&self.work.join("profile.json"));
        let trainings = training::METHODS.iter().map(|(name, _)| format!("train-{name}"));
        let names: Vec<String> = self
            .summary
            .steps
            .iter()
            .map(|step| step.name.clone())
            .chain(trainings)
            .collect();
        results::logs(&self.work, &self.results, &names)?;
        results::metrics(&self.work, &self.results)?;
        self.summary.save(&self.results.join("summary.json"))
    }
}

/// Converts the end of a process to a status and a reason.
fn step_status(ending: Result<ProcessEnd>) -> (Status, Option<String>) {
    match ending {
        Ok(ProcessEnd::Exited(0)) => (Status::Passed, None),
        Ok(ProcessEnd::Exited(code)) => (Status::Failed, Some(format!("exit code {code}"))),
        Ok(ProcessEnd::TimedOut) => (Status::TimedOut, None),
        Ok(ProcessEnd::CutOff | ProcessEnd::Stopped) => (Status::CutOff, None),
        Err(error) => (Status::Failed, Some(format!("{error:#}"))),
    }
}
