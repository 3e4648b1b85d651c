//! Test accuracy along the training; a panel for each network and setting.

use super::style::{FONT, PANEL, color, draw_legend};
use super::{Canvas, DrawResult, Plot};
use crate::error::Result;
use crate::experiment_results::ExperimentResults;
use crate::row::{MethodVariant, Row};
use crate::run_dir::FinishedRun;
use plotters::prelude::*;
use stompp_train::RunConfig;

/// Number of panels in a line of the figure.
const COLUMNS: usize = 3;

/// Epoch and top-1.
type Curve = Vec<(f64, f64)>;

pub(super) struct Accuracy {
    panels: Vec<Panel>,
    epochs: f64,
    highest: f64,
}

struct Panel {
    title: String,
    lines: Vec<Line>,
}

struct Line {
    variant: MethodVariant,
    label: String,
    as_it_stands: Curve,
    /// Empty if it is the same.
    deployed: Curve,
    /// Epochs at which a unit is committed.
    commits: Vec<f64>,
}

/// The figure, if there are runs.
pub(super) fn figure(results: &ExperimentResults<'_>) -> Result<Option<Accuracy>> {
    let mut panels: Vec<Panel> = Vec::new();
    for row in results.rows() {
        let Some(line) = line(results, row)? else {
            continue;
        };
        let title = row.network_and_images();
        match panels.iter_mut().find(|panel| panel.title == title) {
            Some(panel) => panel.lines.push(line),
            None => panels.push(Panel {
                title,
                lines: vec![line],
            }),
        }
    }
    let points = || {
        let lines = panels.iter().flat_map(|panel| &panel.lines);
        lines.flat_map(|line| line.as_it_stands.iter().chain(&line.deployed).copied())
    };
    let most = |values: &mut dyn Iterator<Item = f64>| values.fold(1e-9, f64::max);
    let (epochs, highest) = (
        most(&mut points().map(|(epoch, _)| epoch)),
        most(&mut points().map(|(_, top1)| top1)),
    );
    Ok((!panels.is_empty()).then_some(Accuracy {
        panels,
        epochs,
        highest,
    }))
}

fn line(results: &ExperimentResults<'_>, row: &Row) -> Result<Option<Line>> {
    let runs: Vec<_> = results.finished_of(row).collect();
    let Some((entry, first)) = runs.first() else {
        return Ok(None);
    };
    let mean = |number: fn(&stompp_train::Evaluation) -> f64| -> Curve {
        let evaluations = first.result.evaluations.iter().enumerate();
        evaluations
            .map(|(place, evaluation)| {
                let values: Vec<_> = runs
                    .iter()
                    .filter_map(|(_, run)| run.result.evaluations.get(place))
                    .map(number)
                    .collect();
                (evaluation.epoch, values.iter().sum::<f64>() / values.len() as f64)
            })
            .collect()
    };
    let freezes = row.variant.order().is_some();
    Ok(Some(Line {
        variant: row.variant,
        label: row.method_title(),
        as_it_stands: mean(|evaluation| evaluation.top1_as_it_stands),
        deployed: if freezes {
            mean(|evaluation| evaluation.top1)
        } else {
            Curve::new()
        },
        commits: match entry.spec.config() {
            Some(config) => commits(config, first)?,
            None => Vec::new(),
        },
    }))
}

/// The epochs at which the units of a run are committed.
fn commits(config: &RunConfig, run: &FinishedRun) -> Result<Vec<f64>> {
    let timeline = config.timeline(run.result.train_images)?;
    let plan = config.plan(&timeline, run.result.units)?;
    let ends = plan
        .iter()
        .flat_map(|plan| (0..plan.spec().units).map(|window| plan.window(window).end));
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    ends.dedup();
    Ok(ends
        .into_iter()
        .map(|step| step as f64 / timeline.steps_per_epoch as f64)
        .collect())
}

impl Plot for Accuracy {
    const NAME: &'static str = "accuracy";
    const CAPTION: &'static str = "Test accuracy along the training. Solid: the network as it stands; thin: the one that would be deployed at \
                                  that moment; mean over seeds, the ticks below mark the steps at which a unit is committed (its colour tells the \
                                  method).";

    fn size(&self) -> (u32, u32) {
        let columns = self.panels.len().min(COLUMNS);
        let rows = self.panels.len().div_ceil(COLUMNS);
        (PANEL.0 * columns as u32, PANEL.1 * rows as u32)
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        let columns = self.panels.len().min(COLUMNS);
        let areas = area.split_evenly((self.panels.len().div_ceil(COLUMNS), columns));
        areas
            .iter()
            .zip(&self.panels)
            .try_for_each(|(area, panel)| self.panel(area, panel))
    }
}

impl Accuracy {
    fn panel(&self, area: &Canvas<'_>, panel: &Panel) -> DrawResult {
        // Leave space for the legend above the lines.
        let top = (self.highest * 1.35).min(self.highest + 30.0);
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, (FONT, 14))
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(42)
            .build_cartesian_2d(0.0..self.epochs * 1.02, 0.0..top)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc("top-1, %")
            .y_label_formatter(&|top1| format!("{top1:.0}"))
            .label_style((FONT, 12))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        for (place, line) in panel.lines.iter().enumerate() {
            let color = color(line.variant);
            let (solid, thin) = (color.stroke_width(2), color.mix(0.5).stroke_width(1));
            chart
                .draw_series(LineSeries::new(line.as_it_stands.iter().copied(), solid))?
                .label(&line.label)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], solid));
            chart.draw_series(LineSeries::new(line.deployed.iter().copied(), thin))?;
            // A line of ticks for each method, starting at the bottom.
            let (low, high) = (top * 0.018 * place as f64, top * (0.018 * place as f64 + 0.014));
            let tick = |epoch: &f64| PathElement::new(vec![(*epoch, low), (*epoch, high)], color.stroke_width(1));
            chart.draw_series(line.commits.iter().map(tick))?;
        }
        draw_legend(&mut chart)
    }
}
