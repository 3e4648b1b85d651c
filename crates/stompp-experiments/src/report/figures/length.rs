//! The gain of freezing over STE, and accuracy on test and training images, against the number of epochs.

use super::style::{FONT, PANEL, color, draw_legend};
use super::{Canvas, DrawResult, Plot};
use crate::error::Result;
use crate::experiment_results::ExperimentResults;
use crate::overrides::{Length, Override};
use crate::row::{MethodVariant, Row};
use crate::statistics::{Sample, Summary};
use plotters::prelude::*;
use stompp_train::config::Surrogate;

/// Number of panels in a line of a figure.
const COLUMNS: usize = 2;

/// A panel for each network and training set.
struct Panels(Vec<Panel>);

struct Panel {
    title: String,
    lines: Vec<Line>,
}

struct Line {
    variant: MethodVariant,
    label: String,
    /// Whether the line shows training images.
    dashed: bool,
    points: Vec<Point>,
}

struct Point {
    epochs: f64,
    summary: Summary,
}

impl Panels {
    /// Adds a point to the line with this label in the panel of `row`. Does nothing if `row` has no length or `sample` is empty.
    fn add(&mut self, row: &Row, label: &str, dashed: bool, sample: &Sample) {
        let (Override::Length(Length { images, epochs }), Some(summary)) = (&row.overrides, sample.summary()) else {
            return;
        };
        let title = format!("{}, {images}", row.network_and_images());
        let panels = &mut self.0;
        let panel = panels.iter().position(|panel| panel.title == title);
        let panel = panel.unwrap_or_else(|| {
            panels.push(Panel {
                title,
                lines: Vec::new(),
            });
            panels.len() - 1
        });
        let lines = &mut panels[panel].lines;
        let line = lines.iter().position(|line| line.label == label);
        let line = line.unwrap_or_else(|| {
            lines.push(Line {
                variant: row.variant,
                label: label.to_owned(),
                dashed,
                points: Vec::new(),
            });
            lines.len() - 1
        });
        lines[line].points.push(Point {
            epochs: f64::from(*epochs),
            summary,
        });
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        let lines = self.0.iter().flat_map(|panel| &panel.lines);
        lines.flat_map(|line| &line.points)
    }

    fn size(&self) -> (u32, u32) {
        let columns = self.0.len().min(COLUMNS);
        let rows = self.0.len().div_ceil(COLUMNS);
        (PANEL.0 * columns as u32, PANEL.1 * rows as u32)
    }

    fn draw(&self, area: &Canvas<'_>, y: &str) -> DrawResult {
        let columns = self.0.len().min(COLUMNS);
        let areas = area.split_evenly((self.0.len().div_ceil(COLUMNS), columns));
        areas
            .iter()
            .zip(&self.0)
            .try_for_each(|(area, panel)| self.panel(area, panel, y))
    }

    fn panel(&self, area: &Canvas<'_>, panel: &Panel, y: &str) -> DrawResult {
        let ends = |point: &Point| {
            let mean = point.summary.mean;
            point.summary.interval.unwrap_or([mean, mean])
        };
        let lowest = self.points().map(|point| ends(point)[0]).fold(0.0, f64::min);
        let highest = self.points().map(|point| ends(point)[1]).fold(1.0, f64::max);
        // The axis of epochs is logarithmic.
        let place = |point: &Point| point.epochs.log2();
        let first = self.points().map(place).fold(f64::INFINITY, f64::min);
        let last = self.points().map(place).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(&panel.title, (FONT, 14))
            .margin(8)
            .x_label_area_size(34)
            .y_label_area_size(42)
            .build_cartesian_2d(
                first - 0.3..last + 0.3,
                lowest * 1.15..highest + 0.35 * (highest - lowest),
            )?;
        chart
            .configure_mesh()
            .x_desc("epochs")
            .y_desc(y)
            .x_label_formatter(&|place| format!("{:.0}", place.exp2()))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .label_style((FONT, 12))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        chart.draw_series(LineSeries::new([(first - 0.3, 0.0), (last + 0.3, 0.0)], BLACK.mix(0.4)))?;
        for line in &panel.lines {
            let color = color(line.variant);
            let (shade, width) = if line.dashed { (0.4, 1) } else { (1.0, 2) };
            let style = color.mix(shade).stroke_width(width);
            let points = || line.points.iter().map(|point| (place(point), point.summary.mean));
            chart
                .draw_series(LineSeries::new(points(), style))?
                .label(&line.label)
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], style));
            chart.draw_series(points().map(|point| Circle::new(point, 3, color.mix(shade).filled())))?;
            let bars = line.points.iter().filter(|point| point.summary.interval.is_some());
            chart.draw_series(bars.map(|point| {
                let [low, high] = ends(point);
                PathElement::new(
                    vec![(place(point), low), (place(point), high)],
                    color.mix(shade).stroke_width(1),
                )
            }))?;
        }
        draw_legend(&mut chart)
    }
}

/// The gain of freezing over clipped STE.
pub(super) struct Gain(Panels);

/// The figure, if there are gains.
pub(super) fn gain(results: &ExperimentResults<'_>) -> Option<Gain> {
    let mut panels = Panels(Vec::new());
    for contrast in results.contrasts() {
        if contrast.baseline.variant == MethodVariant::Ste(Surrogate::Clipped) {
            let (row, baseline) = (&contrast.row, &contrast.baseline);
            let label = format!("{} minus {}", row.variant_title(), baseline.variant_title());
            panels.add(row, &label, false, &results.pairs(row, baseline));
        }
    }
    (!panels.0.is_empty()).then_some(Gain(panels))
}

impl Plot for Gain {
    const NAME: &'static str = "lead";
    const CAPTION: &'static str = "What freezing gains over clipped STE, in points of top-1 of the deploy network on the test images, against the \
                                   epochs of training. Mean over seed pairs and its bootstrap interval, which with fewer than five seeds is too \
                                   narrow.";

    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        self.0.draw(area, "gain, points of top-1")
    }
}

/// Accuracy on test images and on training images.
pub(super) struct Accuracy(Panels);

/// The figure, if there are runs.
///
/// # Errors
/// If a run's metrics cannot be read.
pub(super) fn accuracy(results: &ExperimentResults<'_>) -> Result<Option<Accuracy>> {
    let mut panels = Panels(Vec::new());
    for row in results.rows() {
        let title = row.variant_title();
        panels.add(row, &title, false, &results.top1(row));
        let training = results.try_sample(row, |entry| Ok(entry.epochs()?.last().map(|epoch| epoch.train_top1)))?;
        panels.add(row, &format!("{title}, training"), true, &training);
    }
    Ok((!panels.0.is_empty()).then_some(Accuracy(panels)))
}

impl Plot for Accuracy {
    const NAME: &'static str = "learned";
    const CAPTION: &'static str = "Top-1 at the end, against the epochs of training. Thick: of the deploy network on the test images. Thin and pale: \
                                   on the training images of the last epoch, while it learned. Mean over seeds and its bootstrap interval.";

    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        self.0.draw(area, "top-1, %")
    }
}
