//! The frozen fraction of each unit beside its target.

use super::style::{FONT, heat};
use super::{Canvas, DrawResult, Plot};
use crate::error::Result;
use crate::experiment_results::ExperimentResults;
use crate::row::{MethodVariant, Row};
use crate::run_index::RunEntry;
use plotters::prelude::*;
use std::cmp::Reverse;
use stompp_train::DiagnosticsReport;
use stompp_train::config::Order;

pub(super) struct Fractions {
    title: String,
    /// Epoch, target and frozen fraction, for each unit and diagnostics step.
    units: Vec<Vec<(f64, f64, f64)>>,
}

/// The figure of the deepest network that freezes, if there is one.
pub(super) fn frozen_fraction(results: &ExperimentResults<'_>) -> Result<Option<Fractions>> {
    let Some((row, entry)) = shown(results) else {
        return Ok(None);
    };
    let reports = entry.diagnostics()?.unwrap_or_default();
    let count = reports.first().map_or(0, |report| report.units.len());
    let of = |place: usize| {
        let unit = |report: &DiagnosticsReport| {
            let unit = &report.units[place];
            (report.epoch, unit.target, unit.weight_frozen)
        };
        reports.iter().map(unit).collect()
    };
    let units: Vec<_> = (0..count).map(of).collect();
    Ok((!units.is_empty()).then(|| Fractions {
        title: row.title(),
        units,
    }))
}

/// Chooses the run to show: the first run of the deepest network among the StoMPP rows in forward order.
pub(super) fn shown<'a>(results: &ExperimentResults<'a>) -> Option<(&'a Row, &'a RunEntry)> {
    let rows = results.rows().iter();
    let forward = rows.filter(|row| row.variant == MethodVariant::Stompp(Order::Forward));
    let runs = forward.filter_map(|row| Some((row, results.finished_of(row).next()?.0)));
    runs.min_by_key(|(row, _)| Reverse(row.depth()))
}

impl Plot for Fractions {
    const NAME: &'static str = "frozen";
    const CAPTION: &'static str = "Frozen fraction of each unit's weight, first unit dark, last one bright (solid), beside the target p(t) of the plan \
                                  (thin, grey): masks follow it with a lag of about r steps, and the commit closes what is left. One run.";

    fn size(&self) -> (u32, u32) {
        (760, 340)
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        let last = self
            .units
            .iter()
            .flatten()
            .map(|(epoch, ..)| *epoch)
            .fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&self.title, (FONT, 15))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..last * 1.01, 0.0..1.03)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc("frozen fraction")
            .label_style((FONT, 12))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        for (place, points) in self.units.iter().enumerate() {
            let color = heat(0.9 * place as f64 / self.units.len().max(2) as f64);
            let target = points.iter().map(|(epoch, target, _)| (*epoch, *target));
            chart.draw_series(LineSeries::new(target, BLACK.mix(0.35).stroke_width(1)))?;
            let frozen = points.iter().map(|(epoch, _, frozen)| (*epoch, *frozen));
            chart.draw_series(LineSeries::new(frozen, color.stroke_width(2)))?;
        }
        Ok(())
    }
}
