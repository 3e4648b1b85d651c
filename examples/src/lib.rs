//! Shared by the examples: a network, and images to train it on.
#![forbid(unsafe_code)]

use std::sync::Arc;
use stompp_data::synthetic::{Synthetic, SyntheticKind};
use stompp_data::{Augmentation, DataError, ImageExamples, Normalization};
use stompp_graph::{Conv, Graph, GraphBuilder, GraphError, Pool};

/// Builds VGG-small, a common CIFAR network without shortcuts: six convolutions, the first in full precision, max pools, and a
/// fully connected layer. `width` is 128 in the literature. Images are (3, `size`, `size`), and `size` is a multiple of 8.
///
/// # Errors
/// Returns an error if the images are smaller than 8x8, or there are no classes.
pub fn vgg_small(size: usize, width: usize, classes: usize) -> Result<Graph, GraphError> {
    let mut g = GraphBuilder::new([3, size, size]);
    let x = g.conv("conv1", g.input(), Conv::k3(width))?;
    let mut x = g.batch_norm("bn1", x)?;
    for (number, (widen, pool)) in [(1, true), (2, false), (2, true), (4, false), (4, true)]
        .into_iter()
        .enumerate()
    {
        let number = number + 2;
        x = g.activation(&format!("act{number}"), x)?;
        x = g.binary_conv(&format!("conv{number}"), x, Conv::k3(widen * width))?;
        if pool {
            x = g.max_pool(&format!("pool{number}"), x, Pool::new(2))?;
        }
        x = g.batch_norm(&format!("bn{number}"), x)?;
    }
    x = g.activation("act7", x)?;
    let logits = g.linear("fc", x, classes)?;
    g.finish(logits)
}

/// Generates training and test images of shapes in 10 classes: 32x32 pixels, normalized. The training images are randomly cropped and
/// mirrored.
///
/// # Errors
/// Returns an error if `train` is below 5 or `test` is 0.
pub fn shapes(train: usize, test: usize) -> Result<(Arc<ImageExamples>, Arc<ImageExamples>), DataError> {
    let sets = Synthetic {
        kind: SyntheticKind::Shapes,
        seed: 0,
        train,
        test,
    }
    .generate()?;
    let normalization = Normalization::new(sets.train.channel_statistics())?;
    let train = ImageExamples::with_augmentation(
        Arc::new(sets.train),
        normalization.clone(),
        Augmentation { padding: 4 },
        0,
    );
    let test = ImageExamples::new(Arc::new(sets.test), normalization);
    Ok((Arc::new(train), Arc::new(test)))
}
