//! The command line takes every entry of the table.

use super::*;

fn command() -> Command {
    Overrides::<All>::augment_args(Command::new("test").no_binary_name(true))
}

fn parse(arguments: &[&str]) -> Result<RunConfig, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let overrides = Overrides::<All>::from_arg_matches(&matches)?;
    Ok(overrides
        .over(&RunConfig::default())
        .expect("values were checked one by one"))
}

#[test]
fn nothing_given_is_the_default() {
    assert_eq!(parse(&[]).unwrap(), RunConfig::default());
}

/// A value other than the default, as typed on the command line.
fn other_value(option: &ConfigOption) -> &'static str {
    let choices = match option.value {
        ValueType::Choice(names) => names(),
        _ => vec!["true", "false", "7", "0.25", "3ep", "resnet8", "0.3w"],
    };
    let default = OptionValues::new(&RunConfig::default()).get(option);
    let mut values = choices.into_iter();
    let other = values.find(|text| *text != default && option.parse(text).is_ok());
    other.expect(option.name)
}

#[test]
fn every_option_and_alias_changes_its_field_only() {
    for option in options::all() {
        let value = other_value(option);
        let expected = RunConfig::default().with_options([(option, option.parse(value).unwrap())]);
        let expected = expected.unwrap();
        assert_ne!(expected, RunConfig::default(), "{}", option.name);
        for name in option.names() {
            let flag = format!("--{name}");
            assert_eq!(parse(&[&flag, value]).unwrap(), expected, "{flag} {value}");
            assert_eq!(
                parse(&[&format!("{flag}={value}")]).unwrap(),
                expected,
                "{flag}={value}"
            );
        }
    }
}

#[test]
fn help_explains_every_option_with_its_default_under_its_heading() {
    let mut command = command().term_width(0);
    let help = command.render_long_help().to_string();
    for group in options::GROUPS {
        let start = help.find(&format!("\n{}:\n", group.heading)).expect(group.heading);
        for option in group.options {
            let entry = format!("--{} ", option.name);
            let of_option = &help[start..][help[start..].find(&entry).expect(option.name)..];
            let text = option.help_with_default(&OptionValues::new(&RunConfig::default()));
            assert!(of_option.contains(&text), "{}: {help}", option.name);
        }
    }
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

const REFUSED: [(&str, &str); 10] = [
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
];

#[test]
fn values_that_a_field_does_not_take_are_refused_by_name() {
    for (flag, value) in REFUSED {
        let message = parse(&[&format!("{flag}={value}")]).unwrap_err().to_string();
        assert!(message.contains(flag) && message.contains(value), "{message}");
    }
}

#[test]
fn a_refused_value_is_told_with_option_and_field() {
    for (flag, value) in REFUSED {
        let error = name_field(parse(&[&format!("{flag}={value}")]).unwrap_err());
        let option = options::by_name(&flag[2..]).unwrap();
        let message = error.to_string();
        let named = format!("'{value}' for '{flag} ({})'", option.field);
        assert!(message.contains(&named), "{message}");
    }
}

#[test]
fn a_missing_value_is_told_with_its_placeholder() {
    let message = name_field(parse(&["--steps"]).unwrap_err()).to_string();
    assert!(message.contains("'--steps <TIME>'"), "{message}");
}

#[test]
fn an_option_is_named_as_it_was_typed() {
    let option = options::by_name("learning-rate").unwrap();
    let typed = |arguments: &[&str]| name_as_typed(option, arguments.iter().map(OsString::from));
    assert_eq!(typed(&["train", "--lr", "0"]), "lr");
    assert_eq!(typed(&["train", "--lr=0"]), "lr");
    assert_eq!(typed(&["train", "--learning-rate", "0", "lr"]), "learning-rate");
    assert_eq!(typed(&["train", "--lr-schedule", "cosine"]), "learning-rate");
}
