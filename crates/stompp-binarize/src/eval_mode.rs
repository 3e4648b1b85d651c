//! Which network an evaluation computes while it is freezing.

/// The network that an evaluation computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EvalMode {
    /// The network as it is now, with every mask as it is.
    Current,
    /// The deploy network: every mask all ones. Reported accuracies are this one's.
    Binarized,
}
