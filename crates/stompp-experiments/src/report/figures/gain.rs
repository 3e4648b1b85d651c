//! The gain of freezing over STE against the depth of the network.

use super::style::{FONT, color, draw_legend};
use super::{Canvas, DrawResult, Plot};
use crate::experiment_results::{Contrast, ExperimentResults};
use crate::row::{Images, MethodVariant};
use plotters::prelude::*;
use stompp_train::config::{Order, Surrogate};

pub(super) struct Gain {
    measured: Vec<Series>,
    published: Vec<Series>,
}

struct Series {
    images: Images,
    /// Depth, gain, and the confidence interval of the gain.
    points: Vec<(f64, f64, Option<[f64; 2]>)>,
}

/// The figure, if there are gains.
pub(super) fn figure(results: &ExperimentResults<'_>) -> Option<Gain> {
    let clipped = MethodVariant::Ste(Surrogate::Clipped);
    let contrasts = results.contrasts();
    let measured = contrasts
        .iter()
        .filter(|contrast| contrast.baseline.variant == clipped)
        .filter_map(|contrast| {
            let summary = results.difference(contrast)?;
            Some((contrast, summary.mean, summary.interval))
        });
    let published = results
        .experiment()
        .published
        .iter()
        .flat_map(|published| &published.contrasts)
        .filter_map(|contrast| Some((contrast, contrast.published?, None)));
    let gain = Gain {
        measured: by_images(measured),
        published: by_images(published),
    };
    (!gain.measured.is_empty()).then_some(gain)
}

fn by_images<'a>(points: impl Iterator<Item = (&'a Contrast, f64, Option<[f64; 2]>)>) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for (contrast, gain, interval) in points {
        let Some(depth) = contrast.row.depth() else {
            continue; // The depth of a network from a file is not known.
        };
        let point = (depth as f64, gain, interval);
        match all.iter_mut().find(|series| series.images == contrast.row.images) {
            Some(series) => series.points.push(point),
            None => all.push(Series {
                images: contrast.row.images,
                points: vec![point],
            }),
        }
    }
    all
}

impl Plot for Gain {
    const NAME: &'static str = "gain";
    const CAPTION: &'static str = "What StoMPP gains over STE, in points of top-1, against the depth of the network. Dots: measured here over clipped \
                                  STE, with the bootstrap interval over seeds. Squares: as published, over STE with the identity, at the paper's size.";

    fn size(&self) -> (u32, u32) {
        (640, 380)
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        let all = || {
            self.measured
                .iter()
                .chain(&self.published)
                .flat_map(|series| &series.points)
        };
        let deepest = all().map(|(depth, ..)| *depth).fold(0.0, f64::max);
        let values =
            || all().flat_map(|(_, gain, interval)| [*gain].into_iter().chain(interval.iter().flatten().copied()));
        let (lowest, highest) = (values().fold(0.0, f64::min), values().fold(1.0, f64::max));
        let mut chart = ChartBuilder::on(area)
            .caption("StoMPP minus STE", (FONT, 15))
            .margin(8)
            .x_label_area_size(36)
            .y_label_area_size(46)
            .build_cartesian_2d(0.0..deepest + 4.0, lowest * 1.1..highest * 1.2)?;
        chart
            .configure_mesh()
            .x_desc("depth of the network")
            .y_desc("gain, points of top-1")
            .x_label_formatter(&|depth| format!("{depth:.0}"))
            .y_label_formatter(&|gain| format!("{gain:.0}"))
            .label_style((FONT, 12))
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        chart.draw_series(LineSeries::new([(0.0, 0.0), (deepest + 4.0, 0.0)], BLACK.mix(0.4)))?;
        let blue = color(MethodVariant::Stompp(Order::Forward));
        for series in &self.measured {
            let points = || series.points.iter().map(|(depth, gain, _)| (*depth, *gain));
            chart.draw_series(LineSeries::new(points(), blue.stroke_width(2)))?;
            chart
                .draw_series(points().map(|point| Circle::new(point, 4, blue.filled())))?
                .label(format!("measured, {}", series.images.title()))
                .legend(move |(x, y)| Circle::new((x + 8, y), 4, blue.filled()));
            let bars = series
                .points
                .iter()
                .filter_map(|(depth, _, interval)| Some((*depth, (*interval)?)));
            chart.draw_series(bars.map(|(depth, [low, high])| {
                PathElement::new(vec![(depth, low), (depth, high)], blue.stroke_width(1))
            }))?;
        }
        const PUBLISHED: [RGBColor; 3] = [RGBColor(230, 159, 0), RGBColor(204, 121, 167), RGBColor(120, 120, 120)];
        for (series, color) in self.published.iter().zip(PUBLISHED) {
            let square = move |(x, y): (f64, f64)| {
                EmptyElement::at((x, y)) + Rectangle::new([(-4, -4), (4, 4)], color.stroke_width(2))
            };
            chart
                .draw_series(series.points.iter().map(|(depth, gain, _)| square((*depth, *gain))))?
                .label(format!("published, {}", series.images.title()))
                .legend(move |(x, y)| Rectangle::new([(x + 4, y - 4), (x + 12, y + 4)], color.stroke_width(2)));
        }
        draw_legend(&mut chart)
    }
}
