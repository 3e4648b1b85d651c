//! The figures of a report, each as SVG and as PNG.
//!
//! Each figure first reads runs into plain values and then draws these. The same runs give the same bytes. The font of the PNG files is in
//! the program, so the machine needs no font.

mod accuracy;
mod gain;
mod heat;
mod length;
mod speed;
mod style;
mod units;

use crate::error::{ExperimentError, Result};
use crate::experiment::Figure;
use crate::experiment_results::ExperimentResults;
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

/// A drawn figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RenderedFigure {
    /// Name of its files, without the ending.
    pub(crate) name: String,
    /// The caption, for readers.
    pub(crate) caption: String,
    pub(crate) svg: String,
    pub(crate) png: Vec<u8>,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type DrawResult = Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// A figure, ready to be drawn.
trait Plot {
    /// The end of the name of its files.
    const NAME: &'static str;
    /// The caption, for readers.
    const CAPTION: &'static str;

    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    fn draw(&self, area: &Canvas<'_>) -> DrawResult;
}

/// Draws the figures of an experiment. Leaves out figures without runs.
///
/// # Errors
/// Returns [`ExperimentError::Train`] if a run's metrics cannot be read, and [`ExperimentError::Figure`] if a figure cannot be drawn.
pub(crate) fn draw_all(results: &ExperimentResults<'_>) -> Result<Vec<RenderedFigure>> {
    let experiment = results.experiment();
    let name = &experiment.name;
    let mut drawn = Vec::new();
    for figure in &experiment.figures {
        drawn.extend(match figure {
            Figure::Accuracy => render(name, accuracy::figure(results)?)?,
            Figure::GainByDepth => render(name, gain::figure(results))?,
            Figure::GainByEpochs => render(name, length::gain(results))?,
            Figure::AccuracyByEpochs => render(name, length::accuracy(results)?)?,
            Figure::FrozenFraction => render(name, units::frozen_fraction(results)?)?,
            Figure::MaskFlips => render(name, heat::mask_flips(results)?)?,
            Figure::GradientNorms => render(name, heat::gradient_norms(results)?)?,
            Figure::Speed => render(name, speed::figure(results)?)?,
            Figure::Samples => None, // These are test images, not a drawing.
        });
    }
    Ok(drawn)
}

fn render<P: Plot>(experiment: &str, plot: Option<P>) -> Result<Option<RenderedFigure>> {
    let Some(plot) = plot else {
        return Ok(None);
    };
    let name = format!("{experiment}-{}", P::NAME);
    let failed = |problem: String| ExperimentError::Figure {
        name: name.clone(),
        problem,
    };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, plot.size()).into_drawing_area();
        let drawn = area
            .fill(&WHITE)
            .and_then(|()| plot.draw(&area))
            .and_then(|()| area.present());
        drawn.map_err(|error| failed(error.to_string()))?;
    }
    Ok(Some(RenderedFigure {
        png: rasterized(&svg).map_err(failed)?,
        name,
        caption: P::CAPTION.to_owned(),
        svg,
    }))
}

/// Renders the figure as PNG, with two pixels for each unit of length.
fn rasterized(svg: &str) -> Result<Vec<u8>, String> {
    const SCALE: u32 = 2;
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(svg, &options).map_err(|error| error.to_string())?;
    let size = tree.size().to_int_size();
    let pixels = tiny_skia::Pixmap::new(size.width() * SCALE, size.height() * SCALE);
    let mut pixels = pixels.ok_or("a figure has a size")?;
    let scale = tiny_skia::Transform::from_scale(SCALE as f32, SCALE as f32);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| error.to_string())
}
