//! The figures of a report, each as SVG and as PNG.
//!
//! **A figure is data first**: what is drawn is taken from run directories into plain values, and only then drawn. The same runs give
//! the same bytes. The PNG's letters come from a font in the program, so that no machine needs one.

mod accuracy;
mod gain;
mod heat;
mod length;
mod speed;
mod style;
mod units;

use crate::reproduce::experiments::Figure;
use crate::reproduce::study::Study;
use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use resvg::{tiny_skia, usvg};

/// A drawn figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawn {
    /// Name of its files, without the ending.
    pub(crate) name: String,
    /// What it shows, for readers.
    pub(crate) caption: String,
    pub(crate) svg: String,
    pub(crate) png: Vec<u8>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = std::result::Result<(), DrawingAreaErrorKind<std::io::Error>>;

/// Something that can be drawn.
trait Picture {
    /// The end of its files' name.
    const NAME: &'static str;
    /// What it shows, for readers.
    const CAPTION: &'static str;

    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    fn draw(&self, area: &Area<'_>) -> Outcome;
}

/// The figures of an experiment for which there are runs.
///
/// # Errors
/// If a run's metrics cannot be read.
pub(crate) fn of(study: &Study<'_>) -> Result<Vec<Drawn>> {
    let experiment = study.experiment.name;
    let mut drawn = Vec::new();
    for figure in study.experiment.figures {
        drawn.extend(match figure {
            Figure::Accuracy => render(experiment, accuracy::figure(study)?)?,
            Figure::GainByDepth => render(experiment, gain::figure(study))?,
            Figure::LeadByLength => render(experiment, length::lead(study))?,
            Figure::LearnedByLength => render(experiment, length::learned(study)?)?,
            Figure::FrozenFraction => render(experiment, units::frozen_fraction(study)?)?,
            Figure::MaskFlips => render(experiment, heat::mask_flips(study)?)?,
            Figure::GradientNorms => render(experiment, heat::gradient_norms(study)?)?,
            Figure::Speed => render(experiment, speed::figure(study)?)?,
            Figure::Samples => None, // Images, which no drawing shows.
        });
    }
    Ok(drawn)
}

fn render<P: Picture>(experiment: &str, picture: Option<P>) -> Result<Option<Drawn>> {
    let Some(picture) = picture else {
        return Ok(None);
    };
    let name = format!("{experiment}-{}", P::NAME);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, picture.size()).into_drawing_area();
        let drawn = area
            .fill(&WHITE)
            .and_then(|()| picture.draw(&area))
            .and_then(|()| area.present());
        drawn.map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
    }
    Ok(Some(Drawn {
        png: rasterized(&svg).with_context(|| format!("cannot draw {name}"))?,
        name,
        caption: P::CAPTION.to_owned(),
        svg,
    }))
}

/// The picture in pixels (PNG), two to a unit of length.
fn rasterized(svg: &str) -> Result<Vec<u8>> {
    const SCALE: u32 = 2;
    let mut options = usvg::Options::default();
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(svg, &options)?;
    let size = tree.size().to_int_size();
    let pixels = tiny_skia::Pixmap::new(size.width() * SCALE, size.height() * SCALE);
    let mut pixels = pixels.context("a picture has a size")?;
    let scale = tiny_skia::Transform::from_scale(SCALE as f32, SCALE as f32);
    resvg::render(&tree, scale, &mut pixels.as_mut());
    Ok(pixels.encode_png()?)
}
