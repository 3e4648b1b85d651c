//! The numbers that the papers publish. They stand here and nowhere else in the code.
//!
//! Source: E. G. Smith, B. Islam, arXiv:2601.22660 (*Layerwise Progressive Freezing Enables STE-Free Training of Deep Binary
//! Neural Networks*) and its successor arXiv:2606.27759 (*Layerwise Progressive Freezing: A Training Scaffold for
//! Depth-Scalable Binary Networks*); their abstracts and public summaries, not the full text. What those do not say is
//! unknown here. The straight-through gradient of every published row is the identity, as the summaries describe it.
//!
//! The numbers are as published. They do not agree everywhere: ResNet-50 on ImageNet gains 3.8 by the abstracts, and 3.4
//! by the difference of its two accuracies.

use super::row::{Images, Knob, Procedure, Row};
use stompp_train::config::{Model, Order, Setting, Surrogate};

/// Where the numbers come from, for readers of a table.
pub(crate) const SOURCE: &str = "arXiv:2601.22660, arXiv:2606.27759";

/// The networks of Table 1 whose numbers are known, at least in part.
pub(crate) const NETWORKS: [Model; 2] = [Model::ResNet18, Model::ResNet50];

/// The image sets of Table 1.
pub(crate) const IMAGES: [Images; 3] = [Images::CIFAR10, Images::CIFAR100, Images::ImageNet];

/// The procedures of Table 1.
pub(crate) const PROCEDURES: [Procedure; 3] = [STE, STOMPP, STOMPP_STE];

const STE: Procedure = Procedure::Ste(Surrogate::Identity);
const STOMPP: Procedure = Procedure::Stompp(Order::Forward);
const STOMPP_STE: Procedure = Procedure::StomppSte(Order::Forward, Surrogate::Identity);

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

/// Top-1 accuracy in percent by order, STE-free, CIFAR-100, BNN: the ablation's own runs, which are not those of Table 1.
const ORDERS: [(Model, Order, f64); 6] = [
    (Model::ResNet18, Order::Forward, 53.8),
    (Model::ResNet18, Order::Global, 53.2),
    (Model::ResNet18, Order::Reverse, 28.4),
    (Model::ResNet50, Order::Forward, 40.0),
    (Model::ResNet50, Order::Global, 35.9),
    (Model::ResNet50, Order::Reverse, 8.6),
];

/// Top-1 accuracy in percent by learning rate, ResNet-18, CIFAR-100, BNN.
const LEARNING_RATES: [(Procedure, f64, f64); 4] = [
    (STE, 0.1, 48.9),
    (STE, 0.05, 46.8),
    (STOMPP, 0.1, 53.8),
    (STOMPP, 0.05, 54.2),
];

/// The top-1 accuracy of `row` in the published tables, percent; `None` if it is unknown.
pub(crate) fn top1(row: &Row) -> Option<f64> {
    TOP1.iter()
        .find(|(network, setting, procedure, _)| {
            (*network, *setting, *procedure) == (row.network, row.setting, row.procedure)
        })
        .and_then(|(.., values)| by_images(values, row.images))
}

/// What `row` gains over `baseline` in the published tables, points; `None` if it is unknown.
pub(crate) fn gain(row: &Row, baseline: &Row) -> Option<f64> {
    let told = (row.setting, row.procedure, baseline.procedure) == (Setting::Bnn, STOMPP, STE);
    let known = GAIN.iter().find(|(network, _)| told && *network == row.network);
    let gain = known.and_then(|(_, values)| by_images(values, row.images));
    gain.or_else(|| Some(top1(row)? - top1(baseline)?))
}

/// The top-1 accuracy of `row` in the published ablation of orders, percent; `None` if it is unknown.
pub(crate) fn order_top1(row: &Row) -> Option<f64> {
    let Procedure::Stompp(order) = row.procedure else {
        return None;
    };
    let told = (row.images, row.setting) == (Images::CIFAR100, Setting::Bnn);
    let mut known = ORDERS.iter().filter(|_| told);
    known
        .find(|(network, known, _)| (*network, *known) == (row.network, order))
        .map(|(.., top1)| *top1)
}

/// The top-1 accuracy of `row` in the published ablation of learning rates, percent; `None` if it is unknown.
pub(crate) fn learning_rate_top1(row: &Row) -> Option<f64> {
    let told = (row.network, row.images, row.setting) == (Model::ResNet18, Images::CIFAR100, Setting::Bnn);
    let mut known = LEARNING_RATES.iter().filter(|_| told);
    known
        .find(|(procedure, rate, _)| (*procedure, Knob::LearningRate(*rate)) == (row.procedure, row.knob))
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

    fn row(network: Model, images: Images, procedure: Procedure) -> Row {
        Row {
            network,
            images,
            setting: Setting::Bnn,
            procedure,
            knob: Knob::Preset,
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
        let clipped = Procedure::Ste(Surrogate::Clipped);
        assert_eq!(top1(&row(Model::ResNet50, Images::CIFAR10, clipped)), None);
        let synthetic = Images::Set(Dataset::Synthetic10);
        assert_eq!(top1(&row(Model::ResNet50, synthetic, STOMPP)), None);
    }

    #[test]
    fn ablations_have_their_own_numbers() {
        let order = |network, order| order_top1(&row(network, Images::CIFAR100, Procedure::Stompp(order)));
        assert_eq!(order(Model::ResNet18, Order::Global), Some(53.2));
        assert_eq!(order(Model::ResNet50, Order::Reverse), Some(8.6));
        assert_eq!(order(Model::ResNet34, Order::Reverse), None);
        assert_eq!(order_top1(&row(Model::ResNet18, Images::CIFAR10, STOMPP)), None);
        let rate = |procedure, rate| {
            learning_rate_top1(&Row {
                knob: Knob::LearningRate(rate),
                ..row(Model::ResNet18, Images::CIFAR100, procedure)
            })
        };
        assert_eq!((rate(STE, 0.05), rate(STOMPP, 0.05)), (Some(46.8), Some(54.2)));
        assert_eq!((rate(STE, 0.2), rate(STOMPP_STE, 0.1)), (None, None));
    }

    #[test]
    fn gains_are_told_or_follow_from_both_accuracies() {
        let gain = |network, images, procedure| gain(&row(network, images, procedure), &row(network, images, STE));
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
            let row = |procedure| row(Model::ResNet50, images, procedure);
            let difference = top1(&row(STOMPP)).unwrap() - top1(&row(STE)).unwrap();
            let published = gain(&row(STOMPP), &row(STE)).unwrap();
            let off = if images == Images::ImageNet { 0.4 } else { 0.0 };
            assert!((published - difference - off).abs() < 1e-9, "{images:?}: {difference}");
        }
    }
}
