//! Tapes that can be off, so that one network runs partly on the tape and partly off it.
//!
//! dfdx decides at compile time whether a tensor is traced ([`OwnedTape`]) or not ([`NoneTape`]). A freezing network decides
//! it at run time, layer by layer and step by step, because the committed prefix needs no backward pass. [`SwitchTape`] is a
//! dfdx [`Tape`] that is either on or off, so a tensor carries that decision with it and every op reads it through
//! [`Recording`].

use crate::BatchReduction;
use dfdx::tensor::{Gradients, Merge, NoneTape, OwnedTape, Storage, Tape, Tensor};

/// A tape that can say, at run time, whether it records.
///
/// The ops of this crate record a backward operation only if one of their inputs is recorded. The backward operation computes
/// only the gradients of the recorded inputs. A tensor off the tape therefore costs nothing in the backward pass.
pub trait Recording<D: Storage<f32>>: Tape<f32, D> {
    /// Whether operations added to this tape will be run by the backward pass.
    fn is_recording(&self) -> bool;

    /// An empty tape that records if and only if this one does, with the same [`BatchReduction`].
    fn fork(&self) -> Self;

    /// How ops on this tape compute sums over the images of a batch.
    fn reduction(&self) -> BatchReduction {
        BatchReduction::default()
    }
}

impl<D: Storage<f32>> Recording<D> for NoneTape {
    fn is_recording(&self) -> bool {
        false
    }

    fn fork(&self) -> Self {
        NoneTape
    }
}

impl<D: Storage<f32>> Recording<D> for OwnedTape<f32, D> {
    fn is_recording(&self) -> bool {
        true
    }

    fn fork(&self) -> Self {
        Self::default()
    }
}

/// A dfdx tape that is on or off, decided at run time.
///
/// Off is the default. An off tape behaves as [`NoneTape`], an on tape as [`OwnedTape`]. Merging with an on tape gives an on tape.
///
/// ```
/// use dfdx::prelude::*;
/// use stompp_nn::SwitchTape;
///
/// let dev = Cpu::default();
/// let x: Tensor<Rank1<2>, f32, _> = dev.tensor([1.0, 2.0]);
/// let y = x.clone().put_tape(SwitchTape::on()).square().sum();
/// let gradients = SwitchTape::into_owned_tape(y).expect("recorded").backward();
/// assert_eq!(gradients.get(&x).array(), [2.0, 4.0]);
///
/// let y = x.put_tape(SwitchTape::off()).square().sum::<Rank0, _>();
/// assert!(SwitchTape::into_owned_tape(y).is_none());
/// ```
#[derive(Debug)]
pub struct SwitchTape<D: Storage<f32>> {
    tape: Option<OwnedTape<f32, D>>,
    /// `None` means the default.
    reduction: Option<BatchReduction>,
}

impl<D: Storage<f32>> SwitchTape<D> {
    /// An empty tape that records.
    pub fn on() -> Self {
        Self::of(Some(OwnedTape::default()))
    }

    /// A tape that does not record.
    pub fn off() -> Self {
        Self::of(None)
    }

    fn of(tape: Option<OwnedTape<f32, D>>) -> Self {
        Self { tape, reduction: None }
    }

    /// The same tape, whose ops compute sums over the images of a batch in this way. Merged tapes keep it.
    pub fn with_reduction(self, reduction: BatchReduction) -> Self {
        Self {
            reduction: Some(reduction),
            ..self
        }
    }

    /// A tape that records if `recording`.
    pub fn new(recording: bool) -> Self {
        if recording { Self::on() } else { Self::off() }
    }

    /// The tensor on dfdx's own tape, ready for its `backward`; `None` if nothing was recorded.
    pub fn into_owned_tape<S: dfdx::shapes::Shape>(
        tensor: Tensor<S, f32, D, Self>,
    ) -> Option<Tensor<S, f32, D, OwnedTape<f32, D>>> {
        use dfdx::tensor::{PutTape, SplitTape};
        let (tensor, tape) = tensor.split_tape();
        tape.tape.map(|tape| tensor.put_tape(tape))
    }
}

impl<D: Storage<f32>> Default for SwitchTape<D> {
    fn default() -> Self {
        Self::off()
    }
}

impl<D: Storage<f32>> Merge<NoneTape> for SwitchTape<D> {
    fn merge(self, _: NoneTape) -> Self {
        self
    }
}

impl<D: Storage<f32>> Merge<SwitchTape<D>> for SwitchTape<D> {
    fn merge(self, other: Self) -> Self {
        Self {
            tape: match (self.tape, other.tape) {
                (Some(mine), Some(theirs)) => Some(mine.merge(theirs)),
                (mine, theirs) => mine.or(theirs),
            },
            reduction: self.reduction.or(other.reduction),
        }
    }
}

impl<D: Storage<f32>> Tape<f32, D> for SwitchTape<D> {
    // dfdx reads this only to decide whether it may overwrite an operand in place: `true` is the safe answer.
    const OWNS_TAPE: bool = true;

    fn add_backward_op<F>(&mut self, operation: F)
    where
        F: 'static + FnOnce(&mut Gradients<f32, D>) -> Result<(), D::Err>,
    {
        if let Some(tape) = &mut self.tape {
            tape.add_backward_op(operation);
        }
    }
}

impl<D: Storage<f32>> Recording<D> for SwitchTape<D> {
    fn is_recording(&self) -> bool {
        self.tape.is_some()
    }

    fn fork(&self) -> Self {
        Self {
            reduction: self.reduction.clone(),
            ..Self::new(self.is_recording())
        }
    }

    fn reduction(&self) -> BatchReduction {
        self.reduction.clone().unwrap_or_default()
    }
}
