//! Compares configurations, to decide whether a run may be resumed.

use super::{RunConfig, options};
use std::fmt;
use toml::{Table, Value};

/// A field in which two configurations differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The field, with its section.
    pub field: String,
    /// Its value in the first configuration, as TOML; `None` if absent.
    pub was: Option<String>,
    /// Its value in the second configuration, as TOML; `None` if absent.
    pub is: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        write!(
            f,
            "{} was {}, now it is {}",
            self.field,
            text(&self.was),
            text(&self.is)
        )
    }
}

impl RunConfig {
    /// The first field that differs in `now` and changes the result of a run
    /// ([`ConfigOption::changes_result`](options::ConfigOption::changes_result)); `None` if there is none.
    ///
    /// Compare two configurations as they were given, or two that runs have completed, but not one of each.
    pub fn difference(&self, now: &Self) -> Option<Difference> {
        let mut all = self.differences(now).into_iter();
        all.find(|difference| options::by_field(&difference.field).is_none_or(|option| option.changes_result))
    }

    /// Every field in which `now` differs from this configuration.
    pub(crate) fn differences(&self, now: &Self) -> Vec<Difference> {
        let mut now = now.clone();
        if self.network.model.named().is_none() && now.network.model.named().is_none() {
            // Graphs from files are compared separately: a run keeps a copy of its graph.
            now.network.model = self.network.model.clone();
        }
        differences("", &options::to_table(self), &options::to_table(&now))
    }
}

fn differences(section: &str, was: &Table, is: &Table) -> Vec<Difference> {
    let names = was.keys().chain(is.keys().filter(|name| !was.contains_key(*name)));
    let of_field = |name: &String| {
        let field = format!("{section}{name}");
        match (was.get(name), is.get(name)) {
            (Some(Value::Table(was)), Some(Value::Table(is))) => differences(&format!("{field}."), was, is),
            (was, is) if was == is => Vec::new(),
            (was, is) => vec![Difference {
                field,
                was: was.map(Value::to_string),
                is: is.map(Value::to_string),
            }],
        }
    };
    names.flat_map(of_field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Option<String> {
        let changed = RunConfig::from_toml(text).unwrap();
        RunConfig::default()
            .difference(&changed)
            .map(|difference| difference.to_string())
    }

    #[test]
    fn the_field_is_named_and_the_place_of_the_data_does_not_matter() {
        assert_eq!(told(""), None);
        assert_eq!(told("data.path = 'elsewhere'"), None);
        assert_eq!(told("data.on_bad_image = 'skip'"), None);
        assert_eq!(told("seed = 1").unwrap(), "seed was 0, now it is 1");
        assert_eq!(
            told("data.train_limit = 5").unwrap(),
            "data.train_limit was not set, now it is 5"
        );
        assert_eq!(
            told("method.order = 'reverse'").unwrap(),
            "method.order was \"forward\", now it is \"reverse\""
        );
    }
}
