//! Blockade: what gradient each layer gets, by order; why reverse order fails.

use super::{Experiment, Figure, ablation_images, ablation_network, every_seed, none, product};
use crate::reproduce::finding::Finding;
use crate::reproduce::ledger::Entry;
use crate::reproduce::preset::Scale;
use crate::reproduce::published;
use crate::reproduce::row::{Procedure, Row};
use crate::reproduce::study::Study;
use anyhow::Result;
use stompp_train::config::{Order, Setting};

pub(super) const BLOCKADE: Experiment = Experiment {
    name: "blockade",
    title: "Blockade: the gradient that reaches each layer",
    question: "Which layers does a frozen activation cut off from the loss before they have learned?",
    rows,
    extent: every_seed,
    published: published::order_top1,
    contrasts: none,
    findings,
    extras: &[],
    figures: &[Figure::GradientNorms],
};

/// What counts as none, in percent: a unit that commits between two looks may have had its last step without.
const NONE: f64 = 1.0;

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

/// How much of the time that units are open they get no gradient at all, in percent; `None` where the run's diagnostics are gone.
fn cut_off(entry: &Entry) -> Result<Option<f64>> {
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

fn findings(study: &Study<'_>) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for row in study.rows() {
        let share = study.try_sample(&row, cut_off)?;
        let (network, order) = (row.network_title(), row.procedure.order().unwrap_or_default());
        let whose = format!("in {order} order ({network}), in % of the time that units are open");
        let cuts = order == Order::Reverse && row.setting == Setting::Bnn;
        findings.push(if cuts {
            Finding::positive(format!("open units get no gradient at all {whose}"), &share.summary())
        } else {
            Finding::within(
                format!("no open unit is without gradient {whose}"),
                &share.summary(),
                NONE,
            )
        });
    }
    Ok(findings)
}
