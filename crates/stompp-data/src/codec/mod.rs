//! Decoding of one image file to upright RGB pixels.
//!
//! The first bytes of a file determine its format, not its name (ImageNet has a PNG named `.JPEG`). Grey and CMYK become
//! RGB, transparency is dropped as Pillow's `convert("RGB")` drops it, and an EXIF orientation is applied.
//!
//! JPEG is decoded by `zune-jpeg` directly. It is the codec behind [`image`], but `image` runs it leniently: it accepted all of 98
//! real JPEGs cut off at every length, and filled the rest with grey. Strict decoding rejects all of them. A JPEG has no checksum, so
//! damage inside its compressed data can decode to a wrong picture with any decoder. Over 1000 ImageNet JPEGs
//! the pixels differ from libjpeg-turbo's by 0.05 levels on average; decoding took 1.34 s, Pillow 13.0's 1.42 s, and a C build of
//! the same library without assembler 2.25 s (one core of an AMD EPYC, AVX-512, 2026-11-25). The codec offers no scaled
//! decoding.
//!
//! PNG, WebP, BMP, GIF (its first frame), TIFF (its first page) and PNM go through [`image`], under the same limits.

mod jpeg;

use image::{DynamicImage, ExtendedColorType, ImageDecoder, ImageFormat, ImageReader, Limits, RgbImage};
use std::io::Cursor;
use std::panic::{UnwindSafe, catch_unwind};

/// Extensions of image files. Case is ignored.
pub(crate) const ENDINGS: [&str; 14] = [
    "jpeg", "jpg", "jpe", "jfif", "png", "webp", "bmp", "gif", "tiff", "tif", "ppm", "pgm", "pbm", "pnm",
];

/// A wider or higher image is rejected before memory is allocated for it.
pub(crate) const MOST_PIXELS_A_SIDE: u32 = 16_384;

/// An image of more pixels is rejected before memory is allocated for it: 64 million, 192 MB of RGB. One million in a fuzzer, which would
/// otherwise spend half its time on clearing memory.
pub(crate) const MOST_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 1 << 26 };

/// A decoded image and its original mode.
#[derive(Clone, Debug)]
pub(crate) struct Decoded {
    /// Upright pixels.
    pub(crate) pixels: RgbImage,
    /// Format and colour mode of the file, for example `jpeg CMYK` or `png RGBA`.
    pub(crate) mode: String,
}

/// Whether a file of this name counts as an image. Hidden files do not, such as the `._a.jpg` that macOS adds.
pub(crate) fn is_image(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    !base.starts_with('.')
        && base
            .rsplit_once('.')
            .is_some_and(|(_, ending)| ENDINGS.iter().any(|known| known.eq_ignore_ascii_case(ending)))
}

/// Whether these first bytes of a file are those of an image format.
pub(crate) fn has_image_signature(start: &[u8]) -> bool {
    image::guess_format(start).is_ok()
}

/// The extensions of image files, for messages.
pub(crate) fn extensions() -> String {
    ENDINGS.map(|ending| format!(".{ending}")).join(", ")
}

/// Decodes an image file.
///
/// # Errors
/// Returns the problem if the file is not an image, of an unknown format, too large, damaged or cut off.
pub(crate) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    match image::guess_format(bytes) {
        Ok(ImageFormat::Jpeg) => catch_panic(|| jpeg::decode(bytes)),
        Ok(ImageFormat::WebP) => catch_panic(|| decode_webp(bytes)),
        Ok(format) => match NAMES.iter().find(|(known, _)| *known == format) {
            Some((_, name)) => catch_panic(|| decode_other(bytes, format, name)),
            None => Err(format!("is {format:?}, expected one of {KINDS}")),
        },
        Err(_) => Err(format!("is not an image: its first bytes match none of {KINDS}")),
    }
}

/// Formats that can be read.
const KINDS: &str = "JPEG, PNG, WebP, BMP, GIF, TIFF, PNM";

