//! Blockade: the gradient that reaches each layer, by order. It shows why reverse order fails.

use super::definition::{Builtin, ablation_images, ablation_network, every_seed, no_contrasts};
use super::published;
use crate::claim::ClaimTest;
use crate::error::Result;
use crate::experiment::Figure;
use crate::experiment_results::ExperimentResults;
use crate::row::{MethodVariant, Row};
use crate::run_index::RunEntry;
use crate::setup::Setup;
use stompp_train::config::{Order, Setting};

pub(super) const BLOCKADE: Builtin = Builtin {
    name: "blockade",
    title: "Blockade: the gradient that reaches each layer",
    question: "Which layers does a frozen activation cut off from the loss before they have learned?",
    rows,
    row_plan: every_seed,
    published: published::order_top1,
    contrasts: no_contrasts,
    claims,
    extra_tables: &[],
    figures: &[Figure::GradientNorms],
};

/// Largest share without a gradient that counts as none, in percent. A unit that commits between two diagnostics steps may have no
/// gradient in its last step.
const NONE: f64 = 1.0;

fn rows(setup: &Setup) -> Vec<Row> {
    let network = [ablation_network(setup)];
    let of = |setting, orders: &[Order]| {
        let variants: Vec<_> = orders.iter().copied().map(MethodVariant::Stompp).collect();
        Row::product(setting, &network, ablation_images(setup), &variants)
    };
    let mut rows = of(Setting::Bnn, &[Order::Forward, Order::Global, Order::Reverse]);
    rows.extend(of(Setting::Bwn, &[Order::Reverse]));
    rows
}

/// The share of the time that units are open in which they get no gradient, in percent; `None` if the run's diagnostics are missing.
fn share_without_gradient(entry: &RunEntry) -> Result<Option<f64>> {
    let Some(reports) = entry.diagnostics()? else {
        return Ok(None);
    };
    let (mut open, mut without) = (0, 0);
    for report in reports {
        for unit in report.units.iter().filter(|unit| !unit.committed) {
            open += 1;
            without += u32::from(unit.gradient_norm == 0.0);
        }
    }
    Ok(Some(100.0 * f64::from(without) / f64::from(open.max(1))))
}

fn claims(results: &ExperimentResults<'_>) -> Result<Vec<ClaimTest>> {
    let mut claims = Vec::new();
    for row in results.rows() {
        let share = results.try_sample(row, share_without_gradient)?;
        let (network, order) = (row.network_title(), row.variant.order().unwrap_or_default());
        let whose = format!("in {order} order ({network}), in % of the time that units are open");
        let cuts = order == Order::Reverse && row.setting == Setting::Bnn;
        claims.push(if cuts {
            ClaimTest::positive(format!("open units get no gradient at all {whose}"), share.summary())
        } else {
            ClaimTest::within(
                format!("no open unit is without gradient {whose}"),
                share.summary(),
                NONE,
            )
        });
    }
    Ok(claims)
}
