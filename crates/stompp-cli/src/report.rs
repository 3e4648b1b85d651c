//! Formats errors for the command line: adds the option of each field, and tips.

use crate::options::{fields, typed_for};
use std::path::Path;
use stompp_train::{
    DataError, InitError, TrainError,
    config::{ConfigError, options},
};

/// The message of `error`, followed by tips on further lines.
pub(crate) fn message(error: &anyhow::Error) -> String {
    let Some(ours) = error.downcast_ref::<TrainError>() else {
        return format!("{error:#}");
    };
    let mut lines = vec![with_options(ours)];
    lines.extend(tips(ours).into_iter().map(|tip| format!("  tip: {tip}")));
    lines.join("\n")
}

/// The message of `error`, with the option of each field that it names.
fn with_options(error: &TrainError) -> String {
    let mut text = error.to_string();
    let mut first = None;
    if let TrainError::Config(error) = error
        && let Some(field) = error.field()
        && let Some(option) = typed_for(field)
    {
        let problem = text.strip_prefix(&format!("{field}: ")).unwrap_or(&text);
        text = format!("{option} ({field}): {problem}");
        first = Some(field);
    }
    let differs = |field: &str| matches!(error, TrainError::OtherRun { difference, .. } if difference.field == field);
    let others: Vec<String> = fields()
        .filter(|field| first != Some(*field) && (has_word(&text, field) || differs(field)))
        .filter_map(|field| Some(format!("{field} is {}", typed_for(field)?)))
        .collect();
    if others.is_empty() {
        text
    } else {
        format!("{text} ({})", others.join(", "))
    }
}

/// Whether `text` has the field, such as `data.path`, as a separate word. Always `false` for fields without a section, because their names
/// are also English words.
fn has_word(text: &str, field: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    field.contains('.')
        && text
            .split(|c: char| !inside(c))
            .any(|word| word.trim_end_matches('.') == field)
}

fn tips(error: &TrainError) -> Vec<String> {
    match error {
        TrainError::Config(ConfigError::File { source, .. }) => {
            let option = unknown_field(source.message()).and_then(|name| options::by_name(&name.replace('_', "-")));
            let tip = |option: &options::ConfigOption| format!("--{} is the field {}", option.name, option.field);
            option.map(tip).into_iter().collect()
        }
        TrainError::OtherRun { path, .. } => {
            let run = run_dir_of(path).display();
            vec![
                format!("`stompp train --out {run}` resumes the run with its own options"),
                format!("--continue {run} --steps TIME --out NEW continues from its end, in a new run"),
                format!("--init-from {run} --out NEW starts a new run with its weights"),
                format!("--config {run}/config.toml --out NEW starts a new run with its options and the given changes"),
                "--fresh --force removes the run and starts over".to_owned(),
            ]
        }
        TrainError::RunExists { path, .. } => vec![format!(
            "`stompp train --out {}` resumes the existing run; --fresh --force removes it",
            path.display()
        )],
        TrainError::OtherImages { path, same_length, .. } => {
            let run = run_dir_of(path).display();
            if *same_length {
                vec!["--reindex resumes with the current images".to_owned()]
            } else {
                vec![format!(
                    "an epoch now has another number of steps, so this run cannot resume with these images; --init-from \
                     {run}/checkpoints/best.safetensors --out NEW (or another checkpoint) starts a new run with its weights"
                )]
            }
        }
        TrainError::Unfinished { path, .. } => vec![
            format!("`stompp train --out {}` resumes the run", path.display()),
            "--checkpoint best|last|STEP|FILE uses one of its checkpoints".to_owned(),
        ],
        TrainError::Init {
            path,
            source: InitError::Unfinished,
        } => vec![
            format!("`stompp train --out {}` resumes the run", path.display()),
            format!(
                "--init-from {}/checkpoints/best.safetensors loads the weights of a checkpoint",
                path.display()
            ),
        ],
        TrainError::Data(DataError::BadImage { .. } | DataError::Read { .. }) => vec![
            "--on-bad-image skip leaves out images that cannot be read (at most 1 % of a set, or 10 images of a small set); to resume a \
             run, add it to the same command, or repair the file"
                .to_owned(),
        ],
        TrainError::NonFinite { .. } => vec![
            "use a lower --learning-rate; --on-divergence restore halves it automatically, once".to_owned(),
        ],
        _ => Vec::new(),
    }
}

/// The name of the field in a TOML error about an unknown field.
fn unknown_field(message: &str) -> Option<&str> {
    let name = message.strip_prefix("unknown field `")?;
    Some(name.split_once('`')?.0)
}

/// The directory of the run that a file belongs to. Checkpoints are one folder deeper than other files.
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

    /// Each of these configurations is rejected because of the field in the expected message.
    #[test]
    fn errors_name_option_and_field() {
        for (text, expected) in [
            (
                "training.learning_rate = 0.0",
                "--learning-rate (training.learning_rate): 0: ",
            ),
            ("training.momentum = 1.5", "--momentum (training.momentum): 1.5: "),
            (
                "training.weight_decay = -1.0",
                "--weight-decay (training.weight_decay): -1: ",
            ),
            (
                "method.weight_surrogate = 'blocked'",
                "--weight-surrogate (method.weight_surrogate): blocked: ",
            ),
            ("data.path = 'x'", "--data (data.path): data set synthetic10 "),
            ("network.width = 0", "--width (network.width): width is 0: "),
            (
                "data.image_size = 1",
                "--image-size (data.image_size): image size is 1: ",
            ),
        ] {
            let message = refused(text);
            assert!(message.starts_with(expected), "{message}");
        }
        let difference = RunConfig::default().difference(&RunConfig::from_toml("seed = 1").unwrap());
        let other = TrainError::OtherRun {
            path: "run/config.toml".into(),
            difference: difference.unwrap(),
        };
        let message = with_options(&other);
        assert!(
            message.ends_with("seed was 0, now it is 1 (seed is --seed)"),
            "{message}"
        );
    }

    #[test]
    fn an_option_in_a_file_gets_the_name_of_its_field() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[training]\nbatch = 5\n").unwrap();
        let error = TrainError::from(RunConfig::load(&file).unwrap_err());
        assert_eq!(tips(&error), ["--batch-size is the field training.batch_size"]);
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
