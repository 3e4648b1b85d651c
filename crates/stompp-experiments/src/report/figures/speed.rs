//! Training speed as units are committed.

use super::style::{FONT, color, draw_legend};
use super::{Canvas, DrawResult, Plot};
use crate::error::Result;
use crate::experiment_results::ExperimentResults;
use crate::row::{MethodVariant, Row};
use plotters::prelude::*;
use stompp_train::MetricRecord;
use stompp_train::config::Order;

pub(super) struct Speed {
    lines: Vec<Line>,
}

struct Line {
    variant: MethodVariant,
    label: String,
    /// Share of committed units, and speed as a multiple of the first epoch's.
    points: Vec<(f64, f64)>,
}

/// The figure of the runs that freeze from input to output; `None` without such runs.
pub(super) fn figure(results: &ExperimentResults<'_>) -> Result<Option<Speed>> {
    let mut lines = Vec::new();
    let forward = |row: &&Row| row.variant.order() == Some(Order::Forward);
    for row in results.rows().iter().filter(forward) {
        let Some((entry, _)) = results.finished_of(row).next() else {
            continue;
        };
        let epochs = entry
            .metrics()?
            .into_iter()
            .flatten()
            .filter_map(|metric| match metric {
                MetricRecord::Epoch(epoch) => {
                    Some((epoch.committed_units as f64 / epoch.units as f64, epoch.images_per_s))
                }
                _ => None,
            });
        let epochs: Vec<_> = epochs.collect();
        let Some(&(_, first)) = epochs.first().filter(|(_, rate)| *rate > 0.0) else {
            continue;
        };
        let points = epochs
            .into_iter()
            .map(|(committed, rate)| (committed, rate / first))
            .collect();
        lines.push(Line {
            variant: row.variant,
            label: row.title(),
            points,
        });
    }
    Ok((!lines.is_empty()).then_some(Speed { lines }))
}

impl Plot for Speed {
    const NAME: &'static str = "speed";
    const CAPTION: &'static str = "Training images per second, epoch by epoch, against the share of units that are committed; as a multiple of the first \
                                  epoch's, evaluations not counted. Several runs shared the machine, so single points may be off.";

    fn size(&self) -> (u32, u32) {
        (640, 380)
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        let fastest = self
            .lines
            .iter()
            .flat_map(|line| &line.points)
            .map(|(_, rate)| *rate)
            .fold(1.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption("Speed as the network freezes", (FONT, 15))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..1.02, 0.0..fastest * 1.1)?;
        chart
            .configure_mesh()
            .x_desc("share of committed units at the epoch's end")
            .y_desc("times the first epoch")
            .label_style((FONT, 12))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        for (place, line) in self.lines.iter().enumerate() {
            // Networks of one method differ in how dark they are.
            let shade = color(line.variant).mix(1.0 - 0.5 * place as f64 / self.lines.len() as f64);
            let style = shade.stroke_width(2);
            chart
                .draw_series(LineSeries::new(line.points.iter().copied(), style).point_size(3))?
                .label(&line.label)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], style));
        }
        draw_legend(&mut chart)
    }
}
