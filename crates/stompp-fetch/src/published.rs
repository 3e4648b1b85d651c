//! Data sets whose files have published checksums.
//!
//! CIFAR: sizes and MD5 of <https://www.cs.toronto.edu/~kriz/cifar.html>. MNIST and Fashion-MNIST: MD5 of torchvision's
//! `datasets/mnist.py`; those of Fashion-MNIST are also on <https://github.com/zalandoresearch/fashion-mnist>. Tiny ImageNet: MD5 of
//! Avalanche's `datasets/tiny_imagenet`.

/// A published file.
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

/// MNIST: images and labels for training, images and labels for testing.
pub const MNIST: [Published; 4] = [
    Published {
        file: "train-images-idx3-ubyte.gz",
        url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
        bytes: 9_912_422,
        md5: "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    },
    Published {
        file: "train-labels-idx1-ubyte.gz",
        url: "https://ossci-datasets.s3.amazonaws.com/mnist/train-labels-idx1-ubyte.gz",
        bytes: 28_881,
        md5: "d53e105ee54ea40749a09fcbcd1e9432",
    },
    Published {
        file: "t10k-images-idx3-ubyte.gz",
        url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-images-idx3-ubyte.gz",
        bytes: 1_648_877,
        md5: "9fb629c4189551a2d022fa330f9573f3",
    },
    Published {
        file: "t10k-labels-idx1-ubyte.gz",
        url: "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz",
        bytes: 4_542,
        md5: "ec29112dd5afa0611ce80d1b7f02629c",
    },
];

/// Fashion-MNIST: the same four files as MNIST.
pub const FASHION_MNIST: [Published; 4] = [
    Published {
        file: "train-images-idx3-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
        bytes: 26_421_880,
        md5: "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    },
    Published {
        file: "train-labels-idx1-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-labels-idx1-ubyte.gz",
        bytes: 29_515,
        md5: "25c81989df183df01b3e8a0aad5dffbe",
    },
    Published {
        file: "t10k-images-idx3-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-images-idx3-ubyte.gz",
        bytes: 4_422_102,
        md5: "bef4ecab320f06d8554ea6380940ec79",
    },
    Published {
        file: "t10k-labels-idx1-ubyte.gz",
        url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/t10k-labels-idx1-ubyte.gz",
        bytes: 5_148,
        md5: "bb300cfdad3c16e7a12a480ee83cd310",
    },
];

/// Tiny ImageNet: 200 classes, 64 x 64.
pub const TINY_IMAGENET: Published = Published {
    file: "tiny-imagenet-200.zip",
    url: "http://cs231n.stanford.edu/tiny-imagenet-200.zip",
    bytes: 248_100_043,
    md5: "90528d7ca1a48142e341f4ef8d21d0de",
};
