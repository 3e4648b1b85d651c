//! Preparation of a single image for a network, exactly as in an evaluation: [`Preprocessing`].

use crate::codec::{self, MOST_PIXELS_A_SIDE};
use crate::crop::{self, resize::resized_middle, shrunk_size};
use crate::error::DataFile;
use crate::{CHANNELS, ChannelStatistics, CropParams, DataError, ImageSet, Normalization, mnist};
use image::{RgbImage, imageops};
use std::borrow::Cow;

/// How an image of any size is converted to the square input of a network. Each data set has its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResizeMethod {
    /// Image files: the shorter side is resized to 8/7 of the square's side, and the centre is cut out.
    CentreCrop,
    /// CIFAR and the generated sets: a square image whose side is a multiple of the network's side is averaged over boxes. Of any other
    /// image, the shorter side is resized to the network's side, and the centre is cut out (*ours*).
    BoxMean,
    /// MNIST: an image that is not 32x32 is resized to 28x28 in the same way, and padded with two black pixels at each side. Then
    /// [`ResizeMethod::BoxMean`] is applied.
    Border,
}

impl ResizeMethod {
    /// All methods.
    pub const ALL: [Self; 3] = [Self::CentreCrop, Self::BoxMean, Self::Border];

    /// Describes the method for a network with images of `side` x `side`, at most 16,384. [`Preprocessing::from_description`] parses it.
    pub fn description(self, side: usize) -> String {
        match self {
            Self::CentreCrop => format!(
                "RGB; shorter side resized to {} (bilinear, antialiased); centre {side}x{side}",
                crop::short_side(side as u32)
            ),
            Self::BoxMean => format!(
                "RGB; mean over boxes to {side}x{side}, or shorter side resized to {side} (bilinear, antialiased) and centre \
                 {side}x{side}"
            ),
            Self::Border => format!(
                "RGB; resized to 28x28 (bilinear, antialiased) with a black border of 2, if not 32x32; mean over boxes to {side}x{side}"
            ),
        }
    }
}

/// Prepares an image for a network: decodes, resizes, crops and normalizes it.
///
/// Training runs evaluate with the same code, so the result is bit for bit the same.
///
/// ```
/// use stompp_data::{ChannelStatistics, ResizeMethod, Preprocessing};
///
/// let view = Preprocessing::new(ResizeMethod::CentreCrop, 4, ChannelStatistics::IMAGENET)?;
/// let white = b"P6 7 5 255 ".iter().copied().chain([255; 3 * 7 * 5]).collect::<Vec<u8>>();
/// let input = view.image(&white)?;
/// assert_eq!(input.len(), 3 * 4 * 4);
/// assert_eq!(input[0], (1.0 - 0.485) / 0.229);
/// # Ok::<(), stompp_data::DataError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    fit: ResizeMethod,
    side: u32,
    statistics: ChannelStatistics,
    normalization: Normalization,
}

impl Preprocessing {
    /// Creates the preprocessing of a network with images of `side` x `side`, normalized with `statistics`.
    ///
    /// # Errors
    /// Returns [`DataError::Preprocessing`] if the side is 0 or above 16,384, and [`DataError::Normalization`] if the statistics are
    /// unusable.
    pub fn new(fit: ResizeMethod, side: usize, statistics: ChannelStatistics) -> Result<Self, DataError> {
        Ok(Self {
            fit,
            side: checked(side)?,
            statistics,
            normalization: Normalization::new(statistics)?,
        })
    }

    /// Like [`Preprocessing::new`], but parses the text of [`ResizeMethod::description`], which the header of a packed network has.
    ///
    /// # Errors
    /// Returns [`DataError::Preprocessing`] if the text is not such a description for this side, and the errors of [`Preprocessing::new`].
    pub fn from_description(words: &str, side: usize, statistics: ChannelStatistics) -> Result<Self, DataError> {
        checked(side)?;
        let fit = ResizeMethod::ALL.into_iter().find(|fit| fit.description(side) == words);
        let fit = fit.ok_or_else(|| DataError::Preprocessing {
            problem: format!("`{words}` for images of {side}x{side} is not known to this program"),
        })?;
        Self::new(fit, side, statistics)
    }

    /// Describes the preprocessing in words.
    pub fn description(&self) -> String {
        self.fit.description(self.side as usize)
    }

    /// Mean and standard deviation used for the normalization.
    pub fn statistics(&self) -> ChannelStatistics {
        self.statistics
    }