/// Names of the formats that `image` decodes.
const NAMES: [(ImageFormat, &str); 6] = [
    (ImageFormat::Png, "png"),
    (ImageFormat::WebP, "webp"),
    (ImageFormat::Bmp, "bmp"),
    (ImageFormat::Gif, "gif"),
    (ImageFormat::Tiff, "tiff"),
    (ImageFormat::Pnm, "pnm"),
];

/// Calls `decode`. A damaged file may cause a panic of the codec, which becomes an error.
fn catch_panic(decode: impl FnOnce() -> Result<Decoded, String> + UnwindSafe) -> Result<Decoded, String> {
    catch_unwind(decode).unwrap_or_else(|_| Err("makes the codec fail: it is damaged or invalid".to_owned()))
}

/// Decodes a WebP after a check of its length: the codec fills the missing end of a lossy file with grey.
fn decode_webp(bytes: &[u8]) -> Result<Decoded, String> {
    let declared = bytes
        .get(4..8)
        .and_then(|size| size.try_into().ok())
        .map(u32::from_le_bytes);
    let expected = 8 + u64::from(declared.ok_or("is cut off inside its header")?);
    if (bytes.len() as u64) < expected {
        return Err(format!("is cut off: {} of {expected} bytes are there", bytes.len()));
    }
    decode_other(bytes, ImageFormat::WebP, "webp")
}

/// Decodes an image with `image`.
fn decode_other(bytes: &[u8], format: ImageFormat, name: &str) -> Result<Decoded, String> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    let mut limits = Limits::default();
    limits.max_image_width = Some(MOST_PIXELS_A_SIDE);
    limits.max_image_height = Some(MOST_PIXELS_A_SIDE);
    // A frame of a GIF may be larger than the picture. 512 MB: 16 bits of red, green, blue and alpha.
    limits.max_alloc = Some(8 * MOST_PIXELS);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(|error| error.to_string())?;
    check_size(decoder.dimensions())?;
    let mode = format!("{name} {}", mode_name(decoder.original_color_type()));
    let orientation = decoder.orientation().map_err(|error| error.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|error| error.to_string())?;
    image.apply_orientation(orientation);
    Ok(Decoded {
        pixels: image.into_rgb8(),
        mode,
    })
}

fn check_size((width, height): (u32, u32)) -> Result<(), String> {
    let too_large = width.max(height) > MOST_PIXELS_A_SIDE || u64::from(width) * u64::from(height) > MOST_PIXELS;
    if too_large {
        return Err(format!(
            "is {width}x{height}; refused, the limits are {MOST_PIXELS_A_SIDE} a side and {MOST_PIXELS} pixels"
        ));
    }
    if width == 0 || height == 0 {
        return Err(format!("is {width}x{height}, expected at least one pixel"));
    }
    Ok(())
}

