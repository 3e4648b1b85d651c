//! JPEG, strictly: a file that ends early is an error, not a picture with a grey foot.

use super::{Decoded, MOST_PIXELS_A_SIDE, check_size};
use image::{DynamicImage, RgbImage, metadata::Orientation};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    check_sampling(bytes)?;
    let side = MOST_PIXELS_A_SIDE as usize;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(side)
        .set_max_height(side)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    let message = |error| format!("{error}").trim_end().to_owned();
    decoder.decode_headers().map_err(message)?;
    let info = decoder.info().ok_or("has no frame")?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    check_size((width, height))?;
    let mode = decoder.input_colorspace().map_or("unknown", mode_name);
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    let samples = decoder.decode().map_err(message)?;
    if !has_end(bytes) {
        // The codec itself does not miss the last few bytes.
        return Err("is cut off: the marker of its end is missing".to_owned());
    }
    let pixels = RgbImage::from_raw(width, height, samples).ok_or("has not as many samples as its size asks for")?;
    Ok(Decoded {
        pixels: upright(pixels, orientation),
        mode: format!("jpeg {mode}"),
    })
}

/// A header: its marker, where it begins, and what follows its length.
struct Header<'a> {
    marker: u8,
    start: usize,
    content: &'a [u8],
}

const START_OF_SCAN: u8 = 0xda;

/// The headers up to the first scan's. What stands between two is stepped over, as the codec does.
fn headers(bytes: &[u8]) -> impl Iterator<Item = Header<'_>> {
    let mut at = Some(2);
    std::iter::from_fn(move || {
        let from = at?;
        let is_marker = |two: &[u8]| two[0] == 0xff && !matches!(two[1], 0 | 0xff);
        let start = from + bytes.get(from..)?.windows(2).position(is_marker)?;
        let &[_, marker, high, low] = bytes.get(start..start + 4)? else {
            return None;
        };
        let end = start + 2 + usize::from(u16::from_be_bytes([high, low]));
        at = (marker != START_OF_SCAN).then_some(end);
        let content = bytes.get(start + 4..end).unwrap_or_default();
        Some(Header { marker, start, content })
    })
}

/// Refuses a file in which some component is sampled more finely than the first one, which no encoder does: the codec (0.5.15) panics
/// there. Found by fuzzing.
fn check_sampling(bytes: &[u8]) -> Result<(), String> {
    let frames =
        headers(bytes).filter(|header| matches!(header.marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf));
    for frame in frames {
        // Precision, height, width and the number of components; then of each its name, sampling and table.
        let (components, _) = frame.content.get(6..).unwrap_or_default().as_chunks::<3>();
        let sampling = |component: &[u8; 3]| (component[1] >> 4, component[1] & 15);
        let Some(first) = components.first().map(sampling) else {
            continue;
        };
        for (place, (across, down)) in (1..).zip(components.iter().map(sampling)) {
            if across > first.0 || down > first.1 {
                return Err(format!(
                    "its component {place} is sampled {across}x{down}, more finely than the first, {}x{}",
                    first.0, first.1
                ));
            }
        }
    }
    Ok(())
}

/// Whether the marker of the end follows the last header. Headers are stepped over, because a thumbnail in one has such a
/// marker, too; in compressed data there is none.
fn has_end(bytes: &[u8]) -> bool {
    match headers(bytes).last() {
        Some(last) if last.marker == START_OF_SCAN => {
            bytes[last.start..].windows(2).rev().any(|two| two == [0xff, 0xd9])
        }
        // Padding between headers, which strict decoding has accepted.
        _ => bytes.ends_with(&[0xff, 0xd9]),
    }
}

fn upright(pixels: RgbImage, orientation: Option<Orientation>) -> RgbImage {
    match orientation {
        None | Some(Orientation::NoTransforms) => pixels,
        Some(orientation) => {
            let mut image = DynamicImage::from(pixels);
            image.apply_orientation(orientation);
            image.into_rgb8()
        }
    }
}

/// What the samples of a file mean. Colour is usually stored as luma and chroma, which is as good as RGB.
fn mode_name(space: ColorSpace) -> &'static str {
    match space {
        ColorSpace::Luma => "grey",
        ColorSpace::RGB | ColorSpace::YCbCr => "RGB",
        ColorSpace::CMYK => "CMYK",
        ColorSpace::YCCK => "YCCK",
        _ => "other",
    }
}
