//! `accuracy.svg`: test accuracy by epoch, one panel a network; the picture beside the table.

use crate::reproduce::files;
use crate::reproduce::ledger::Entry;
use crate::reproduce::row::{Images, Procedure, Row};
use crate::reproduce::run_dir::Record;
use crate::reproduce::study::Study;
use std::path::Path;
use anyhow::{Result, anyhow};
use plotters::coord::{Shift, types::RangedCoordf64};
use plotters::prelude::*;
use stompp_train::config::{Model, Order};

/// Name of the file.
pub(crate) const FILE: &str = "accuracy.svg";

/// Width and height of one panel, in pixels.
const PANEL: (u32, u32) = (420, 330);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the finished runs into the ledger's folder; without any there is nothing to draw, and no file.
///
/// # Errors
/// Names the file.
pub(crate) fn write(ledger: &Ledger) -> Result<()> {
    match svg(ledger)? {
        Some(svg) => files::replace(&ledger.out.join(FILE), &svg),
        None => Ok(()),
    }
}

fn svg(ledger: &Ledger) -> Result<Option<String>> {
    let mut panels: Vec<(Model, Images)> = Vec::new();
    for (entry, _) in ledger.finished() {
        let panel = (entry.cell.row.network, entry.cell.row.images);
        if !panels.contains(&panel) {
            panels.push(panel);
        }
    }
    if panels.is_empty() {
        return Ok(None);
    }
    let mut svg = String::new();
    {
        let size = (PANEL.0 * panels.len() as u32, PANEL.1);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        draw(&root, ledger, &panels).map_err(|error| anyhow!("cannot draw {FILE}: {error}"))?;
    }
    Ok(Some(svg))
}

type Drawn = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

fn draw(root: &Area<'_>, ledger: &Ledger, panels: &[(Model, Images)]) -> Drawn {
    root.fill(&WHITE)?;
    let highest = ledger
        .finished()
        .flat_map(|(_, record)| evaluations(record, Shown::AsItStands));
    let highest = highest.map(|(_, top1)| top1).fold(0.0, f64::max);
    for (area, &(network, images)) in root.split_evenly((1, panels.len())).iter().zip(panels) {
        let runs: Vec<(&Entry, &Record)> = ledger
            .finished()
            .filter(|(entry, _)| (entry.cell.row.network, entry.cell.row.images) == (network, images))
            .collect();
        let epochs = runs.iter().flat_map(|(_, record)| evaluations(record, Shown::Deployed));
        let epochs = epochs.map(|(epoch, _)| epoch).fold(0.0, f64::max);
        let mut chart = ChartBuilder::on(area)
            .caption(
                format!("{}, {}", network_title(network), images.title()),
                ("sans-serif", 15),
            )
            .margin(8)
            .x_label_area_size(32)
            .y_label_area_size(40)
            .build_cartesian_2d(0.0..epochs * 1.02, 0.0..highest * 1.08)?;
        chart
            .configure_mesh()
            .x_desc("epoch")
            .y_desc("top-1, %")
            .light_line_style(TRANSPARENT)
            .bold_line_style(BLACK.mix(0.1))
            .draw()?;
        lines(&mut chart, &runs)?;
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .label_font(("sans-serif", 11))
            .draw()?;
    }
    root.present()
}

/// Solid: the network as it stands. Thin: the one that would be deployed, where that is another.
fn lines(chart: &mut Chart<'_, '_>, runs: &[(&Entry, &Record)]) -> Drawn {
    let mut named: Vec<Procedure> = Vec::new();
    for (entry, record) in runs {
        let procedure = entry.cell.row.procedure;
        let color = color(procedure);
        let solid = color.stroke_width(2);
        let drawn = chart.draw_series(LineSeries::new(evaluations(record, Shown::AsItStands), solid))?;
        if !named.contains(&procedure) {
            drawn
                .label(procedure.to_string())
                .legend(move |(x, y)| PathElement::new(vec![(x, y), (x + 16, y)], solid));
            named.push(procedure);
        }
        if procedure.order().is_some() {
            let thin = color.mix(0.45).stroke_width(1);
            chart.draw_series(LineSeries::new(evaluations(record, Shown::Deployed), thin))?;
        }
    }
    Ok(())
}

/// A color-blind safe palette (Okabe and Ito).
fn color(procedure: Procedure) -> RGBColor {
    match procedure {
        Procedure::Ste(_) => RGBColor(213, 94, 0),
        Procedure::Stompp(Order::Forward) => RGBColor(0, 114, 178),
        Procedure::Stompp(Order::Global) => RGBColor(86, 180, 233),
        Procedure::Stompp(Order::Reverse) => RGBColor(120, 120, 120),
        Procedure::StomppSte(..) => RGBColor(0, 158, 115),
    }
}

#[derive(Clone, Copy)]
enum Shown {
    AsItStands,
    Deployed,
}

/// Epoch and top-1 of each evaluation of a run.
fn evaluations(record: &Record, shown: Shown) -> impl Iterator<Item = (f64, f64)> {
    record.result.evaluations.iter().map(move |evaluation| match shown {
        Shown::AsItStands => (evaluation.epoch, evaluation.top1_as_it_stands),
        Shown::Deployed => (evaluation.epoch, evaluation.top1),
    })
}
