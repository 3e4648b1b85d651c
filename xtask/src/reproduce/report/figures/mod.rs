//! The figures of a report, each as SVG and as PNG.
//!
//! **A figure is data first**: what is drawn is taken from run directories into plain values, and only then drawn. The same runs give
//! the same bytes. Letters come from a font in the program, so that no machine needs one.

mod accuracy;
mod gain;
mod heat;
mod speed;
mod style;
mod units;

use crate::reproduce::experiments::Figure;
use crate::reproduce::study::Study;
use anyhow::{Context, Result, anyhow};
use image::{ImageFormat, RgbImage};
use plotters::coord::Shift;
use plotters::prelude::*;
use std::io::Cursor;

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

type Outcome<B> = std::result::Result<(), DrawingAreaErrorKind<<B as DrawingBackend>::ErrorType>>;

/// Something that can be drawn by every backend.
trait Picture {
    /// Width and height in pixels.
    fn size(&self) -> (u32, u32);

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>) -> Outcome<B>;
}

/// The figures of an experiment for which there are runs.
///
/// # Errors
/// If a run's metrics cannot be read.
pub(crate) fn of(study: &Study<'_>) -> Result<Vec<Drawn>> {
    let mut drawn = Vec::new();
    for figure in study.experiment.figures {
        let name = |name: &str| format!("{}-{name}", study.experiment.name);
        drawn.extend(
            match figure {
                Figure::Accuracy => {
                    accuracy::figure(study)?.map(|picture| render(&picture, name("accuracy"), accuracy::CAPTION))
                }
                Figure::GainByDepth => gain::figure(study).map(|picture| render(&picture, name("gain"), gain::CAPTION)),
                Figure::FrozenFraction => {
                    units::frozen_fraction(study)?.map(|picture| render(&picture, name("frozen"), units::CAPTION))
                }
                Figure::MaskFlips => {
                    heat::mask_flips(study)?.map(|picture| render(&picture, name("flips"), heat::FLIPS_CAPTION))
                }
                Figure::GradientNorms => {
                    heat::gradient_norms(study)?.map(|picture| render(&picture, name("gradients"), heat::NORMS_CAPTION))
                }
                Figure::Speed => speed::figure(study)?.map(|picture| render(&picture, name("speed"), speed::CAPTION)),
            }
            .transpose()?,
        );
    }
    Ok(drawn)
}

fn render(picture: &impl Picture, name: String, caption: &str) -> Result<Drawn> {
    style::register_font();
    let (width, height) = picture.size();
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (width, height)).into_drawing_area();
        on_white(picture, &area).map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
    }
    let mut pixels = vec![0; (width * height * 3) as usize];
    {
        let area = BitMapBackend::with_buffer(&mut pixels, (width, height)).into_drawing_area();
        on_white(picture, &area).map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
    }
    let mut png = Cursor::new(Vec::new());
    let pixels = RgbImage::from_raw(width, height, pixels).context("a picture has three bytes a pixel")?;
    pixels.write_to(&mut png, ImageFormat::Png)?;
    Ok(Drawn {
        name,
        caption: caption.to_owned(),
        svg,
        png: png.into_inner(),
    })
}

fn on_white<B: DrawingBackend>(picture: &impl Picture, area: &DrawingArea<B, Shift>) -> Outcome<B> {
    area.fill(&WHITE)?;
    picture.draw(area)?;
    area.present()
}
