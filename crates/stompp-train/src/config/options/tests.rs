//! Tests of every entry of the table: its names, its field, its help, and its role when a run is resumed.

use super::*;
use crate::{Start, TrainError, run_dir::RunDir};
use std::collections::BTreeSet;

/// A value that the option accepts and that is not its default.
fn other_value(option: &ConfigOption) -> Value {
    let choices = match option.value {
        ValueType::Choice(names) => names(),
        _ => vec!["true", "false", "7", "0.25", "3ep", "resnet8", "0.3w"],
    };
    let default = get(&to_table(&RunConfig::default()), option.field).cloned();
    let mut values = choices.into_iter().filter_map(|text| option.parse(text).ok());
    values.find(|value| Some(value) != default.as_ref()).expect(option.name)
}

/// The default configuration with another value for one option.
fn changed(option: &ConfigOption) -> RunConfig {
    let values = [(option, other_value(option))];
    RunConfig::default().with_options(values).expect(option.name)
}

/// Names of the fields of a configuration, with their sections.
fn fields(config: &RunConfig) -> BTreeSet<String> {
    let names = |(name, value): (&String, &Value)| match value {
        Value::Table(section) => section.keys().map(|field| format!("{name}.{field}")).collect(),
        _ => vec![name.clone()],
    };
    to_table(config).iter().flat_map(names).collect()
}

#[test]
fn every_field_has_one_option_and_every_option_a_field() {
    let values = all().map(|option| (option, other_value(option)));
    let full = RunConfig::default().with_options(values).unwrap();
    let options: BTreeSet<String> = all().map(|option| option.field.to_owned()).collect();
    assert_eq!(options, fields(&full));
    assert_eq!(options.len(), all().count(), "no field has two options");
}

#[test]
fn names_and_aliases_are_unique() {
    let names: Vec<&str> = all().flat_map(ConfigOption::names).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    for option in all() {
        assert!(option.names().all(|name| by_name(name).unwrap().field == option.field));
        assert_eq!(by_field(option.field).unwrap().name, option.name);
    }
}

#[test]
fn an_option_changes_its_own_field_only() {
    for option in all() {
        let differences = RunConfig::default().differences(&changed(option));
        let fields: Vec<&str> = differences.iter().map(|difference| &*difference.field).collect();
        assert_eq!(fields, [option.field]);
    }
}

#[test]
fn help_says_what_an_option_does_and_its_default() {
    let default = RunConfig::default();
    let set = fields(&default);
    for option in all() {
        assert!(
            !option.help.is_empty() && !option.help.ends_with('.'),
            "{}",
            option.name
        );
        let value = OptionValues::new(&default).get(option);
        assert!(!value.is_empty(), "help has no default for --{}", option.name);
        assert_eq!(
            option.help_with_default(&OptionValues::new(&default)),
            format!("{} [default: {value}]", option.help)
        );
        assert_eq!(option.unset.is_some(), !set.contains(option.field), "{}", option.name);
    }
}

#[test]
fn a_value_that_is_typed_reads_back() {
    for option in all() {
        let config = changed(option);
        let typed = OptionValues::new(&config).get(option);
        assert_eq!(option.parse(&typed).expect(option.name), other_value(option));
    }
    let steps = by_name("steps").unwrap();
    assert_eq!(steps.parse("4000"), Ok(Value::String("4000ba".to_owned())));
}

#[test]
fn a_run_is_resumed_only_with_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    RunDir::open(&run, Start::New, &RunConfig::default()).unwrap();
    for option in all() {
        match RunDir::open(&run, Start::Resume, &changed(option)) {
            Ok(_) => assert!(!option.changes_result, "--{} was ignored", option.name),
            Err(TrainError::OtherRun { difference, .. }) => {
                assert!(option.changes_result, "--{} was refused", option.name);
                assert_eq!(difference.field, option.field);
            }
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_refused_value_is_told_with_what_was_expected() {
    for (name, text, expected) in [
        ("method", "adam", "unknown method `adam`, expected one of: float, ste"),
        ("curve", "sqrt", "unknown curve `sqrt`"),
        ("on-bad-image", "x", "unknown variant `x`"),
        ("model", "vgg16", "unknown model `vgg16`"),
        ("steps", "20 epochs", "`20 epochs` is not a time"),
        ("steps", "", "`` is not a time"),
        ("batch-size", "1.5", "expected a whole number"),
        ("momentum", "high", "expected a number"),
        ("augment", "maybe", "expected true or false"),
    ] {
        let error = by_name(name).unwrap().parse(text).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
}
