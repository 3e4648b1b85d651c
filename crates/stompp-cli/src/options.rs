//! The options that decide a run's result, each defined once: its flag, its field in TOML, its help.
//!
//! Defaults are not written here: they are the library's, read from its default configuration. Nor is checking: an
//! option's value is tried on the library's own reader of TOML.

mod table;

use clap::{
    Arg, ArgMatches, Args, Command, FromArgMatches,
    builder::{PossibleValuesParser, TypedValueParser, ValueParser},
};
use std::marker::PhantomData;
use stompp_train::{RunConfig, config::ConfigError};
use table::{OPTIONS, Opt};
use toml::{Table, Value};

/// How an option's value is written.
#[derive(Clone, Copy)]
enum Kind {
    /// One of these names.
    Name(fn() -> Vec<&'static str>),
    /// Any text that the field reads.
    Text,
    /// A time; a number without a unit means steps.
    Time,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl Kind {
    /// Whether the option may stand without a value.
    fn may_be_bare(self) -> bool {
        matches!(self, Self::Boolean)
    }
}

/// Which options a command has.
pub(crate) trait Selection: Clone + Send + Sync + 'static {
    /// Whether the command has the option `--flag`.
    fn has(flag: &str) -> bool;

    /// The configuration that the command's defaults are those of.
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

/// The options that were given on the command line, as the fields that they set.
#[derive(Clone)]
pub(crate) struct Overrides<S: Selection> {
    fields: Vec<(&'static str, Value)>,
    selection: PhantomData<S>,
}

impl<S: Selection> Overrides<S> {
    /// `base` with these options in place of what it had.
    ///
    /// # Errors
    /// If the result cannot be: single values have been checked when they were parsed.
    pub(crate) fn over(&self, base: &RunConfig) -> Result<RunConfig, ConfigError> {
        let mut table = to_table(base);
        for (field, value) in &self.fields {
            set(&mut table, field, value.clone());
        }
        table.try_into().map_err(ConfigError::Toml)
    }
}

impl<S: Selection> Overrides<S> {
    /// The text that was given for `field`, if it was.
    pub(crate) fn get(&self, field: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(name, _)| *name == field);
        found.and_then(|(_, value)| value.as_str())
    }
}

/// Every option and the field that it sets.
pub(crate) fn fields() -> impl Iterator<Item = (&'static str, &'static str)> {
    let options = OPTIONS.iter().flat_map(|(_, options)| *options);
    options
        .map(|option| (option.flag, option.field))
        .chain([("checkpoint-every", "checkpoints.every")])
}

/// The option that sets `field`.
pub(crate) fn flag(field: &str) -> Option<&'static str> {
    fields().find(|(_, other)| *other == field).map(|(flag, _)| flag)
}

impl<S: Selection> Args for Overrides<S> {
    fn augment_args(command: Command) -> Command {
        let defaults = to_table(&S::base());
        let options = OPTIONS
            .iter()
            .flat_map(|(heading, options)| options.iter().map(move |option| (heading, option)));
        options
            .filter(|(_, option)| S::has(option.flag))
            .fold(command, |command, (heading, option)| {
                // What is true or false is true where nothing follows.
                let bare = option.kind.may_be_bare();
                let argument = Arg::new(option.flag)
                    .num_args(if bare { 0..=1 } else { 1..=1 })
                    .default_missing_values(bare.then_some("true"))
                    .long(option.flag)
                    .aliases(aliases(option.flag))
                    .value_name(option.value)
                    .help_heading(*heading)
                    .value_parser(parser(option))
                    .help(match get(&defaults, option.field) {
                        Some(default) => format!("{} [default: {default}]", option.help),
                        None => option.help.to_owned(),
                    });
                command.arg(argument)
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Selection> FromArgMatches for Overrides<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut overrides = Self {
            fields: Vec::new(),
            selection: PhantomData,
        };
        overrides.update_from_arg_matches(matches)?;
        Ok(overrides)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        let options = OPTIONS.iter().flat_map(|(_, options)| *options);
        let given = options.filter(|option| S::has(option.flag)).filter_map(|option| {
            let value: &Value = matches.get_one(option.flag)?;
            Some((option.field, value.clone()))
        });
        self.fields.extend(given);
        Ok(())
    }
}

/// Other names of an option, which other programs have for it.
fn aliases(flag: &str) -> &'static [&'static str] {
    match flag {
        "learning-rate" => &["lr"],
        "learning-rate-schedule" => &["lr-schedule"],
        "learning-rate-warm-up" => &["lr-warm-up", "lr-warmup"],
        "batch-size" => &["batch"],
        "model" => &["arch"],
        "data" => &["data-dir", "data-path"],
        _ => &[],
    }
}

/// From what was typed to a TOML value that the field takes.
fn parser(option: &'static Opt) -> ValueParser {
    let checked = move |value: Value| -> Result<Value, String> {
        let mut table = Table::new();
        set(&mut table, option.field, value.clone());
        let tried: Result<RunConfig, _> = table.try_into();
        tried.map(|_| value).map_err(|error| error.message().to_owned())
    };
    match option.kind {
        Kind::Name(names) => PossibleValuesParser::new(names()).map(Value::String).into(),
        Kind::Text => (move |text: &str| checked(Value::String(text.to_owned()))).into(),
        Kind::Time => (move |text: &str| {
            let steps = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            checked(Value::String(format!("{text}{}", if steps { "ba" } else { "" })))
        })
        .into(),
        Kind::Integer => {
            (move |text: &str| number::<i64>(text, "a whole number").and_then(|n| checked(n.into()))).into()
        }
        Kind::Number => (move |text: &str| number::<f64>(text, "a number").and_then(|x| checked(x.into()))).into(),
        Kind::Boolean => PossibleValuesParser::new(["true", "false"])
            .map(|text| Value::Boolean(text == "true"))
            .into(),
    }
}

fn number<T: std::str::FromStr>(text: &str, expected: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("expected {expected}"))
}

fn to_table(config: &RunConfig) -> Table {
    Table::try_from(config).expect("a configuration is a TOML table")
}

/// Sets a field, such as `data.path`, making its section if need be.
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

/// A field's value as it would be typed; `None` if it is absent.
fn get(table: &Table, field: &str) -> Option<String> {
    let value = match field.split_once('.') {
        None => table.get(field),
        Some((section, name)) => table.get(section)?.get(name),
    };
    match value? {
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Names of the leaves of a table, with their section.
    fn leaves(table: &Table) -> BTreeSet<String> {
        let nested = |(name, value): (&String, &Value)| match value {
            Value::Table(section) => section.keys().map(|key| format!("{name}.{key}")).collect(),
            _ => vec![name.clone()],
        };
        table.iter().flat_map(nested).collect()
    }

    #[test]
    fn every_field_has_one_option_and_every_option_a_field() {
        let mut full = RunConfig::default();
        full.data.path = Some("x".into());
        full.data.train_limit = Some(1);
        full.data.test_limit = Some(1);
        full.data.labels = Some("x".into());
        full.data.classes = Some(1);
        full.data.holdout = Some(1);
        full.network.width = Some(1);
        full.training.clip_gradients = Some(1.0);
        full.training.init_from = Some("x".into());
        full.training.continue_from = Some("x".into());
        let fields = leaves(&to_table(&full));
        let options: Vec<&Opt> = OPTIONS.iter().flat_map(|(_, options)| *options).collect();
        assert_eq!(options.len(), fields.len());
        assert_eq!(
            options
                .iter()
                .map(|option| option.field.to_owned())
                .collect::<BTreeSet<_>>(),
            fields
        );
    }

    fn parse(arguments: &[&str]) -> Result<RunConfig, clap::Error> {
        let command = Overrides::<All>::augment_args(Command::new("test").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments)?;
        let overrides = Overrides::<All>::from_arg_matches(&matches)?;
        Ok(overrides
            .over(&RunConfig::default())
            .expect("values were checked one by one"))
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(parse(&[]).unwrap(), RunConfig::default());
    }

    #[test]
    fn options_set_their_fields() {
        let config = parse(&[
            "--dataset",
            "cifar10",
            "--data",
            "/x",
            "--steps",
            "4000",
            "--tail",
            "10%",
            "--momentum",
            "0",
            "--seed",
            "7",
            "--augment",
            "false",
            "--strict-f32",
            "--model",
            "resnet32",
            "--refresh",
            "0.1w",
            "--method",
            "ste",
        ])
        .unwrap();
        let expected = "seed = 7\n[data]\ndataset = 'cifar10'\npath = '/x'\naugment = false\n\
            [network]\nmodel = 'resnet32'\n[method]\nname = 'ste'\nrefresh = '0.1w'\ntail = '10%'\n\
            [training]\nduration = '4000ba'\nmomentum = 0.0\n\
            [device]\nstrict_f32 = true";
        assert_eq!(config, RunConfig::from_toml(expected).unwrap());
    }

    #[test]
    fn values_that_a_field_does_not_take_are_refused_by_name() {
        for (flag, value) in [
            ("--model", "vgg16"),
            ("--method", "adam"),
            ("--dataset", "svhn"),
            ("--order", "sideways"),
            ("--refresh", "0"),
            ("--steps", "20 epochs"),
            ("--batch-size", "-1"),
            ("--batch-size", "1.5"),
            ("--learning-rate", "fast"),
            ("--augment", "maybe"),
        ] {
            let message = parse(&[&format!("{flag}={value}")]).unwrap_err().to_string();
            assert!(message.contains(flag) && message.contains(value), "{message}");
        }
    }
}
