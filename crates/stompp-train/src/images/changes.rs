//! Compares the images of a run with the list that was saved when the run began.

use crate::TrainError;
use std::path::Path;
use stompp_data::TreeChanges;

/// Number of images that a message names.
const MOST_NAMED: usize = 3;

/// The note about images that differ from the list in the file `index`; `None` if none do.
///
/// # Errors
/// Returns [`TrainError::OtherImages`] if images were added or removed and `reindex` is `false`. The order of the other images would
/// then change.
pub(super) fn check_changes(changes: &TreeChanges, index: &Path, reindex: bool) -> Result<Option<String>, TrainError> {
    if changes.is_different_list() {
        let sides = [("gone", &changes.gone), ("new", &changes.new)];
        let told = sides.into_iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told
            .map(|(what, names)| format!("{} {what} ({})", names.len(), first_names(names)))
            .collect();
        let details = told.join(", ");
        if reindex {
            return Ok(Some(format!(
                "the list of images has changed since the run began: {details}"
            )));
        }
        return Err(TrainError::OtherImages {
            path: index.to_owned(),
            details,
            same_length: true,
        });
    }
    Ok(changed_files("since the run began", &changes.changed))
}

/// The note about files that were rewritten; `None` if there are none.
pub(crate) fn changed_files(when: &str, files: &[String]) -> Option<String> {
    (!files.is_empty()).then(|| {
        format!(
            "{} images were rewritten {when}, and are read as they are now: {}",
            files.len(),
            first_names(files)
        )
    })
}

fn first_names(names: &[String]) -> String {
    let first = names.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MOST_NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}
