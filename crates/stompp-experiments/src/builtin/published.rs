//! The numbers that the papers publish. They are here and nowhere else in the code.
//!
//! Source: E. G. Smith, B. Islam, arXiv:2601.22660 (*Layerwise Progressive Freezing Enables STE-Free Training of Deep Binary
//! Neural Networks*) and its successor arXiv:2606.27759 (*Layerwise Progressive Freezing: A Training Scaffold for
//! Depth-Scalable Binary Networks*); their abstracts and public summaries, not the full text. A number that these do
//! not give is unknown here. The straight-through gradient of every published row is the identity, as the summaries describe it.
//!
//! The numbers are as published. They are not fully consistent: ResNet-50 on ImageNet gains 3.8 by the abstracts, and 3.4
//! by the difference of its two accuracies.

use crate::overrides::Override;
use crate::row::{Images, MethodVariant, Row};
use stompp_train::config::{Model, Order, Setting, Surrogate};

/// The source of the numbers, which tables show.
pub(super) const SOURCE: &str = "arXiv:2601.22660, arXiv:2606.27759";

/// The networks of Table 1 whose numbers are known, at least in part.
pub(super) const NETWORKS: [Model; 2] = [Model::ResNet18, Model::ResNet50];

/// The image sets of Table 1.
pub(super) const IMAGES: [Images; 3] = [Images::CIFAR10, Images::CIFAR100, Images::ImageNet];

/// The methods of Table 1.
pub(super) const VARIANTS: [MethodVariant; 3] = [STE, STOMPP, STOMPP_STE];

const STE: MethodVariant = MethodVariant::Ste(Surrogate::Identity);
const STOMPP: MethodVariant = MethodVariant::Stompp(Order::Forward);
const STOMPP_STE: MethodVariant = MethodVariant::StomppSte(Order::Forward, Surrogate::Identity);

/// Top-1 accuracy in percent, by [`IMAGES`].
type ByImages = [Option<f64>; 3];

