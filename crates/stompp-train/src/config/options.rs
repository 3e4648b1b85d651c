//! Options: the fields of [`RunConfig`] for the command line, help, errors and the comparison of runs.
//!
//! `options/table.rs` defines each option once; the functions here look options up and read their values. Values and defaults are
//! in [`RunConfig`]. This module must not depend on a command-line parser: `stompp-cli` builds its arguments from the table.

mod table;

pub use table::GROUPS;

use super::{ConfigError, RunConfig};
use std::str::FromStr;
use toml::{Table, Value};

/// Options that help shows under one heading.
#[derive(Clone, Copy, Debug)]
pub struct OptionGroup {
    /// The heading.
    pub heading: &'static str,
    /// The options, in the order of the help text.
    pub options: &'static [ConfigOption],
}

/// One option: a field of [`RunConfig`] that the command line can set.
#[derive(Clone, Copy, Debug)]
pub struct ConfigOption {
    /// Name on the command line, without the dashes.
    pub name: &'static str,
    /// Other names that the command line accepts, without the dashes; help does not show them.
    pub aliases: &'static [&'static str],
    /// Field of the configuration, with its section: `training.duration`.
    pub field: &'static str,
    /// Type of the value.
    pub value: ValueType,
    /// Text that help shows as the default if the field has no value.
    pub unset: Option<&'static str>,
    /// Whether the value changes the result of a run. A run is resumed only if all these options have equal values.
    pub changes_result: bool,
    /// The help text, without the default.
    pub help: &'static str,
}

/// Type of an option's value, with its placeholder in help.
#[derive(Clone, Copy, Debug)]
pub enum ValueType {
    /// One of these names.
    Choice(fn() -> Vec<&'static str>),
    /// Text that the type of the field parses.
    Text(&'static str),
    /// A [`Time`](super::Time). On the command line, a number without a unit counts optimizer steps.
    Time,
    /// A whole number.
    Integer(&'static str),
    /// A number.
    Number(&'static str),
    /// `true` or `false`.
    Boolean,
}

impl ValueType {
    /// The placeholder for the value in help.
    pub fn placeholder(self) -> &'static str {
        match self {
            Self::Choice(_) => "NAME",
            Self::Time => "TIME",
            Self::Boolean => "BOOL",
            Self::Text(placeholder) | Self::Integer(placeholder) | Self::Number(placeholder) => placeholder,
        }
    }
}

/// The values that the options have in a configuration.
#[derive(Clone, Debug)]
pub struct OptionValues(Table);

impl OptionValues {
    /// The values in `config`.
    pub fn new(config: &RunConfig) -> Self {
        Self(to_table(config))
    }

    /// The value of an option, in command-line syntax; [`ConfigOption::unset`] if its field has no value.
    pub fn get(&self, option: &ConfigOption) -> String {
        match get(&self.0, option.field) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => option.unset.unwrap_or_default().to_owned(),
        }
    }
}

/// Every option, in the order of the help text.
pub fn all() -> impl Iterator<Item = &'static ConfigOption> {
    GROUPS.iter().flat_map(|group| group.options)
}

/// The option with this name or alias, written without dashes.
pub fn by_name(name: &str) -> Option<&'static ConfigOption> {
    all().find(|option| option.names().any(|other| other == name))
}

/// The option that sets this field, such as `training.duration`.
pub fn by_field(field: &str) -> Option<&'static ConfigOption> {
    all().find(|option| option.field == field)
}

impl ConfigOption {
    /// The name and all aliases.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// The help text, with the value in `defaults` as the default.
    pub fn help_with_default(&self, defaults: &OptionValues) -> String {
        format!("{} [default: {}]", self.help, defaults.get(self))
    }

    /// Parses a value from the command line and checks that the field accepts it.
    ///
    /// # Errors
    /// Returns a message if the text is not of the option's type, or the field does not accept it.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let value = match self.value {
            ValueType::Choice(_) | ValueType::Text(_) => Value::String(text.to_owned()),
            ValueType::Time => {
                let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
                Value::String(format!("{text}{}", if is_number { "ba" } else { "" }))
            }
            ValueType::Integer(_) => Value::Integer(number(text, "a whole number")?),
            ValueType::Number(_) => Value::Float(number(text, "a number")?),
            ValueType::Boolean => Value::Boolean(number(text, "true or false")?),
        };
        let mut table = Table::new();
        set(&mut table, self.field, value.clone());
        let read: Result<RunConfig, _> = table.try_into();
        read.map(|_| value).map_err(|error| error.message().to_owned())
    }
}

impl RunConfig {
    /// A copy of this configuration with new values for some options.
    ///
    /// # Errors
    /// Returns [`ConfigError::Toml`] if a field does not accept its value. Values from [`ConfigOption::parse`] are always accepted.
    pub fn with_options<'a>(
        &self,
        values: impl IntoIterator<Item = (&'a ConfigOption, Value)>,
    ) -> Result<Self, ConfigError> {
        let mut table = to_table(self);
        for (option, value) in values {
            set(&mut table, option.field, value);
        }
        table.try_into().map_err(ConfigError::Toml)
    }
}

fn number<T: FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {expected}"))
}

/// The configuration as TOML, without the fields that have no value.
pub(super) fn to_table(config: &RunConfig) -> Table {
    Table::try_from(config).expect("a configuration is a TOML table")
}

/// Sets a field, such as `data.path`, and adds its section if it is missing.
fn set(table: &mut Table, field: &str, value: Value) {
    match field.split_once('.') {
        None => {
            table.insert(field.to_owned(), value);
        }
        Some((section, name)) => {
            let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
            let section = section.as_table_mut().expect("sections of a configuration are tables");
            section.insert(name.to_owned(), value);
        }
    }
}

fn get<'a>(table: &'a Table, field: &str) -> Option<&'a Value> {
    match field.split_once('.') {
        None => table.get(field),
        Some((section, name)) => table.get(section)?.get(name),
    }
}

/// Builds a group of the table.
const fn group(heading: &'static str, options: &'static [ConfigOption]) -> OptionGroup {
    OptionGroup { heading, options }
}

/// Builds an option that changes the result of a run.
const fn option(name: &'static str, field: &'static str, value: ValueType, help: &'static str) -> ConfigOption {
    ConfigOption {
        name,
        aliases: &[],
        field,
        value,
        unset: None,
        changes_result: true,
        help,
    }
}

impl ConfigOption {
    /// Sets other names that the command line accepts.
    const fn with_aliases(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// Sets the text that help shows as the default if the field has no value.
    const fn with_unset(self, default: &'static str) -> Self {
        Self {
            unset: Some(default),
            ..self
        }
    }

    /// Allows a run to be resumed with another value. For options that locate the images (the images themselves are compared) or
    /// that choose how to handle a failure.
    const fn keeps_result(self) -> Self {
        Self {
            changes_result: false,
            ..self
        }
    }
}

/// The names of `choices`.
fn names<T: Copy>(choices: &[T], name: fn(T) -> &'static str) -> Vec<&'static str> {
    choices.iter().copied().map(name).collect()
}

#[cfg(test)]
mod tests;
