//! Two ways to look at a network that is freezing.

/// Which network an evaluation looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum View {
    /// The network as it stands: every mask as it is.
    AsItStands,
    /// The network that would be deployed now: every mask all ones. Reported accuracies are this one's.
    Deployed,
}
