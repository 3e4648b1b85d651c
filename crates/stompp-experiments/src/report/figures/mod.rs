//! The figures of a report, each as SVG and as PNG.
//!
//! Each figure reads runs into plain values first and draws them then. The same runs give the same bytes. The PNG's letters come from a
//! font in the program, so no machine needs one.

mod accuracy;
mod gain;
mod heat;
mod length;
mod speed;
mod style;
mod units;

use crate::experiment::{Experiment, Figure};
use crate::experiment_results::ExperimentResults;
use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

/// A drawn figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RenderedFigure {
    /// Name of its files, without the ending.
    pub(crate) name: String,
    /// What it shows, for readers.
    pub(crate) caption: String,
    pub(crate) svg: String,
    pub(crate) png: Vec<u8>,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// What one figure draws.
trait Plot {
    /// The end of its files' name.
    const NAME: &'static str;
    /// What it shows, for readers.
    const CAPTION: &'static str;

    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    fn draw(&self, area: &Canvas<'_>) -> DrawResult;
}

/// The figures of an experiment for which there are runs.
///
/// # Errors
/// If a run's metrics cannot be read.
pub(crate) fn draw_all(experiment: &Experiment, results: &ExperimentResults<'_>) -> Result<Vec<RenderedFigure>> {
    let name = &experiment.name;
    let mut drawn = Vec::new();
    for figure in &experiment.figures {
        drawn.extend(match figure {
            Figure::Accuracy => render(name, accuracy::figure(results)?)?,
            Figure::GainByDepth => render(name, gain::figure(experiment, results))?,
            Figure::GainByEpochs => render(name, length::gain(results))?,
            Figure::AccuracyByEpochs => render(name, length::accuracy(results)?)?,
            Figure::FrozenFraction => render(name, units::frozen_fraction(results)?)?,
            Figure::MaskFlips => render(name, heat::mask_flips(results)?)?,
            Figure::GradientNorms => render(name, heat::gradient_norms(results)?)?,
            Figure::Speed => render(name, speed::figure(results)?)?,
            Figure::Samples => None, // Test images, not a drawing.
        });
    }
    Ok(drawn)
}

fn render<P: Plot>(experiment: &str, plot: Option<P>) -> Result<Option<RenderedFigure>> {
    let Some(plot) = plot else {
        return Ok(None);
    };
    let name = format!("{experiment}-{}", P::NAME);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, plot.size()).into_drawing_area();
        let drawn = area
            .fill(&WHITE)
            .and_then(|()| plot.draw(&area))
            .and_then(|()| area.present());
        drawn.map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
    }
    Ok(Some(RenderedFigure {
        png: rasterized(&svg).with_context(|| format!("cannot draw {name}"))?,
        name,
        caption: P::CAPTION.to_owned(),
        svg,
    }))
}

/// The figure in pixels (PNG), two to a unit of length.
fn rasterized(svg: &str) -> Result<Vec<u8>> {
    const SCALE: u32 = 2;
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size();
    let pixels = tiny_skia::Pixmap::new(size.width() * SCALE, size.height() * SCALE);
    let mut pixels = pixels.context("a figure has a size")?;
    let scale = tiny_skia::Transform::from_scale(SCALE as f32, SCALE as f32);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}
