//! Strict JPEG decoding: a file that is cut off is an error, not a picture with a grey bottom.

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
        // The codec itself does not notice that the last few bytes are missing.
        return Err("is cut off: its end marker is missing".to_owned());
    }
    let pixels = RgbImage::from_raw(width, height, samples).ok_or("has fewer samples than its size requires")?;
    Ok(Decoded {
        pixels: upright(pixels, orientation),
        mode: format!("jpeg {mode}"),
    })
}

/// A header: its marker, its start, and the bytes after its length field.
struct Header<'a> {
    marker: u8,
    start: usize,
    content: &'a [u8],
}

const START_OF_SCAN: u8 = 0xda;

/// The headers up to that of the first scan. Bytes between two headers are skipped, as in the codec.
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

/// Rejects a file in which a component is sampled more finely than the first. No encoder writes such files, and the codec (0.5.15) panics
/// on them. Found by fuzzing.
fn check_sampling(bytes: &[u8]) -> Result<(), String> {
    let frames =
        headers(bytes).filter(|header| matches!(header.marker, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf));
    for frame in frames {
        // Precision, height, width and the number of components; then name, sampling and table of each component.
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

/// Whether the end marker follows the last header. Headers are skipped, because a thumbnail in a header has an end marker, too.
/// Compressed data never contains one.
fn has_end(bytes: &[u8]) -> bool {
    match headers(bytes).last() {
        Some(last) if last.marker == START_OF_SCAN => {
            bytes[last.start..].windows(2).rev().any(|two| two == [0xff, 0xd9])
        }
        // Bytes between headers that strict decoding has accepted.
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

/// The colour mode of a file. Luma and chroma, the usual storage of colour, count as RGB.
fn mode_name(space: ColorSpace) -> &'static str {
    match space {
        ColorSpace::Luma => "grey",
        ColorSpace::RGB | ColorSpace::YCbCr => "RGB",
        ColorSpace::CMYK => "CMYK",
        ColorSpace::YCCK => "YCCK",
        _ => "other",
    }
}
