//! What is said of an error: fields by the options that set them, and what to do about it.

use crate::options;
use std::path::Path;
use stompp_train::{DataError, InitError, TrainError, config::ConfigError};

/// The message of `error` and, on further lines, what helps.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let Some(ours) = error.downcast_ref::<TrainError>() else {
        return format!("{error:#}");
    };
    let mut lines = vec![with_options(ours)];
    lines.extend(tips(ours).into_iter().map(|tip| format!("  tip: {tip}")));
    lines.join("\n")
}

/// The message, in which each field of a configuration has its option beside it.
fn with_options(error: &TrainError) -> String {
    let mut text = error.to_string();
    if let TrainError::Config(ConfigError::Field { field, .. }) = error
        && let Some(flag) = options::flag(field)
        && let Some(rest) = text.strip_prefix(field)
    {
        text = format!("--{flag} ({field}){rest}");
    }
    let named: Vec<String> = options::fields()
        .filter(|(flag, field)| has_word(&text, field) && !text.contains(&format!("--{flag} ({field})")))
        .map(|(flag, field)| format!("{field} is --{flag}"))
        .collect();
    if named.is_empty() {
        text
    } else {
        format!("{text} ({})", named.join(", "))
    }
}

/// Whether `text` has the field, such as `data.path`, as a word of its own. Fields without a section are words of English, too.
fn has_word(text: &str, field: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    field.contains('.')
        && text
            .split(|c: char| !inside(c))
            .any(|word| word.trim_end_matches('.') == field)
}

fn tips(error: &TrainError) -> Vec<String> {
    match error {
        TrainError::OtherRun { path, .. } => {
            let run = run_dir_of(path).display();
            vec![
                format!("`stompp train --out {run}` goes on with the run as it is"),
                format!("--continue {run} --steps TIME --out NEW trains on from its end, in a new run"),
                format!("--init-from {run} --out NEW begins a new run with its weights"),
                format!("--config {run}/config.toml --out NEW begins the same run with the options that are given beside it"),
                "--fresh --force removes the run and starts over".to_owned(),
            ]
        }
        TrainError::RunExists { path, .. } => vec![format!(
            "`stompp train --out {}` goes on with the run that is there; --fresh --force removes it",
            path.display()
        )],
        TrainError::OtherImages { path, same_length, .. } => {
            let run = run_dir_of(path).display();
            if *same_length {
                vec!["--reindex goes on with the images as they are now".to_owned()]
            } else {
                vec![format!(
                    "an epoch has another number of steps now, so this run cannot go on with them; --init-from \
                     {run}/checkpoints/best.safetensors --out NEW (or another checkpoint) begins a new run with its weights"
                )]
            }
        }
        TrainError::Unfinished { path, .. } => vec![
            format!("`stompp train --out {}` goes on with it", path.display()),
            "--checkpoint best|last|STEP|FILE evaluates one of its checkpoints".to_owned(),
        ],
        TrainError::Init {
            path,
            source: InitError::Unfinished,
        } => vec![
            format!("`stompp train --out {}` goes on with it", path.display()),
            format!(
                "--init-from {}/checkpoints/best.safetensors takes the weights of a checkpoint",
                path.display()
            ),
        ],
        TrainError::Data(DataError::BadImage { .. } | DataError::Read { .. }) => vec![
            "--on-bad-image skip leaves out images that cannot be read (at most 1 % of a set, of a small one 10); the same command, with it or after \
             the file is repaired, goes on with a run"
                .to_owned(),
        ],
        TrainError::NonFinite { .. } => vec![
            "a lower --learning-rate; --on-divergence restore halves it once by itself".to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// The directory of the run that a file is of: a checkpoint lies one folder deeper than the others.
fn run_dir_of(file: &Path) -> &Path {
    let folder = file.parent().unwrap_or(file);
    match folder.file_name() {
        Some(name) if name == "checkpoints" => folder.parent().unwrap_or(folder),
        _ => folder,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_train::RunConfig;

    fn refused(text: &str) -> String {
        let error = RunConfig::from_toml(text).unwrap().check().unwrap_err();
        message(&anyhow::Error::from(TrainError::from(error)))
    }

    #[test]
    fn a_field_has_its_option_beside_it() {
        let message = refused("training.duration = '5%'");
        assert!(message.starts_with("--steps (training.duration): 5%"), "{message}");
        let message = refused("data = { holdout = 5, test_limit = 5 }");
        assert!(message.starts_with("--test-limit (data.test_limit): 5"), "{message}");
        assert!(message.ends_with("(data.holdout is --holdout)"), "{message}");
    }

    #[test]
    fn a_field_is_a_word_of_its_own() {
        assert!(has_word("see data.path.", "data.path") && has_word("(data.path)", "data.path"));
        assert!(!has_word("data.paths", "data.path") && !has_word("the seed", "seed"));
    }

    #[test]
    fn the_run_of_a_file() {
        assert_eq!(run_dir_of(Path::new("a/config.toml")), Path::new("a"));
        assert_eq!(
            run_dir_of(Path::new("a/checkpoints/step-1.safetensors")),
            Path::new("a")
        );
    }
}
