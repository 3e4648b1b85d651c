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
        let details = differences(["gone", "new"], changes);
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

/// Checks that process `rank` has the images in the list of process 0.
///
/// # Errors
/// Returns [`TrainError::OtherProcess`] with the first differences.
pub(super) fn check_process(changes: &TreeChanges, rank: usize) -> Result<(), TrainError> {
    if !changes.is_different_list() {
        return Ok(());
    }
    let problem = format!("its images: {}", differences(["missing", "of its own"], changes));
    Err(TrainError::OtherProcess { rank, problem })
}

/// The numbers and first names of the images that are only in the list, and of those that are not in it, in these words.
fn differences([gone, new]: [&str; 2], changes: &TreeChanges) -> String {
    let sides = [(gone, &changes.gone), (new, &changes.new)];
    let told = sides.into_iter().filter(|(_, names)| !names.is_empty());
    let told: Vec<String> = told
        .map(|(what, names)| format!("{} {what} ({})", names.len(), first_names(names)))
        .collect();
    told.join(", ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_other_images_is_told_which() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let changes = TreeChanges {
            gone: names(&["a/1.png", "a/2.png", "b/3.png", "b/4.png"]),
            new: names(&["b/5.png"]),
            changed: names(&["a/0.png"]),
        };
        let error = check_process(&changes, 3).unwrap_err().to_string();
        let expected = "its images: 4 missing (a/1.png, a/2.png, b/3.png and 1 more), 1 of its own (b/5.png)";
        assert!(error.contains(expected) && error.contains('3'), "{error}");
        // The same file may have another time on another machine.
        let rewritten = TreeChanges {
            changed: names(&["a/0.png"]),
            ..TreeChanges::default()
        };
        assert!(check_process(&rewritten, 3).is_ok());
    }
}