fn mode_name(color: ExtendedColorType) -> String {
    match color {
        ExtendedColorType::L8 => "grey".to_owned(),
        ExtendedColorType::Rgb8 => "RGB".to_owned(),
        ExtendedColorType::Rgba8 => "RGBA".to_owned(),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ImageBuffer, Rgb, Rgba, RgbaImage};
    use jpeg_encoder::{ColorType, Encoder};

    /// A picture with different corners. It is smooth, so that JPEG changes it by a few levels only.
    fn picture(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            let (x, y) = ((x * 200 / width) as u8, (y * 200 / height) as u8);
            Rgb([20 + x, 30 + y, 220 - x / 2 - y / 2])
        })
    }

    fn jpeg(image: &RgbImage, color: ColorType, convert: impl Fn([u8; 3]) -> Vec<u8>) -> Vec<u8> {
        let samples: Vec<u8> = image.pixels().flat_map(|pixel| convert(pixel.0)).collect();
        let mut bytes = Vec::new();
        Encoder::new(&mut bytes, 98)
            .encode(&samples, image.width() as u16, image.height() as u16, color)
            .unwrap();
        bytes
    }

    fn rgb_jpeg(image: &RgbImage) -> Vec<u8> {
        jpeg(image, ColorType::Rgb, |rgb| rgb.to_vec())
    }

    fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        image.write_to(&mut bytes, format).unwrap();
        bytes.into_inner()
    }

    fn png(image: &DynamicImage) -> Vec<u8> {
        encoded(image, ImageFormat::Png)
    }

    /// Mean absolute difference in levels.
    fn difference(a: &RgbImage, b: &RgbImage) -> f64 {
        assert_eq!(a.dimensions(), b.dimensions());
        let sum: u64 = a.iter().zip(b.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum();
        sum as f64 / a.len() as f64
    }

    /// Converts a colour to CMYK with as much black as possible.
    fn cmyk(rgb: [u8; 3]) -> Vec<u8> {
        let passes = rgb.into_iter().max().unwrap();
        let ink = |channel: u8| 255 - (u32::from(channel) * 255 / u32::from(passes)) as u8;
        rgb.into_iter().map(ink).chain([255 - passes]).collect()
    }

    #[test]
    fn every_kind_becomes_the_same_rgb() {
        let original = picture(40, 24);
        let rgba = RgbaImage::from_fn(40, 24, |x, y| {
            let [r, g, b] = original[(x, y)].0;
            Rgba([r, g, b, 7 + x as u8])
        });
        let sixteen_bits =
            ImageBuffer::from_fn(40, 24, |x, y| Rgb(original[(x, y)].0.map(|byte| u16::from(byte) * 257)));
        let files = [
            ("jpeg RGB", rgb_jpeg(&original), 2.5),
            ("jpeg CMYK", jpeg(&original, ColorType::Cmyk, cmyk), 2.5),
            ("jpeg YCCK", jpeg(&original, ColorType::CmykAsYcck, cmyk), 2.5),
            ("png RGB", png(&original.clone().into()), 0.0),
            ("png RGBA", png(&rgba.into()), 0.0),
            ("png Rgb16", png(&sixteen_bits.into()), 0.0),
            ("webp RGB", encoded(&original.clone().into(), ImageFormat::WebP), 0.0),
            ("bmp RGB", encoded(&original.clone().into(), ImageFormat::Bmp), 0.0),
            ("tiff RGB", encoded(&original.clone().into(), ImageFormat::Tiff), 0.0),
            ("pnm RGB", encoded(&original.clone().into(), ImageFormat::Pnm), 0.0),
            // A GIF has 256 colours, fewer than the picture.
            ("gif RGBA", encoded(&original.clone().into(), ImageFormat::Gif), 7.0),
        ];
        for (mode, bytes, most) in files {
            let decoded = decode(&bytes).unwrap();
            assert_eq!(decoded.mode, mode);
            let difference = difference(&decoded.pixels, &original);
            assert!(difference <= most, "{mode}: {difference}");
        }
    }

    #[test]
    fn grey_becomes_three_equal_channels() {
        let original = picture(16, 16);
        let grey = jpeg(&original, ColorType::Luma, |[r, ..]| vec![r]);
        let decoded = decode(&grey).unwrap();
        assert_eq!(decoded.mode, "jpeg grey");
        assert!(
            decoded
                .pixels
                .pixels()
                .zip(original.pixels())
                .all(|(ours, original)| ours.0 == [ours[0]; 3] && ours[0].abs_diff(original[0]) <= 4)
        );
        let png = decode(&png(&DynamicImage::ImageRgb8(original).into_luma8().into())).unwrap();
        assert_eq!(png.mode, "png grey");
    }

    /// An EXIF block, little endian, with nothing but an orientation.
    fn exif(orientation: u8) -> Vec<u8> {
        let entry = [0x12, 0x01, 3, 0, 1, 0, 0, 0, orientation, 0, 0, 0];
        [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 4]].concat()
    }

    #[test]
    fn exif_orientations_are_applied() {
        let upright = picture(40, 24);
        // The EXIF orientation, and the pixels that a camera turned that way stores.
        let stored = [
            (1, upright.clone()),
            (2, image::imageops::flip_horizontal(&upright)),
            (3, image::imageops::rotate180(&upright)),
            (6, image::imageops::rotate270(&upright)),
            (8, image::imageops::rotate90(&upright)),
        ];
        for (orientation, stored) in stored {
            let mut bytes = Vec::new();
            let mut encoder = Encoder::new(&mut bytes, 98);
            encoder.add_exif_metadata(&exif(orientation)).unwrap();
            let (width, height) = (stored.width() as u16, stored.height() as u16);
            encoder.encode(&stored, width, height, ColorType::Rgb).unwrap();
            let decoded = decode(&bytes).unwrap().pixels;
            assert!(difference(&decoded, &upright) < 2.5, "orientation {orientation}");
        }
    }

    #[test]
    fn what_is_cut_off_is_refused_at_every_length() {
        let picture = picture(40, 24);
        let others = [
            ImageFormat::WebP,
            ImageFormat::Bmp,
            ImageFormat::Gif,
            ImageFormat::Tiff,
            ImageFormat::Pnm,
        ];
        let others = others.map(|format| encoded(&picture.clone().into(), format)).to_vec();
        for bytes in [vec![rgb_jpeg(&picture), png(&picture.clone().into())], others].concat() {
            // No decoder reads the checksum of a PNG's closing block, or the end of a GIF.
            for length in 0..bytes.len() - 4 {
                assert!(decode(&bytes[..length]).is_err(), "cut at {length} of {}", bytes.len());
            }
            decode(&bytes).unwrap();
        }
    }

    #[test]
    fn giants_are_refused_before_memory_is_taken() {
        let mut jpeg = rgb_jpeg(&picture(40, 24));
        let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        jpeg[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        let message = decode(&jpeg).unwrap_err();
        assert!(message.contains("65535") || message.contains("16384"), "{message}");

        let mut png = png(&picture(40, 24).into());
        png[16..24].copy_from_slice(&[0, 0, 0x3f, 0xff, 0, 0, 0x3f, 0xff]);
        let sum = crc32fast::hash(&png[12..29]);
        png[29..33].copy_from_slice(&sum.to_be_bytes());
        assert!(decode(&png).unwrap_err().starts_with("is 16383x16383; refused"));
        // A complete file that is 30,000 pixels wide.
        let wide = super::tests::png(&RgbImage::new(30_000, 1).into());
        assert_eq!(decode(&wide).unwrap_err(), "Image size exceeds limit");
    }

    /// Found by fuzzing: the codec panics on such a file.
    #[test]
    fn components_sampled_more_finely_than_the_first_are_refused() {
        let mut jpeg = rgb_jpeg(&picture(40, 24));
        let frame = jpeg.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
        jpeg[frame + 11] = 0x11;
        jpeg[frame + 17] = 0x22;
        let message = decode(&jpeg).unwrap_err();
        assert_eq!(
            message,
            "its component 3 is sampled 2x2, more finely than the first, 1x1"
        );
        // The codec skips bytes between two headers.
        jpeg.insert(frame, 0x1b);
        assert_eq!(decode(&jpeg).unwrap_err(), message);
    }

    #[test]
    fn a_codec_that_panics_is_an_error_of_the_file() {
        let message = catch_panic(|| panic!("out of bounds")).unwrap_err();
        assert!(message.starts_with("makes the codec fail"), "{message}");
    }

    #[test]
    fn other_files_are_told_from_images() {
        assert!(decode(b"").unwrap_err().starts_with("is not an image"));
        assert!(decode(b"<html>").unwrap_err().starts_with("is not an image"));
        assert!(
            decode(b"\0\0\0\x1cftypavif....")
                .unwrap_err()
                .starts_with("is Avif, expected one of JPEG")
        );
        assert_eq!(
            ["a.JPEG", "b/c.jpg", "d.PnG", "e.webp", "f.TIF"].map(is_image),
            [true; 5]
        );
        assert_eq!(["a.heic", "jpeg", "b/._c.jpg", ".png"].map(is_image), [false; 4]);
    }
}
