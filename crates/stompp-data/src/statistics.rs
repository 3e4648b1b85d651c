//! Mean and standard deviation of each channel, and the normalization with them.

use crate::{CHANNELS, DataError, ImageSet};

/// Mean and standard deviation of each channel, red, green, blue, of pixel values from 0 (black) to 1 (white).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChannelStatistics {
    /// Means.
    pub mean: [f32; CHANNELS],
    /// Standard deviations over all pixels of all images. Some published values are something else: the mean of the deviations of
    /// single images.
    pub std: [f32; CHANNELS],
}

impl ChannelStatistics {
    /// torchvision's values for ImageNet, also common for other photographs.
    pub const IMAGENET: Self = Self {
        mean: [0.485, 0.456, 0.406],
        std: [0.229, 0.224, 0.225],
    };
}

impl ImageSet {
    /// Computes the statistics of all pixels of the set. The sums are integers, so only the last step rounds.
    ///
    /// For the CIFAR training sets they equal the published values: 0.4914 0.4822 0.4465 and 0.2470 0.2435 0.2616 for
    /// CIFAR-10, 0.5071 0.4865 0.4409 and 0.2673 0.2564 0.2762 for CIFAR-100.
    pub fn channel_statistics(&self) -> ChannelStatistics {
        let plane_pixels = self.height() * self.width();
        let mut sums = ChannelSums::default();
        for image in self.pixels().chunks_exact(CHANNELS * plane_pixels) {
            sums.add_planes(image);
        }
        sums.statistics()
    }
}

/// Exact sums over pixels. The order of additions does not matter.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ChannelSums {
    /// Pixels of each channel.
    pixels: u64,
    sums: [u64; CHANNELS],
    squares: [u64; CHANNELS],
}

impl ChannelSums {
    /// Adds an image of shape `(3, height, width)`.
    pub(crate) fn add_planes(&mut self, image: &[u8]) {
        let plane_pixels = image.len() / CHANNELS;
        for (channel, plane) in image.chunks_exact(plane_pixels).enumerate() {
            plane.iter().for_each(|&value| self.add_value(channel, value));
        }
        self.pixels += plane_pixels as u64;
    }

    /// Adds an image of shape `(height, width, 3)`.
    pub(crate) fn add_pixels(&mut self, image: &[u8]) {
        for pixel in image.as_chunks::<CHANNELS>().0 {
            pixel
                .iter()
                .enumerate()
                .for_each(|(channel, &value)| self.add_value(channel, value));
        }
        self.pixels += (image.len() / CHANNELS) as u64;
    }

    fn add_value(&mut self, channel: usize, value: u8) {
        self.sums[channel] += u64::from(value);
        self.squares[channel] += u64::from(value) * u64::from(value);
    }

    /// Adds the sums of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.pixels += other.pixels;
        for channel in 0..CHANNELS {
            self.sums[channel] += other.sums[channel];
            self.squares[channel] += other.squares[channel];
        }
    }

    /// Means and standard deviations; NaN if there is no pixel.
    pub(crate) fn statistics(&self) -> ChannelStatistics {
        let count = u128::from(self.pixels);
        let mean = self.sums.map(|sum| (sum as f64 / count as f64 / 255.0) as f32);
        let std = std::array::from_fn(|channel| {
            let (sum, square) = (u128::from(self.sums[channel]), u128::from(self.squares[channel]));
            let variance_times_count2 = square * count - sum * sum;
            ((variance_times_count2 as f64).sqrt() / count as f64 / 255.0) as f32
        });
        ChannelStatistics { mean, std }
    }
}

/// Turns pixel bytes into `(byte / 255 - mean) / std`, in f32 arithmetic in this order, as torchvision's `ToTensor` and
/// `Normalize` do.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalization {
    /// The result for every byte, per channel.
    tables: [[f32; 256]; CHANNELS],
}

impl Normalization {
    /// Creates the normalization that gives a set with these statistics mean 0 and standard deviation 1.
    ///
    /// # Errors
    /// Returns [`DataError::Normalization`] if a value is not finite or a standard deviation is not positive. The latter happens if
    /// all pixels have the same colour.
    pub fn new(ChannelStatistics { mean, std }: ChannelStatistics) -> Result<Self, DataError> {
        let usable = mean.iter().all(|mean| mean.is_finite()) && std.iter().all(|std| std.is_finite() && *std > 0.0);
        if !usable {
            return Err(DataError::Normalization { mean, std });
        }
        let value = |channel: usize, byte: usize| (byte as f32 / 255.0 - mean[channel]) / std[channel];
        Ok(Self {
            tables: std::array::from_fn(|channel| std::array::from_fn(|byte| value(channel, byte))),
        })
    }

    /// The byte whose normalized value is nearest to `value`.
    pub(crate) fn byte(&self, channel: usize, value: f32) -> u8 {
        let table = &self.tables[channel];
        let above = table.partition_point(|&known| known < value).clamp(1, 255);
        let nearer = usize::from(value - table[above - 1] < table[above] - value);
        (above - nearer) as u8
    }

    /// The normalized value of every byte of a channel.
    pub fn table(&self, channel: usize) -> &[f32; 256] {
        &self.tables[channel]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ```python
    /// import numpy as np
    /// a = (np.arange(2 * 3 * 4 * 4) ** 2 * 7 % 256).astype(np.uint8).reshape(2, 3, 16) / 255
    /// a.mean((0, 2)), a.std((0, 2))
    /// ```
    #[test]
    fn statistics_are_those_of_numpy() {
        let pixels = (0..96u32).map(|i| (i * i * 7 % 256) as u8).collect();
        let set = ImageSet::new("test", (4, 4), 2, pixels, vec![1, 0]).unwrap();
        let ChannelStatistics { mean, std } = set.channel_statistics();
        assert_eq!(mean, [0.496_078_43, 0.558_823_5, 0.558_823_5]);
        assert_eq!(std, [0.313_682_6, 0.323_339_22, 0.251_416_6]);

        // The same image by pixels instead of planes, in two parts.
        let mut sums = ChannelSums::default();
        for image in set.pixels().chunks(48) {
            let interleaved: Vec<u8> = (0..48).map(|i| image[i % 3 * 16 + i / 3]).collect();
            let mut part = ChannelSums::default();
            part.add_pixels(&interleaved);
            sums.add(&part);
        }
        assert_eq!(sums.statistics(), ChannelStatistics { mean, std });
    }

    #[test]
    fn only_usable_statistics_normalize() {
        let good = ChannelStatistics {
            mean: [0.5; 3],
            std: [0.25; 3],
        };
        assert_eq!(Normalization::new(good).unwrap().table(2)[255], 2.0);
        for std in [0.0, -0.1, f32::NAN, f32::INFINITY] {
            assert!(
                Normalization::new(ChannelStatistics {
                    std: [0.25, std, 0.25],
                    ..good
                })
                .is_err()
            );
        }
        let normalization = Normalization::new(good).unwrap();
        for byte in 0..=255 {
            assert_eq!(normalization.byte(1, normalization.table(1)[usize::from(byte)]), byte);
        }
        assert_eq!((normalization.byte(1, -9.0), normalization.byte(1, 9.0)), (0, 255));
        let endless = ChannelStatistics {
            mean: [0.5, f32::NEG_INFINITY, 0.5],
            ..good
        };
        assert!(
            Normalization::new(endless)
                .unwrap_err()
                .to_string()
                .starts_with("normalization needs finite means")
        );
    }
}
