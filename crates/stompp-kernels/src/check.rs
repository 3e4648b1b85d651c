//! Checks slice lengths. Every kernel uses it.

/// Panics with the name of the slice unless `actual == expected`.
#[track_caller]
pub(crate) fn length(what: &str, actual: usize, expected: usize) {
    assert!(
        actual == expected,
        "length of `{what}` is {actual}, its shape needs {expected}"
    );
}