    /// Shape of the network's input: channels, height, width.
    pub fn shape(&self) -> [usize; 3] {
        [CHANNELS, self.side as usize, self.side as usize]
    }

    /// Decodes an image file (JPEG, PNG, WebP, BMP, GIF, TIFF or PNM) and returns its prepared values, of shape [`shape`](Self::shape).
    ///
    /// # Errors
    /// Returns [`DataError::BadImage`] if the bytes are not such a file, or are damaged.
    pub fn image(&self, file: &[u8]) -> Result<Vec<f32>, DataError> {
        let decoded = codec::decode(file).map_err(|problem| DataError::BadImage {
            file: DataFile::from_path("in memory"),
            problem,
        })?;
        let mut values = vec![0.0; self.shape().iter().product()];
        self.prepare(&decoded.pixels, &mut values);
        Ok(values)
    }

    /// Prepares an image and writes its values, of shape [`shape`](Self::shape), to `out`.
    ///
    /// # Panics
    /// Panics if `out` has a different length, or if the image has no pixels.
    pub fn prepare(&self, image: &RgbImage, out: &mut [f32]) {
        let square = match self.fit {
            ResizeMethod::CentreCrop => return crop::write_centre(image, self.side, &self.normalization, out),
            ResizeMethod::BoxMean => Cow::Borrowed(image),
            ResizeMethod::Border => bordered(image),
        };
        let (width, height) = square.dimensions();
        let square = match width == height && width.is_multiple_of(self.side) {
            true => square,
            false => Cow::Owned(cut(&square, self.side)),
        };
        // The same layout and code as for a set in memory.
        let side = square.width() as usize;
        let set = ImageSet::new("image", (side, side), 1, planes(&square), vec![0]);
        let side = self.side as usize;
        let small = set.and_then(|set| set.shrink_to(side)).expect("its side is a multiple");
        CropParams::IDENTITY.apply(small.image(0), (side, side), &self.normalization, out);
    }
}

fn checked(side: usize) -> Result<u32, DataError> {
    let side = u32::try_from(side)
        .ok()
        .filter(|side| (1..=MOST_PIXELS_A_SIDE).contains(side))
        .ok_or(side);
    side.map_err(|side| DataError::Preprocessing {
        problem: format!("images of {side}x{side}: expected a side from 1 to {MOST_PIXELS_A_SIDE}"),
    })
}

/// The centre, `side` x `side`, of the image after its shorter side was resized to `side`.
fn cut(image: &RgbImage, side: u32) -> RgbImage {
    resized_middle(image, shrunk_size(image.dimensions(), side), side)
}

/// Adds MNIST's border to an image. An image of 32x32 already has it.
fn bordered(image: &RgbImage) -> Cow<'_, RgbImage> {
    let (whole, inner) = (mnist::SIDE as u32, mnist::INNER as u32);
    if image.dimensions() == (whole, whole) {
        return Cow::Borrowed(image);
    }
    let inside = match image.dimensions() == (inner, inner) {
        true => Cow::Borrowed(image),
        false => Cow::Owned(cut(image, inner)),
    };
    let mut framed = RgbImage::new(whole, whole);
    let border = mnist::BORDER as i64;
    imageops::replace(&mut framed, &*inside, border, border);
    Cow::Owned(framed)
}

