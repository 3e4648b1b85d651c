//! How a network that is freezing is evaluated.

/// Which network an evaluation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvalMode {
    /// The network as it is now, with the current masks.
    Current,
    /// The deploy network: every mask is all ones. Reported accuracies use this mode.
    Binarized,
}
