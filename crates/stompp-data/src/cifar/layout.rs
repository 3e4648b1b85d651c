//! The layouts of CIFAR-10 and CIFAR-100: files, labels, record size.

use super::SIDE;
use crate::image_set::CHANNELS;
use std::fmt;

/// Training or test images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// Images to train on.
    Train,
    /// Images to test on.
    Test,
}

impl Split {
    /// Both splits.
    pub(crate) const ALL: [Self; 2] = [Self::Train, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Test => "test",
        })
    }
}

/// A label byte of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LabelByte {
    /// Its name in messages.
    pub(super) kind: &'static str,
    /// The label must be below this.
    pub(super) classes: usize,
}

/// A data set in the binary layout, and the label to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CifarLayout {
    /// CIFAR-10: 10 classes.
    Cifar10,
    /// CIFAR-100 with its 100 fine labels, the usual task.
    Cifar100Fine,
    /// CIFAR-100 with its 20 coarse labels.
    Cifar100Coarse,
}

impl CifarLayout {
    /// `cifar10`, `cifar100` or `cifar100-coarse`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar10",
            Self::Cifar100Fine => "cifar100",
            Self::Cifar100Coarse => "cifar100-coarse",
        }
    }

    /// Number of classes.
    pub fn classes(self) -> usize {
        self.label_bytes()[self.label_position()].classes
    }

    /// Name of the folder in the official archive.
    pub fn folder(self) -> &'static str {
        match self {
            Self::Cifar10 => "cifar-10-batches-bin",
            Self::Cifar100Fine | Self::Cifar100Coarse => "cifar-100-binary",
        }
    }

    /// Names of the files of a split, in order.
    pub fn files(self, split: Split) -> &'static [&'static str] {
        match (self, split) {
            (Self::Cifar10, Split::Train) => &[
                "data_batch_1.bin",
                "data_batch_2.bin",
                "data_batch_3.bin",
                "data_batch_4.bin",
                "data_batch_5.bin",
            ],
            (Self::Cifar10, Split::Test) => &["test_batch.bin"],
            (Self::Cifar100Fine | Self::Cifar100Coarse, Split::Train) => &["train.bin"],
            (Self::Cifar100Fine | Self::Cifar100Coarse, Split::Test) => &["test.bin"],
        }
    }

    /// Names of all its files, training images first.
    pub(crate) fn all_files(self) -> impl Iterator<Item = &'static str> {
        Split::ALL.into_iter().flat_map(move |split| self.files(split)).copied()
    }

    /// Bytes of one record: labels and pixels.
    pub fn record_bytes(self) -> usize {
        self.label_bytes().len() + CHANNELS * SIDE * SIDE
    }

    pub(super) fn label_bytes(self) -> &'static [LabelByte] {
        match self {
            Self::Cifar10 => &[LabelByte {
                kind: "label",
                classes: 10,
            }],
            Self::Cifar100Fine | Self::Cifar100Coarse => &[
                LabelByte {
                    kind: "coarse label",
                    classes: 20,
                },
                LabelByte {
                    kind: "fine label",
                    classes: 100,
                },
            ],
        }
    }

    /// Index of the label byte to use.
    pub(super) fn label_position(self) -> usize {
        match self {
            Self::Cifar10 | Self::Cifar100Coarse => 0,
            Self::Cifar100Fine => 1,
        }
    }
}
