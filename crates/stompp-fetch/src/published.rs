//! Data sets with what their page, <https://www.cs.toronto.edu/~kriz/cifar.html>, says of them.

/// A file that is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Its name.
    pub file: &'static str,
    /// Its official address.
    pub url: &'static str,
    /// Its size in bytes.
    pub bytes: u64,
    /// Its published MD5.
    pub md5: &'static str,
}

/// CIFAR-10, binary version.
pub const CIFAR10: Published = Published {
    file: "cifar-10-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    bytes: 170_052_171,
    md5: "c32a1d4ab5d03f1284b67883e8d87530",
};

/// CIFAR-100, binary version.
pub const CIFAR100: Published = Published {
    file: "cifar-100-binary.tar.gz",
    url: "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
    bytes: 168_513_733,
    md5: "03b5dce01913d631647c71ecec9e9cb8",
};
