//! Builds the arguments of a command from the option table in `stompp_train::config::options`.
//!
//! The table has names, types, defaults and help. This file must not refer to single options.

use crate::checkpoint_args::EVERY_FIELD;
use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};
use std::ffi::OsString;
use std::marker::PhantomData;
use stompp_train::{
    RunConfig,
    config::{
        ConfigError,
        options::{self, ConfigOption, OptionValues, ValueType},
    },
};
use toml::Value;

/// The options that a command has.
pub(crate) trait Selection: Clone + Send + Sync + 'static {
    /// Whether the command has the option `--name`.
    fn has(name: &str) -> bool;

    /// The configuration whose values are the command's defaults.
    fn base() -> RunConfig {
        RunConfig::default()
    }
}

/// Every option.
#[derive(Clone)]
pub(crate) struct All;

impl Selection for All {
    fn has(_: &str) -> bool {
        true
    }
}

/// The options that were given on the command line, with their values.
#[derive(Clone)]
pub(crate) struct Overrides<S: Selection> {
    values: Vec<(&'static ConfigOption, Value)>,
    selection: PhantomData<S>,
}

impl<S: Selection> Overrides<S> {
    /// A copy of `base` with the given values.
    ///
    /// # Errors
    /// Returns a [`ConfigError`] if a field does not accept its value. Each value was already checked when it was parsed.
    pub(crate) fn over(&self, base: &RunConfig) -> Result<RunConfig, ConfigError> {
        base.with_options(self.values.iter().cloned())
    }

    /// The text that was given for `field`, if any.
    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        let found = self.values.iter().find(|(option, _)| option.field == field);
        found.and_then(|(_, value)| value.as_str())
    }
}

/// The options that `S` selects.
fn selected<S: Selection>() -> impl Iterator<Item = &'static ConfigOption> {
    options::all().filter(|option| S::has(option.name))
}

impl<S: Selection> Args for Overrides<S> {
    fn augment_args(command: Command) -> Command {
        let defaults = OptionValues::new(&S::base());
        let groups = options::GROUPS.iter();
        let arguments = groups.flat_map(|group| group.options.iter().map(|option| (group.heading, option)));
        arguments
            .filter(|(_, option)| S::has(option.name))
            .fold(command, |command, (heading, option)| {
                command.arg(argument(option, heading, &defaults))
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Selection> FromArgMatches for Overrides<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Self {
            values: Vec::new(),
            selection: PhantomData,
        };
        overrides.update_from_arg_matches(matches)?;
        Ok(overrides)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let given = selected::<S>().filter_map(|option| Some((option, matches.get_one::<Value>(option.name)?.clone())));
        self.values.extend(given);
        Ok(())
    }
}

fn argument(option: &'static ConfigOption, heading: &'static str, defaults: &OptionValues) -> Arg {
    // `--strict-f32` without a value means true.
    let is_boolean = matches!(option.value, ValueType::Boolean);
    Arg::new(option.name)
        .num_args(if is_boolean { 0..=1 } else { 1..=1 })
        .default_missing_values(is_boolean.then_some("true"))
        .long(option.name)
        .aliases(option.aliases)
        .value_name(option.value.placeholder())
        .help_heading(heading)
        .value_parser(parser(option))
        .help(option.help_with_default(defaults))
}

/// The parser of an option's value. Help lists the possible names.
fn parser(option: &'static ConfigOption) -> ValueParser {
    let named = |names: Vec<&'static str>| {
        PossibleValuesParser::new(names)
            .try_map(|text| option.parse(&text))
            .into()
    };
    match option.value {
        ValueType::Choice(names) => named(names()),
        ValueType::Boolean => named(vec!["true", "false"]),
        _ => (|text: &str| option.parse(text)).into(),
    }
}

/// Every field that errors name and an option sets.
pub(crate) fn fields() -> impl Iterator<Item = &'static str> {
    options::all().map(|option| option.field).chain([EVERY_FIELD])
}

/// The option that sets `field`, as the user typed it: `--lr` or `--learning-rate`.
pub(crate) fn typed_for(field: &str) -> Option<String> {
    let name = match options::by_field(field) {
        Some(option) => name_as_typed(option, std::env::args_os()),
        None if field == EVERY_FIELD => "checkpoint-every",
        None => return None,
    };
    Some(format!("--{name}"))
}

/// The first argument that is a name of the option, or the option's main name if there is none.
fn name_as_typed(option: &ConfigOption, arguments: impl IntoIterator<Item = OsString>) -> &'static str {
    let is_name = |name: &str| option.names().find(|other| *other == name);
    let mut typed = arguments.into_iter().filter_map(|argument| {
        let name = argument.to_str()?.strip_prefix("--")?;
        is_name(name.split('=').next()?)
    });
    typed.next().unwrap_or(option.name)
}

/// Adds the field to an error about the value of an option.
pub(crate) fn name_field(mut error: clap::Error) -> clap::Error {
    let is_value = matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
    // Without a value the placeholder in the argument says what is missing.
    let is_empty =
        matches!(error.get(ContextKind::InvalidValue), Some(ContextValue::String(value)) if value.is_empty());
    if is_value
        && !is_empty
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && let Some(name) = argument.strip_prefix("--")
        && let Some(option) = options::by_name(name.split(' ').next().unwrap_or(name))
    {
        let typed = name_as_typed(option, std::env::args_os());
        let named = ContextValue::String(format!("--{typed} ({})", option.field));
        error.insert(ContextKind::InvalidArg, named);
    }
    error
}

#[cfg(test)]
mod tests;
