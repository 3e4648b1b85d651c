//! `reproduce --slurm`: a script that trains each run in a task of a Slurm job array, and then writes the report.

use super::{Options, preview};
use crate::usage::UsageError;
use anyhow::{Context, Result};
use std::path::{self, Path};
use std::{env, fs};
use stompp_experiments::{Shard, Sweep};

/// Most tasks of an array. Slurm's default `MaxArraySize` is 1001, and the number of a task must be below it.
const MAX_TASKS: usize = 1000;

/// File name of the script, in the folder of the report.
const SCRIPT: &str = "slurm.sh";

/// The script without its values.
const TEMPLATE: &str = include_str!("slurm.sh");

/// Writes the script for the runs of `sweep` that have not ended, and prints how to submit it. Trains nothing.
///
/// # Errors
/// Returns a [`UsageError`] if a path is not valid UTF-8, and an error if the script cannot be written.
pub(super) fn write(options: &Options, sweep: &Sweep) -> Result<()> {
    if !options.quiet {
        preview::announce_skipped(sweep);
    }
    let parts = sweep.parts(MAX_TASKS);
    if parts.is_empty() {
        stompp_console::outln!("Every selected run has ended. The same command without --slurm writes the report.");
        return Ok(());
    }
    let program = env::current_exe().context("cannot find this program")?;
    let script = Script::new(options, &program, sweep, parts)?;
    let file = Path::new(&script.logs).with_file_name(SCRIPT);
    fs::create_dir_all(&script.logs).with_context(|| format!("cannot create {}", script.logs))?;
    stompp_files::replace(&file, script.text()?.as_bytes())?;
    stompp_console::outln!("Written: {}. Submit it with", script.tasks());
    stompp_console::outln!("  bash {} [OPTIONS OF sbatch]", quote(&text(&file)?)?);
    Ok(())
}

/// The values of a script. Paths are absolute.
struct Script {
    experiment: String,
    /// The command for readers, without paths.
    command: String,
    /// The program and its arguments.
    reproduce: Vec<String>,
    /// Folder of all results.
    out: String,
    /// Folder of the logs.
    logs: String,
    /// Number of runs in `parts`.
    runs: usize,
    /// The parts to train. A list begins when those before it have ended.
    parts: Vec<Vec<Shard>>,
    /// Number of tasks at a time.
    at_a_time: Option<usize>,
}

impl Script {
    /// Makes the script in which `program` trains `parts` of `sweep`.
    ///
    /// # Errors
    /// Returns a [`UsageError`] if a path is not valid UTF-8, and an error if a path cannot be made absolute.
    fn new(options: &Options, program: &Path, sweep: &Sweep, parts: Vec<Vec<Shard>>) -> Result<Self> {
        let given = options.sweep();
        let out = absolute(&given.out)?;
        // With an archive the report also knows of runs that diverged. Their directories do not tell.
        let archive = match &given.archive {
            Some(archive) => absolute(archive.folder())?,
            None => text(&Path::new(&out).join("archive"))?,
        };
        let mut reproduce = vec![absolute(program)?, "reproduce".to_owned()];
        reproduce.extend(options.arguments(absolute)?);
        reproduce.extend(["--out", &out, "--archive", &archive].map(str::to_owned));
        reproduce.extend(given.only.into_iter().flat_map(|only| ["--only".to_owned(), only]));
        Ok(Self {
            experiment: given.report.unwrap_or_default(),
            command: options.command(),
            reproduce,
            out,
            logs: absolute(&sweep.report_folder().join("slurm"))?,
            runs: sweep.selected().filter(|entry| entry.is_open()).count(),
            parts,
            at_a_time: given.jobs,
        })
    }

    /// What the script trains, for readers.
    fn tasks(&self) -> String {
        let (runs, tasks) = (self.runs, self.parts.iter().map(Vec::len).sum::<usize>());
        let tasks = match self.parts.len() {
            1 => format!("{runs} runs in an array of {tasks} tasks"),
            arrays => format!("{runs} runs in {arrays} arrays, one after the other, of {tasks} tasks in total"),
        };
        if self.parts() == MAX_TASKS {
            return format!("{tasks} (an array has at most {MAX_TASKS})");
        }
        tasks
    }

    /// The number of parts of the whole sweep.
    fn parts(&self) -> usize {
        self.parts.iter().flatten().next().map_or(0, |shard| shard.parts())
    }

    /// The whole script.
    fn text(&self) -> Result<String> {
        let reproduce: Vec<_> = self.reproduce.iter().map(|word| quote(word)).collect::<Result<_>>()?;
        let limit = self.at_a_time.map_or_else(String::new, |tasks| format!("%{tasks}"));
        let arrays: Vec<_> = self.parts.iter().map(|parts| task_numbers(parts) + &limit).collect();
        let values = [
            "# Not `cargo`: the program is built once, before.".to_owned(),
            format!("reproduce=({})", reproduce.join(" ")),
            format!("out={}", quote(&self.out)?),
            format!("logs={}", quote(&self.logs)?),
            "# The sweep has this many parts; a task trains the part of its number.".to_owned(),
            format!("parts={}", self.parts()),
            format!("arrays=({})", arrays.join(" ")),
        ];
        // The values come last, because they may contain anything.
        Ok(TEMPLATE
            .replace("@COMMAND@", &self.command)
            .replace("@TASKS@", &self.tasks())
            .replace("@EXPERIMENT@", &self.experiment)
            .replacen("@VALUES@", &values.join("\n"), 1))
    }
}

/// The numbers of `parts`, as `sbatch --array` reads them: `1-4,7`.
fn task_numbers(parts: &[Shard]) -> String {
    let mut ranges: Vec<[usize; 2]> = Vec::new();
    for part in parts.iter().map(|shard| shard.part()) {
        match ranges.last_mut() {
            Some([_, last]) if *last + 1 == part => *last = part,
            _ => ranges.push([part, part]),
        }
    }
    let text = ranges.iter().map(|[first, last]| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(",")
}

/// The text of an absolute path to the same file.
fn absolute(path: &Path) -> Result<String> {
    text(&path::absolute(path).with_context(|| format!("cannot find {}", path.display()))?)
}

fn text(path: &Path) -> Result<String> {
    let refused = || UsageError::new(format!("{}: --slurm needs paths that are valid UTF-8", path.display()));
    Ok(path.to_str().ok_or_else(refused)?.to_owned())
}

/// Quotes a word for the shell.
fn quote(word: &str) -> Result<String> {
    let quoted = shlex::try_quote(word).with_context(|| format!("cannot quote {word:?}"))?;
    Ok(quoted.into_owned())
}

#[cfg(test)]
mod tests;
