//! Common style of the figures: sizes, colours, legends.

use super::DrawResult;
use crate::row::MethodVariant;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use stompp_train::config::Order;

/// The font family of all text.
pub(super) const FONT: &str = "sans-serif";

/// Width and height of one panel, in pixels.
pub(super) const PANEL: (u32, u32) = (440, 330);

/// The colour of a method, from a palette for colour-blind readers (Okabe and Ito).
pub(super) fn color(variant: MethodVariant) -> RGBColor {
    match variant {
        MethodVariant::Float => RGBColor(0, 0, 0),
        MethodVariant::Ste(_) => RGBColor(213, 94, 0),
        MethodVariant::Stompp(Order::Forward) => RGBColor(0, 114, 178),
        MethodVariant::Stompp(Order::Global) => RGBColor(86, 180, 233),
        MethodVariant::Stompp(Order::Reverse) => RGBColor(130, 130, 130),
        MethodVariant::StomppSte(..) => RGBColor(0, 158, 115),
    }
}

/// A chart with two axes of numbers.
pub(super) type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// Draws the legend of a chart in its upper left corner.
pub(super) fn draw_legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>) -> DrawResult {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font((FONT, 12))
        .draw()
}

/// A colour scale from dark blue over green to yellow for shares from 0 to 1. It is perceptually uniform, also in grey (after *viridis*,
/// Smith and van der Walt).
pub(super) fn heat(share: f64) -> RGBColor {
    const STOPS: [(u8, u8, u8); 5] = [
        (68, 1, 84),
        (59, 82, 139),
        (33, 145, 140),
        (94, 201, 98),
        (253, 231, 37),
    ];
    let place = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let below = (place as usize).min(STOPS.len() - 2);
    let (from, to, part) = (STOPS[below], STOPS[below + 1], place - below as f64);
    let mix = |from: u8, to: u8| (f64::from(from) + part * (f64::from(to) - f64::from(from))).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heat_runs_from_dark_to_bright() {
        assert_eq!(heat(-1.0), RGBColor(68, 1, 84));
        assert_eq!(heat(0.5), RGBColor(33, 145, 140));
        assert_eq!(heat(2.0), RGBColor(253, 231, 37));
        let light = |share| {
            let RGBColor(red, green, blue) = heat(share);
            0.3 * f64::from(red) + 0.6 * f64::from(green) + 0.1 * f64::from(blue)
        };
        assert!((0..20).all(|step| light(f64::from(step + 1) / 20.0) > light(f64::from(step) / 20.0)));
    }
}
