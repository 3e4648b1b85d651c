//! A contact sheet: one picture of examples as the network receives them, each with its label.

use crate::{DataError, Examples, Normalization};
use font8x8::legacy::BASIC_LEGACY;
use image::{ImageFormat, Rgb, RgbImage};
use std::io::Cursor;

/// Images in a row.
const COLUMNS: u32 = 8;
/// Small images are enlarged by an integer factor to at least this width.
const TILE: u32 = 128;
/// Pixels between the images.
const GAP: u32 = 4;
/// Side of a letter.
const LETTER: u32 = 8;

/// Draws the examples `indices` of `epoch` as a PNG, eight in a row, each above its caption. `caption` returns the text for an
/// index and label. The normalization is undone.
///
/// # Errors
/// Returns an error if an example cannot be prepared.
pub fn contact_sheet(
    examples: &dyn Examples,
    normalization: &Normalization,
    epoch: u64,
    indices: &[usize],
    caption: impl Fn(usize, usize) -> String,
) -> Result<Vec<u8>, DataError> {
    let [channels, height, width] = examples.shape();
    let scale = TILE.div_ceil(width as u32).max(1);
    let cell = (width as u32 * scale + GAP, height as u32 * scale + LETTER + 2 * GAP);
    let rows = (indices.len() as u32).div_ceil(COLUMNS);
    let mut sheet = RgbImage::from_pixel(COLUMNS * cell.0 + GAP, rows * cell.1 + GAP, Rgb([255; 3]));
    let mut values = vec![0.0; channels * height * width];
    for (place, &index) in (0..).zip(indices) {
        let (left, top) = (place % COLUMNS * cell.0 + GAP, place / COLUMNS * cell.1 + GAP);
        let Some(label) = examples.prepare(epoch, index, &mut values)? else {
            continue;
        };
        for y in 0..height as u32 * scale {
            for x in 0..width as u32 * scale {
                let at = (y / scale) as usize * width + (x / scale) as usize;
                let byte = |channel: usize| normalization.byte(channel, values[channel * height * width + at]);
                sheet.put_pixel(left + x, top + y, Rgb([byte(0), byte(1), byte(2)]));
            }
        }
        write_caption(
            &mut sheet,
            (left, top + height as u32 * scale + GAP / 2),
            cell.0 - GAP,
            &caption(index, label),
        );
    }
    let mut png = Cursor::new(Vec::new());
    sheet
        .write_to(&mut png, ImageFormat::Png)
        .expect("memory takes every image");
    Ok(png.into_inner())
}

/// Writes as much of `text` as fits into `width` pixels. Characters other than ASCII become question marks.
fn write_caption(sheet: &mut RgbImage, (left, top): (u32, u32), width: u32, text: &str) {
    for (place, letter) in (0..width / LETTER).zip(text.chars()) {
        let shape = BASIC_LEGACY[if letter.is_ascii() {
            letter as usize
        } else {
            '?' as usize
        }];
        for (row, bits) in (0..).zip(shape) {
            for column in (0..LETTER).filter(|column| bits >> column & 1 == 1) {
                sheet.put_pixel(left + place * LETTER + column, top + row, Rgb([0; 3]));
            }
        }
    }
}
