//! Heat maps of units by time: flips of masks, norms of gradients.

use super::style::{FONT, heat};
use super::units::shown;
use super::{Canvas, DrawResult, Plot};
use crate::error::Result;
use crate::experiment_results::ExperimentResults;
use crate::row::Row;
use crate::run_index::RunEntry;
use plotters::prelude::*;
use stompp_train::{DiagnosticsReport, UnitDiagnostics};

const PANEL: (u32, u32) = (460, 330);

/// Height of the scale below the panels.
const SCALE_HEIGHT: u32 = 40;

/// The colour of an open unit without a gradient.
const CUT_OFF: RGBColor = RGBColor(190, 190, 190);

struct HeatMap {
    panels: Vec<Panel>,
    /// The labels of the two ends of the scale.
    ends: [String; 2],
}

struct Panel {
    title: String,
    epochs: Vec<f64>,
    /// For each diagnostics step, for each unit.
    colors: Vec<Vec<Option<RGBColor>>>,
}

/// The flips of the deepest network that freezes from input to output, if there is one.
pub(super) fn mask_flips(results: &ExperimentResults<'_>) -> Result<Option<Flips>> {
    let flips = map(
        shown(results),
        |unit, most| {
            let share = unit.weight_mask_flips / most;
            Some(if share > 0.0 { heat(share) } else { WHITE })
        },
        |unit| unit.weight_mask_flips,
        |most| ["0 %".to_owned(), format!("{:.0} %", 100.0 * most)],
    )?;
    Ok(flips.map(Flips))
}

/// The norms of the gradients, a panel for each row; `None` without runs.
pub(super) fn gradient_norms(results: &ExperimentResults<'_>) -> Result<Option<Norms>> {
    /// All norms below this share of the largest one have the darkest colour.
    const RANGE: f64 = 1e-4;
    let rows = results.rows().iter();
    let norms = map(
        rows.filter_map(|row| Some((row, results.finished_of(row).next()?.0))),
        |unit, most| match unit.gradient_norm {
            _ if unit.committed => None,
            norm if norm > 0.0 => Some(heat(1.0 - (norm / most).ln() / RANGE.ln())),
            _ => Some(CUT_OFF),
        },
        |unit| unit.gradient_norm,
        |most| [format!("{:.0e}", RANGE * most), format!("{most:.0e}")],
    )?;
    Ok(norms.map(Norms))
}

/// Makes the map of `shown` runs. The scale goes up to the largest `number` of a unit. `color` gets a unit and that largest number.
fn map<'a>(
    shown: impl IntoIterator<Item = (&'a Row, &'a RunEntry)>,
    color: impl Fn(&UnitDiagnostics, f64) -> Option<RGBColor>,
    number: impl Fn(&UnitDiagnostics) -> f64,
    ends: impl Fn(f64) -> [String; 2],
) -> Result<Option<HeatMap>> {
    let mut runs = Vec::new();
    for (row, entry) in shown {
        let reports = entry.diagnostics()?.unwrap_or_default();
        if !reports.is_empty() {
            runs.push((row.title(), reports));
        }
    }
    let units = runs
        .iter()
        .flat_map(|(_, reports)| reports)
        .flat_map(|report| &report.units);
    let most = units.map(number).fold(0.0, f64::max);
    if most == 0.0 {
        return Ok(None);
    }
    let panel = |(title, reports): (String, Vec<DiagnosticsReport>)| Panel {
        title,
        epochs: reports.iter().map(|report| report.epoch).collect(),
        colors: reports
            .iter()
            .map(|report| report.units.iter().map(|unit| color(unit, most)).collect())
            .collect(),
    };
    Ok(Some(HeatMap {
        panels: runs.into_iter().map(panel).collect(),
        ends: ends(most),
    }))
}

/// Flips of masks.
pub(super) struct Flips(HeatMap);

impl Plot for Flips {
    const NAME: &'static str = "flips";
    const CAPTION: &'static str = "How much of each unit's weight mask changed between two looks, as a share of its entries, along the training. \
                                        A unit's mask moves in its own window only.";

    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        self.0.draw(area)
    }
}

/// Norms of gradients.
pub(super) struct Norms(HeatMap);

impl Plot for Norms {
    const NAME: &'static str = "gradients";
    const CAPTION: &'static str = "Norm of the gradient of each unit's latent weight along the training, mean over the steps between two looks. \
                                        White: committed. Grey: still open, but no gradient at all arrives; a frozen activation downstream has cut it \
                                        off.";

    fn size(&self) -> (u32, u32) {
        self.0.size()
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        self.0.draw(area)
    }
}

impl HeatMap {
    fn size(&self) -> (u32, u32) {
        let columns = self.panels.len().min(2) as u32;
        (
            PANEL.0 * columns,
            PANEL.1 * self.panels.len().div_ceil(2) as u32 + SCALE_HEIGHT,
        )
    }

    fn draw(&self, area: &Canvas<'_>) -> DrawResult {
        let (maps, scale) = area.split_vertically(self.size().1 - SCALE_HEIGHT);
        let areas = maps.split_evenly((self.panels.len().div_ceil(2), self.panels.len().min(2)));
        for (area, panel) in areas.iter().zip(&self.panels) {
            draw_panel(area, panel)?;
        }
        self.draw_scale(&scale)
    }

    fn draw_scale(&self, area: &Canvas<'_>) -> DrawResult {
        const STEPS: i32 = 100;
        let left = 110;
        for step in 0..STEPS {
            let color = heat(f64::from(step) / f64::from(STEPS - 1)).filled();
            area.draw(&Rectangle::new(
                [(left + 2 * step, 10), (left + 2 * step + 2, 24)],
                color,
            ))?;
        }
        let style = (FONT, 12).into_font().color(&BLACK);
        let [low, high] = &self.ends;
        area.draw(&Text::new(low.as_str(), (left - 60, 11), style.clone()))?;
        area.draw(&Text::new(high.as_str(), (left + 2 * STEPS + 8, 11), style))
    }
}

fn draw_panel(area: &Canvas<'_>, panel: &Panel) -> DrawResult {
    let units = panel.colors.iter().map(Vec::len).max().unwrap_or_default();
    let last = panel.epochs.last().copied().unwrap_or_default();
    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 14))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(42)
        .build_cartesian_2d(0.0..last, 0.5..units as f64 + 0.5)?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc("epoch")
        .y_desc("unit, from input to output")
        .y_label_formatter(&|unit| format!("{unit:.0}"))
        .label_style((FONT, 12))
        .draw()?;
    let mut from = 0.0;
    for (to, colors) in panel.epochs.iter().zip(&panel.colors) {
        let cell = |(place, color): (usize, &Option<RGBColor>)| {
            let bottom = place as f64 + 0.5;
            Some(Rectangle::new(
                [(from, bottom), (*to, bottom + 1.0)],
                (*color)?.filled(),
            ))
        };
        chart.draw_series(colors.iter().enumerate().filter_map(cell))?;
        from = *to;
    }
    Ok(())
}
