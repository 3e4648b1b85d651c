//! The one line that says how good a network is.

/// What `train` and `eval` print: the same for the same network, to the last digit.
pub(crate) fn line(top1: f64, loss: f64, images: usize) -> String {
    format!("top-1 {top1:.2} %, loss {loss:.6}, deploy network, {images} test images")
}
