//! The soft refresh by its definition: one selection and one value for every entry.

/// `new = where(selection < 1/r, value < p, old)`, with `(selection, value)` uniform on `[0, 1)` for each entry in turn.
pub(crate) fn refresh(old: &[bool], p: f64, r: f64, mut uniforms: impl FnMut() -> (f64, f64)) -> Vec<bool> {
    old.iter()
        .map(|&old| {
            let (selection, value) = uniforms();
            if selection < 1.0 / r { value < p } else { old }
        })
        .collect()
}
