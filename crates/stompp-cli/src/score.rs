//! The result line of `train` and `eval`.

/// The line that `train` and `eval` print. For the same network, both print the same digits.
pub(crate) fn line(top1: f64, loss: f64, images: usize) -> String {
    format!("top-1 {top1:.2} %, loss {loss:.6}, deploy network, {images} test images")
}