/// Pixels in shape (3, height, width).
fn planes(image: &RgbImage) -> Vec<u8> {
    (0..CHANNELS)
        .flat_map(|channel| image.pixels().map(move |pixel| pixel.0[channel]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Synthetic, SyntheticKind};
    use crate::{Examples, ImageExamples, Labelled};
    use image::Rgb;
    use std::sync::Arc;

    const STATISTICS: ChannelStatistics = ChannelStatistics {
        mean: [0.49, 0.48, 0.45],
        std: [0.25, 0.24, 0.26],
    };

    fn prepared(fit: ResizeMethod, side: usize, image: &RgbImage) -> Vec<f32> {
        let mut out = vec![f32::NAN; 3 * side * side];
        Preprocessing::new(fit, side, STATISTICS)
            .unwrap()
            .prepare(image, &mut out);
        out
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Compares the inputs from a set in memory with those from the same pixels in an image file.
    #[test]
    fn an_image_has_the_bits_that_its_set_gives_it() {
        let set = Synthetic {
            kind: SyntheticKind::Shapes,
            seed: 0,
            train: 10,
            test: 10,
        };
        let set = set.generate().unwrap().test;
        for side in [32, 16, 8] {
            let small = Arc::new(set.shrink_to(side).unwrap());
            let examples = ImageExamples::new(small, Normalization::new(STATISTICS).unwrap());
            let view = Preprocessing::new(ResizeMethod::BoxMean, side, STATISTICS).unwrap();
            for index in 0..set.labels().len() {
                let mut expected = vec![f32::NAN; 3 * side * side];
                examples.prepare(0, index, &mut expected).unwrap();
                let pixels = set.image(index);
                let image = RgbImage::from_fn(32, 32, |x, y| {
                    Rgb(std::array::from_fn(|c| pixels[c * 1024 + (y * 32 + x) as usize]))
                });
                let mut png = std::io::Cursor::new(Vec::new());
                image.write_to(&mut png, image::ImageFormat::Png).unwrap();
                assert_eq!(bits(&view.image(png.get_ref()).unwrap()), bits(&expected), "{side}");
            }
        }
    }

    #[test]
    fn images_of_mnist_get_their_border() {
        let digit = RgbImage::from_fn(28, 28, |x, y| Rgb([(x * 9) as u8, (y * 9) as u8, 7]));
        let mut framed = RgbImage::new(32, 32);
        imageops::replace(&mut framed, &digit, 2, 2);
        let expected = prepared(ResizeMethod::BoxMean, 32, &framed);
        assert_eq!(prepared(ResizeMethod::Border, 32, &digit), expected);
        assert_eq!(
            prepared(ResizeMethod::Border, 32, &framed),
            expected,
            "it already has a border"
        );
        assert_ne!(prepared(ResizeMethod::BoxMean, 32, &digit), expected);
        let large = imageops::resize(&digit, 84, 84, imageops::FilterType::Nearest);
        let close = prepared(ResizeMethod::Border, 32, &large)
            .iter()
            .zip(&expected)
            .all(|(a, b)| (a - b).abs() < 0.2);
        assert!(close, "three pixels for one");
    }

    #[test]
    fn images_of_any_size_and_shape_are_cut_to_the_square() {
        // Left half black, right half white: the middle stays.
        let wide = RgbImage::from_fn(90, 30, |x, _| Rgb([if x < 45 { 0 } else { 255 }; 3]));
        for fit in ResizeMethod::ALL {
            let values = prepared(fit, 8, &wide);
            let black = (0.0 - 0.49) / 0.25;
            assert_eq!(values[4 * 8 + 1], black, "{fit:?}");
            assert!(values[4 * 8 + 6] > 1.9, "{fit:?}");
        }
        for size in [(1, 1), (1, 400), (33, 31), (8, 8), (24, 24)] {
            let image = RgbImage::from_pixel(size.0, size.1, Rgb([128, 128, 128]));
            for fit in [ResizeMethod::CentreCrop, ResizeMethod::BoxMean] {
                let values = prepared(fit, 8, &image);
                let grey = (128.0 / 255.0 - 0.49) / 0.25;
                assert!(values[..64].iter().all(|value| *value == grey), "{fit:?} {size:?}");
            }
        }
    }

    #[test]
    fn words_are_read_back() {
        for fit in ResizeMethod::ALL {
            for side in [16, 32, 224] {
                let view = Preprocessing::new(fit, side, STATISTICS).unwrap();
                assert_eq!(
                    Preprocessing::from_description(&view.description(), side, STATISTICS).unwrap(),
                    view
                );
            }
        }
        let words = ResizeMethod::CentreCrop.description(224);
        assert_eq!(
            words,
            "RGB; shorter side resized to 256 (bilinear, antialiased); centre 224x224"
        );
        let error = Preprocessing::from_description(&words, 32, STATISTICS).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("preprocessing: `{words}` for images of 32x32 is not known to this program")
        );
    }

    #[test]
    fn what_cannot_be_prepared_is_refused() {
        let error = |side| {
            Preprocessing::new(ResizeMethod::BoxMean, side, STATISTICS)
                .unwrap_err()
                .to_string()
        };
        for side in [0, 16_385, usize::MAX] {
            assert_eq!(
                error(side),
                format!("preprocessing: images of {side}x{side}: expected a side from 1 to 16384")
            );
        }
        let view = Preprocessing::new(ResizeMethod::BoxMean, 8, STATISTICS).unwrap();
        let error = view.image(b"no image").unwrap_err().to_string();
        assert!(error.starts_with("image in memory: is not an image"), "{error}");
        let flat = ChannelStatistics {
            std: [0.0; 3],
            ..STATISTICS
        };
        assert!(matches!(
            Preprocessing::new(ResizeMethod::BoxMean, 8, flat),
            Err(DataError::Normalization { .. })
        ));
    }
}