const TOP1: [(Model, Setting, MethodVariant, ByImages); 4] = [
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

/// Top-1 accuracy in percent by order, STE-free, CIFAR-100, BNN: from the ablation's own runs, not from Table 1.
const ORDERS: [(Model, Order, f64); 6] = [
    (Model::ResNet18, Order::Forward, 53.8),
    (Model::ResNet18, Order::Global, 53.2),
    (Model::ResNet18, Order::Reverse, 28.4),
    (Model::ResNet50, Order::Forward, 40.0),
    (Model::ResNet50, Order::Global, 35.9),
    (Model::ResNet50, Order::Reverse, 8.6),
];

/// Top-1 accuracy in percent by learning rate, ResNet-18, CIFAR-100, BNN.
const LEARNING_RATES: [(MethodVariant, f64, f64); 4] = [
    (STE, 0.1, 48.9),
    (STE, 0.05, 46.8),
    (STOMPP, 0.1, 53.8),
    (STOMPP, 0.05, 54.2),
];

/// The top-1 accuracy of `row` in the published tables, in percent; `None` if it is unknown.
pub(super) fn top1(row: &Row) -> Option<f64> {
    TOP1.iter()
        .find(|(network, setting, variant, _)| {
            row.network == (*network).into() && (*setting, *variant) == (row.setting, row.variant)
        })
        .and_then(|(.., values)| by_images(values, row.images))
}

/// The gain of `row` over `baseline` in the published tables, in points; `None` if it is unknown.
pub(super) fn gain(row: &Row, baseline: &Row) -> Option<f64> {
    let applies = (row.setting, row.variant, baseline.variant) == (Setting::Bnn, STOMPP, STE);
    let known = GAIN
        .iter()
        .find(|(network, _)| applies && row.network == (*network).into());
    let gain = known.and_then(|(_, values)| by_images(values, row.images));
    gain.or_else(|| Some(top1(row)? - top1(baseline)?))
}

/// The top-1 accuracy of `row` in the published ablation of orders, in percent; `None` if it is unknown.
pub(super) fn order_top1(row: &Row) -> Option<f64> {
    let MethodVariant::Stompp(order) = row.variant else {
        return None;
    };
    let applies = (row.images, row.setting) == (Images::CIFAR100, Setting::Bnn);
    let mut known = ORDERS.iter().filter(|_| applies);
    known
        .find(|(network, known, _)| row.network == (*network).into() && *known == order)
        .map(|(.., top1)| *top1)
}

/// The top-1 accuracy of `row` in the published ablation of learning rates, in percent; `None` if it is unknown.
pub(super) fn learning_rate_top1(row: &Row) -> Option<f64> {
    let applies =
        row.network == Model::ResNet18.into() && (row.images, row.setting) == (Images::CIFAR100, Setting::Bnn);
    let mut known = LEARNING_RATES.iter().filter(|_| applies);
    known
        .find(|(variant, rate, _)| *variant == row.variant && Override::LearningRate(*rate) == row.overrides)
        .map(|(.., top1)| *top1)
}

fn by_images(values: &ByImages, images: Images) -> Option<f64> {
    let position = IMAGES.iter().position(|known| *known == images)?;
    values[position]
}

#[cfg(test)]
mod tests {
    use super::*;
    use stompp_train::config::Dataset;

    fn row(network: Model, images: Images, variant: MethodVariant) -> Row {
        Row {
            network: network.into(),
            images,
            setting: Setting::Bnn,
            variant,
            overrides: Override::None,
        }
    }

    #[test]
    fn known_numbers_are_found_and_others_are_unknown() {
        assert_eq!(top1(&row(Model::ResNet50, Images::CIFAR10, STOMPP)), Some(69.5));
        assert_eq!(top1(&row(Model::ResNet50, Images::ImageNet, STOMPP_STE)), Some(48.5));
        let bwn = row(Model::ResNet50, Images::ImageNet, STOMPP).with_setting(Setting::Bwn);
        assert_eq!(top1(&bwn), None);
        assert_eq!(top1(&row(Model::ResNet18, Images::CIFAR10, STOMPP)), None);
        let clipped = MethodVariant::Ste(Surrogate::Clipped);
        assert_eq!(top1(&row(Model::ResNet50, Images::CIFAR10, clipped)), None);
        let synthetic = Images::Set(Dataset::Synthetic10);
        assert_eq!(top1(&row(Model::ResNet50, synthetic, STOMPP)), None);
    }

    #[test]
    fn ablations_have_their_own_numbers() {
        let order = |network, order| order_top1(&row(network, Images::CIFAR100, MethodVariant::Stompp(order)));
        assert_eq!(order(Model::ResNet18, Order::Global), Some(53.2));
        assert_eq!(order(Model::ResNet50, Order::Reverse), Some(8.6));
        assert_eq!(order(Model::ResNet34, Order::Reverse), None);
        assert_eq!(order_top1(&row(Model::ResNet18, Images::CIFAR10, STOMPP)), None);
        let rate = |variant, rate| {
            learning_rate_top1(&Row {
                overrides: Override::LearningRate(rate),
                ..row(Model::ResNet18, Images::CIFAR100, variant)
            })
        };
        assert_eq!((rate(STE, 0.05), rate(STOMPP, 0.05)), (Some(46.8), Some(54.2)));
        assert_eq!((rate(STE, 0.2), rate(STOMPP_STE, 0.1)), (None, None));
    }

    #[test]
    fn gains_are_published_or_follow_from_both_accuracies() {
        let gain = |network, images, variant| gain(&row(network, images, variant), &row(network, images, STE));
        assert_eq!(gain(Model::ResNet18, Images::CIFAR100, STOMPP), Some(4.7));
        assert_eq!(gain(Model::ResNet34, Images::CIFAR100, STOMPP), None);
        assert_eq!(gain(Model::ResNet18, Images::CIFAR100, STOMPP_STE), None);
        approx::assert_abs_diff_eq!(
            gain(Model::ResNet50, Images::CIFAR10, STOMPP_STE).unwrap(),
            27.1,
            epsilon = 1e-9
        );
    }

    #[test]
    fn gains_are_the_differences_but_for_the_known_exception() {
        for images in IMAGES {
            let row = |variant| row(Model::ResNet50, images, variant);
            let difference = top1(&row(STOMPP)).unwrap() - top1(&row(STE)).unwrap();
            let published = gain(&row(STOMPP), &row(STE)).unwrap();
            let off = if images == Images::ImageNet { 0.4 } else { 0.0 };
            assert!((published - difference - off).abs() < 1e-9, "{images:?}: {difference}");
        }
    }
}
