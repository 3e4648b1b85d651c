//! Tips for options and commands of other programs: each names the option or command of `stompp`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use stompp_train::config::options;

/// Options of other programs, with tips.
const OPTIONS: &[(&str, &str)] = &[
    (
        "--resume",
        "`stompp train --out RUN` automatically resumes an interrupted run",
    ),
    (
        "--resume-from",
        "`stompp train --out RUN` automatically resumes an interrupted run",
    ),
    ("--epochs", "--steps 20ep trains for 20 epochs"),
    ("--num-epochs", "--steps 20ep trains for 20 epochs"),
    ("--max-epochs", "--steps 20ep trains for 20 epochs"),
    ("--iterations", "--steps 4000 trains for 4000 batches"),
    (
        "--pretrained",
        "--init-from FILE starts with the weights of a safetensors file or a run",
    ),
    (
        "--weights",
        "--init-from FILE starts with the weights of a safetensors file or a run",
    ),
    ("--evaluate", "`stompp eval RUN` evaluates a trained network"),
    ("--gpu", "--device cuda trains on a GPU"),
    ("--cuda", "--device cuda trains on a GPU"),
    (
        "--workers",
        "--threads N sets the number of threads that compute and read images",
    ),
    (
        "--num-workers",
        "--threads N sets the number of threads that compute and read images",
    ),
    ("--wd", "--weight-decay W"),
    ("--opt", "--optimizer NAME"),
    ("--scheduler", "--learning-rate-schedule NAME"),
    (
        "--warmup",
        "--learning-rate-warm-up TIME; --warm-up is the time before the first window",
    ),
    ("--smoothing", "--label-smoothing S"),
    ("--clip-grad", "--clip-gradients NORM"),
    ("--num-classes", "--classes N"),
    // Not reached for commands that have this option.
    (
        "--data",
        "the folder or archive is an argument without option: `stompp data check PATH`",
    ),
    ("--save-every", "--checkpoint-every TIME"),
    ("--eval-every", "--evaluate-every TIME"),
    ("--overwrite", "--fresh --force removes the existing run"),
];

/// Commands that do not exist, with tips.
const COMMANDS: &[(&str, &str)] = &[
    ("classify", "`stompp predict RUN IMAGE` classifies images"),
    (
        "deploy",
        "`stompp pack RUN --out net.stompp` writes the network as a small file",
    ),
    ("test", "`stompp eval RUN` evaluates a trained network"),
    ("evaluate", "`stompp eval RUN` evaluates a trained network"),
    ("validate", "`stompp eval RUN` evaluates a trained network"),
    (
        "resume",
        "`stompp train --out RUN` automatically resumes an interrupted run",
    ),
    ("continue", "`stompp train --continue RUN --steps TIME --out NEW`"),
    ("download", "`stompp data fetch NAME`"),
];

/// Replaces the most similar name in the error by a tip, if there is one.
pub(crate) fn with_suggestion(mut error: clap::Error) -> clap::Error {
    let (kind, names) = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, OPTIONS),
        ErrorKind::InvalidSubcommand => (ContextKind::InvalidSubcommand, COMMANDS),
        _ => return error,
    };
    let Some(ContextValue::String(typed)) = error.get(kind) else {
        return error;
    };
    let name = typed.split('=').next().unwrap_or(typed);
    let known = names.iter().find(|(other, _)| *other == name);
    if let Some(tip) = known.map(|(_, tip)| (*tip).to_owned()).or_else(|| field_tip(name)) {
        let tip = tip.into();
        error.remove(ContextKind::SuggestedArg);
        error.remove(ContextKind::SuggestedSubcommand);
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// The tip for a field of `config.toml` that was typed as an option, with or without its section. `None` for the option's own name, which
/// another command has.
fn field_tip(typed: &str) -> Option<String> {
    let name = typed.strip_prefix("--")?;
    let typed = name.replace('-', "_");
    let is_field = |field: &str| field == typed || field.split_once('.').is_some_and(|(_, name)| name == typed);
    let option = options::all().find(|option| is_field(option.field))?;
    (option.name != name).then(|| format!("--{} sets {}", option.name, option.field))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_leads_to_its_option() {
        let steps = Some("--steps sets training.duration".to_owned());
        assert_eq!(field_tip("--duration"), steps);
        assert_eq!(field_tip("--training.duration"), steps);
        assert_eq!(field_tip("--nothing"), None);
        assert_eq!(field_tip("--dataset"), None, "the command does not have it");
    }
}
