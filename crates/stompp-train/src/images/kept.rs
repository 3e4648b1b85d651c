//! A run's images beside the list that was kept when it began.

use crate::{TrainError, error::damaged};
use std::path::Path;
use stompp_data::Changes;

/// Images that are named.
const MOST_NAMED: usize = 3;

/// What to tell about images that are not quite those of the list in the file `index`.
///
/// # Errors
/// [`TrainError::Damaged`] if images have come or gone: the order of the others would be another one.
pub(super) fn accept(changes: &Changes, index: &Path) -> Result<Option<String>, TrainError> {
    if changes.is_other_list() {
        let sides = [("gone", &changes.gone), ("new", &changes.new)];
        let told = sides.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told.map(|(what, names)| format!("{} {what} ({})", names.len(), first(names))).collect();
        let problem = format!(
            "the images are not those that the run was begun on: {}; put them back, or go on with those that are there now: --reindex",
            told.join(", ")
        );
        return Err(damaged(index, problem));
    }
    Ok(changed_files("since the run began", &changes.changed))
}

/// What to tell of files that were written anew.
pub(crate) fn changed_files(when: &str, files: &[String]) -> Option<String> {
    (!files.is_empty()).then(|| {
        format!("{} images were written anew {when}, and are read as they are now: {}", files.len(), first(files))
    })
}

fn first(names: &[String]) -> String {
    let first = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
