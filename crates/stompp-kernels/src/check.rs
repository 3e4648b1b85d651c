//! The one check every kernel makes: slice lengths fit the shape.

/// Panics unless `actual == expected`, naming the slice.
#[track_caller]
pub(crate) fn length(what: &str, actual: usize, expected: usize) {
    assert!(
        actual == expected,
        "length of `{what}` is {actual}, its shape wants {expected}"
    );
}
