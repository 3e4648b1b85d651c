//! Blockade: what gradient each layer gets, by order; why reverse order fails.

use super::{Experiment, Figure, ablation_images, ablation_network, none, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::preset::Scale;
use crate::reproduce::published;
use crate::reproduce::row::{Procedure, Row};
use crate::reproduce::study::Study;
use stompp_train::config::{Order, Setting};

pub(super) const BLOCKADE: Experiment = Experiment {
    name: "blockade",
    title: "Blockade: the gradient that reaches each layer",
    question: "Which layers does a frozen activation cut off from the loss before they have learned?",
    rows,
    published: published::order_top1,
    contrasts: none,
    findings,
    figures: &[Figure::GradientNorms],
};

fn rows(scale: &Scale) -> Vec<Row> {
    let network = [ablation_network(scale)];
    let of = |setting, orders: &[Order]| {
        let procedures: Vec<_> = orders.iter().copied().map(Procedure::Stompp).collect();
        product(setting, &network, ablation_images(scale), &procedures)
    };
    let mut rows = of(Setting::Bnn, &[Order::Forward, Order::Global, Order::Reverse]);
    rows.extend(of(Setting::Bwn, &[Order::Reverse]));
    rows
}

fn findings(_: &Study<'_>) -> Vec<Finding> {
    Vec::new()
}
