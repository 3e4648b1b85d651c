//! Words that this project does not use for code: metaphors, each with the plain word to use instead.
//!
//! The list is short on purpose: it has words that once were names here and that have no other use in a text about training
//! networks. A word counts by itself or as a part of an identifier: `Keeper`, `room_keeper`.

/// Each word, in small letters, and what to write instead.
const WORDS: [(&str, &str); 17] = [
    ("doorway", "entry point"),
    ("doorways", "entry points"),
    ("keeper", "manager"),
    ("keepers", "managers"),
    ("learner", "trainer"),
    ("learners", "trainers"),
    ("ledger", "index"),
    ("ledgers", "indexes"),
    ("manieth", "n-th"),
    ("sever", "block the gradient"),
    ("severed", "blocked"),
    ("severs", "blocks the gradient"),
    ("tally", "sum"),
    ("tallies", "sums"),
    ("toll", "report"),
    ("watcher", "callback"),
    ("watchers", "callbacks"),
];

/// This file, which has the words in it.
pub(super) const FILE: &str = file!();

/// Every listed word in a text, with its line.
pub(super) fn violations(text: &str) -> impl Iterator<Item = String> {
    text.lines().enumerate().flat_map(|(number, line)| {
        words(line).filter_map(move |word| {
            let (word, plain) = WORDS.iter().find(|(listed, _)| word == *listed)?;
            Some(format!("line {}: `{word}`: write `{plain}`", number + 1))
        })
    })
}

/// The words of a line in small letters; identifiers are cut at underscores and capitals.
fn words(line: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in line.chars() {
        if !letter.is_alphabetic() || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if letter.is_alphabetic() {
            let word = words.last_mut().expect("there is always a last word");
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase();
    }
    words.into_iter().filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metaphor_is_found_with_its_line_and_the_plain_word() {
        let found = |text| violations(text).collect::<Vec<_>>();
        assert_eq!(found("//! x\nstruct Keeper;"), ["line 2: `keeper`: write `manager`"]);
        assert_eq!(found("let run_ledger = 1;"), ["line 1: `ledger`: write `index`"]);
        assert_eq!(found("fn blocks(); // severs, tallies").len(), 2);
        assert_eq!(found("struct RunTally(NewTallies);").len(), 2);
    }

    #[test]
    fn parts_of_other_words_are_not_found() {
        let text = "timekeeper, bookkeeping, several, persevere, extol, tallying, PARAMETER";
        assert_eq!(violations(text).count(), 0);
    }
}
