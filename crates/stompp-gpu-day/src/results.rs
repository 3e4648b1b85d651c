//! The folder of results: a few small files.

use crate::training::{METHODS, run_dir};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::Path,
};

/// Limit of a log in bytes. Its beginning and its end are kept.
const LOG: u64 = 768 << 10;

/// Limit of the metrics of a run in bytes. Their end is kept.
const METRICS: u64 = 3 << 20;

/// Writes `logs.txt`: the log of every step, in the order of `names`.
pub(crate) fn logs(work: &Path, results: &Path, names: &[String]) -> Result<()> {
    let mut all = Vec::new();
    for name in names {
        let file = work.join("logs").join(format!("{name}.log"));
        if file.exists() {
            writeln!(all, "==== {name}")?;
            all.extend(shortened(&file, LOG / 4, LOG - LOG / 4)?);
            writeln!(all)?;
        }
    }
    replace(&results.join("logs.txt"), &all)
}

/// Writes `metrics.jsonl`: every line of every run, with the method's name in `run`.
pub(crate) fn metrics(work: &Path, results: &Path) -> Result<()> {
    let mut all = Vec::new();
    for (name, _) in METHODS {
        let file = run_dir(work, name).join("metrics.jsonl");
        if !file.exists() {
            continue;
        }
        let text = shortened(&file, 0, METRICS)?;
        // Truncated or incomplete lines are not JSON objects.
        let lines = text
            .split(|byte| *byte == b'\n')
            .filter_map(|line| serde_json::from_slice(line).ok());
        for mut line in lines.filter(serde_json::Value::is_object) {
            line["run"] = name.into();
            writeln!(all, "{line}")?;
        }
    }
    if all.is_empty() {
        return Ok(());
    }
    replace(&results.join("metrics.jsonl"), &all)
}

/// The JSON written by a step, if any.
pub(crate) fn json(file: &Path) -> Option<serde_json::Value> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// The first `head` and last `tail` bytes of a file, or the whole file if it is not longer.
fn shortened(path: &Path, head: u64, tail: u64) -> Result<Vec<u8>> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let len = file.metadata()?.len();
        let mut bytes = Vec::new();
        if len <= head + tail {
            file.read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        (&mut file).take(head).read_to_end(&mut bytes)?;
        write!(bytes, "\n[... {} bytes left out ...]\n", len - head - tail)?;
        file.seek(SeekFrom::Start(len - tail))?;
        file.take(tail).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().with_context(|| format!("reading {}", path.display()))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    stompp_files::replace(path, bytes).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_keeps_its_ends() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        fs::write(&file, "0123456789").unwrap();
        assert_eq!(shortened(&file, 4, 6).unwrap(), b"0123456789");
        assert_eq!(shortened(&file, 3, 2).unwrap(), b"012\n[... 5 bytes left out ...]\n89");
    }

    /// Long metrics and long logs are shortened to the limits.
    #[test]
    fn results_stay_small() {
        let folder = tempfile::tempdir().unwrap();
        let (work, results) = (folder.path().join("work"), folder.path().join("results"));
        fs::create_dir_all(work.join("logs")).unwrap();
        fs::create_dir_all(&results).unwrap();
        let names: Vec<String> = (0..16).map(|step| format!("step{step}")).collect();
        for name in &names {
            fs::write(work.join("logs").join(format!("{name}.log")), "x".repeat(2 << 20)).unwrap();
        }
        for (name, _) in METHODS {
            fs::create_dir_all(run_dir(&work, name)).unwrap();
            let line = format!("{{\"kind\":\"epoch\",\"x\":\"{}\"}}\n", "x".repeat(1000));
            fs::write(run_dir(&work, name).join("metrics.jsonl"), line.repeat(6000)).unwrap();
        }
        logs(&work, &results, &names).unwrap();
        metrics(&work, &results).unwrap();
        for file in ["logs.txt", "metrics.jsonl"] {
            let len = fs::metadata(results.join(file)).unwrap().len();
            assert!((8 << 20..16 << 20).contains(&len), "{file}: {len}");
        }
        let text = fs::read_to_string(results.join("metrics.jsonl")).unwrap();
        let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(
            (&first["run"], &first["kind"]),
            (&"ste-clipped".into(), &"epoch".into())
        );
    }
}
