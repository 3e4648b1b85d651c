//! The numbers that the papers publish. They stand here and nowhere else in the code.
//!
//! Source: E. G. Smith, B. Islam, arXiv:2601.22660 (*Layerwise Progressive Freezing Enables STE-Free Training of Deep Binary
//! Neural Networks*) and its successor arXiv:2606.27759 (*Layerwise Progressive Freezing: A Training Scaffold for
//! Depth-Scalable Binary Networks*); their abstracts and public summaries, not the full text. What those do not say is
//! unknown here. The straight-through gradient of every published row is the identity, as the summaries describe it.
//!
//! The numbers are as published. They do not agree everywhere: ResNet-50 on ImageNet gains 3.8 by the abstracts, and 3.4
//! by the difference of its two accuracies.

use super::row::{Images, Procedure, Row};
use stompp_train::config::{Model, Order, Setting, StraightThrough};

/// Where the numbers come from, for readers of a table.
pub(crate) const SOURCE: &str = "arXiv:2601.22660, arXiv:2606.27759";

/// The networks of Table 1 whose numbers are known, at least in part.
pub(crate) const NETWORKS: [Model; 2] = [Model::ResNet18, Model::ResNet50];

/// The image sets of Table 1.
pub(crate) const IMAGES: [Images; 3] = [Images::CIFAR10, Images::CIFAR100, Images::ImageNet];

/// The procedures of Table 1.
pub(crate) const PROCEDURES: [Procedure; 3] = [STE, STOMPP, STOMPP_STE];

const STE: Procedure = Procedure::Ste(StraightThrough::Identity);
const STOMPP: Procedure = Procedure::Stompp(Order::Forward);
const STOMPP_STE: Procedure = Procedure::StomppSte(Order::Forward, StraightThrough::Identity);

/// Top-1 accuracy in percent, by [`IMAGES`].
type ByImages = [Option<f64>; 3];

const TOP1: [(Model, Setting, Procedure, ByImages); 4] = [
    (Model::ResNet50, Setting::Bnn, STE, [Some(51.5), Some(26.7), Some(30.8)]),
    (
        Model::ResNet50,
        Setting::Bnn,
        STOMPP,
        [Some(69.5), Some(40.2), Some(34.2)],
    ),
    (
        Model::ResNet50,
        Setting::Bnn,
        STOMPP_STE,
        [Some(78.6), Some(46.5), Some(48.5)],
    ),
    (Model::ResNet50, Setting::Bwn, STOMPP, [Some(91.2), Some(69.5), None]),
];

/// StoMPP minus STE in points, BNN, by [`IMAGES`].
const GAIN: [(Model, ByImages); 2] = [
    (Model::ResNet18, [Some(3.1), Some(4.7), Some(1.3)]),
    (Model::ResNet50, [Some(18.0), Some(13.5), Some(3.8)]),
];

/// The published top-1 accuracy of `row`, percent; `None` if it is unknown.
pub(crate) fn top1(row: &Row) -> Option<f64> {
    TOP1.iter()
        .find(|(network, setting, procedure, _)| {
            (*network, *setting, *procedure) == (row.network, row.setting, row.procedure)
        })
        .and_then(|(.., values)| by_images(values, row.images))
}

/// The published gain of StoMPP over STE, points, BNN; `None` if it is unknown.
pub(crate) fn gain(network: Model, images: Images) -> Option<f64> {
    GAIN.iter()
        .find(|(known, _)| *known == network)
        .and_then(|(_, values)| by_images(values, images))
}

fn by_images(values: &ByImages, images: Images) -> Option<f64> {
    let position = IMAGES.iter().position(|known| *known == images)?;
    values[position]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_train::config::Dataset;

    fn row(network: Model, images: Images, procedure: Procedure) -> Row {
        Row {
            network,
            images,
            setting: Setting::Bnn,
            procedure,
        }
    }

    #[test]
    fn known_numbers_are_found_and_others_are_unknown() {
        assert_eq!(top1(&row(Model::ResNet50, Images::CIFAR10, STOMPP)), Some(69.5));
        assert_eq!(top1(&row(Model::ResNet50, Images::ImageNet, STOMPP_STE)), Some(48.5));
        let bwn = Row {
            setting: Setting::Bwn,
            ..row(Model::ResNet50, Images::ImageNet, STOMPP)
        };
        assert_eq!(top1(&bwn), None);
        assert_eq!(top1(&row(Model::ResNet18, Images::CIFAR10, STOMPP)), None);
        let clipped = Procedure::Ste(StraightThrough::Clipped);
        assert_eq!(top1(&row(Model::ResNet50, Images::CIFAR10, clipped)), None);
        let synthetic = Images::Set(Dataset::Synthetic10);
        assert_eq!(top1(&row(Model::ResNet50, synthetic, STOMPP)), None);
        assert_eq!(gain(Model::ResNet18, Images::CIFAR100), Some(4.7));
        assert_eq!(gain(Model::ResNet34, Images::CIFAR100), None);
    }

    #[test]
    fn gains_are_the_differences_but_for_the_known_exception() {
        for images in IMAGES {
            let top1 = |procedure| top1(&row(Model::ResNet50, images, procedure)).unwrap();
            let difference = top1(STOMPP) - top1(STE);
            let published = gain(Model::ResNet50, images).unwrap();
            let off = if images == Images::ImageNet { 0.4 } else { 0.0 };
            assert!((published - difference - off).abs() < 1e-9, "{images:?}: {difference}");
        }
    }
}
