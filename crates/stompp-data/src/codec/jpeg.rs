//! JPEG, strictly: a file that ends early is an error, not a picture with a grey foot.

use super::{Decoded, MOST_PIXELS_A_SIDE, check_size};
use image::{DynamicImage, RgbImage, metadata::Orientation};
use zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions};
use zune_jpeg::JpegDecoder;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
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

/// Whether the marker of the end follows the last header. Headers are stepped over, because a thumbnail in one has such a
/// marker, too; in compressed data there is none.
fn has_end(bytes: &[u8]) -> bool {
    const START_OF_SCAN: u8 = 0xda;
    let mut at = 2;
    while let Some(&[0xff, marker, high, low]) = bytes.get(at..at + 4) {
        if marker == START_OF_SCAN {
            return bytes[at..].windows(2).rev().any(|two| two == [0xff, 0xd9]);
        }
        at += 2 + usize::from(u16::from_be_bytes([high, low]));
    }
    // Padding between headers, which strict decoding has accepted.
    bytes.ends_with(&[0xff, 0xd9])
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
