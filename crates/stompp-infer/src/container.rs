//! The file format: a safetensors file with a checksum in its metadata.

use crate::{error::OpenError, info};
use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use core::ops::Range;
use serde::Deserialize;
use xxhash_rust::xxh3::Xxh3;

/// Number of bytes that store the length of the header.
const LENGTH: usize = 8;
/// The data starts at a multiple of this number, so that every tensor is aligned to its type.
const ALIGNMENT: usize = 64;
/// The text before the checksum in the header.
const CHECKSUM: &str = "\"checksum\":\"";
/// Number of hexadecimal digits of a checksum.
const DIGITS: usize = 16;

/// Types of tensors in a packed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dtype {
    U8,
    I16,
    I32,
    F32,
}

impl Dtype {
    fn name(self) -> &'static str {
        match self {
            Self::U8 => "U8",
            Self::I16 => "I16",
            Self::I32 => "I32",
            Self::F32 => "F32",
        }
    }

    pub(crate) fn size(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::I16 => 2,
            Self::I32 | Self::F32 => 4,
        }
    }
}

/// A tensor to write.
pub(crate) struct PackedTensor {
    pub(crate) name: String,
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

/// Returns the bytes of a file with `metadata` and `tensors`. Tensors with larger types come first, so that all tensors are aligned.
pub(crate) fn write(metadata: &[(&str, String)], mut tensors: Vec<PackedTensor>) -> Vec<u8> {
    tensors.sort_by_key(|tensor| core::cmp::Reverse(tensor.dtype.size()));
    let quoted = |text: &str| serde_json::to_string(text).expect("a string is valid JSON");
    let mut header = format!(
        "{{\"__metadata__\":{{\"format\":\"{}\",\"version\":\"{}\",{CHECKSUM}{:0DIGITS$}\"",
        info::FORMAT,
        info::VERSION,
        0
    );
    for (key, value) in metadata {
        header.push_str(&format!(",{}:{}", quoted(key), quoted(value)));
    }
    header.push('}');
    let mut at = 0;
    for tensor in &tensors {
        let end = at + tensor.bytes.len();
        header.push_str(
            &format!(
                ",{}:{{\"dtype\":\"{}\",\"shape\":{:?},\"data_offsets\":[{at},{end}]}}",
                quoted(&tensor.name),
                tensor.dtype.name(),
                tensor.shape
            )
            .replace(", ", ","),
        );
        at = end;
    }
    header.push('}');
    while !(LENGTH + header.len()).is_multiple_of(ALIGNMENT) {
        header.push(' ');
    }
    let mut file = Vec::with_capacity(LENGTH + header.len() + at);
    file.extend((header.len() as u64).to_le_bytes());
    file.extend(header.as_bytes());
    tensors.iter().for_each(|tensor| file.extend(&tensor.bytes));
    let place = LENGTH + header.find(CHECKSUM).expect("written above") + CHECKSUM.len();
    let digits = checksum(&file, place);
    file[place..place + DIGITS].copy_from_slice(digits.as_bytes());
    file
}

/// Computes the checksum of a file. The checksum in the file, at `place`, is replaced by zeros in the computation.
fn checksum(file: &[u8], place: usize) -> String {
    let mut hash = Xxh3::new();
    hash.update(&file[..place]);
    hash.update(&[b'0'; DIGITS]);
    hash.update(&file[place + DIGITS..]);
    format!("{:0DIGITS$x}", hash.digest())
}

/// The parsed header of a file.
pub(crate) struct Header {
    pub(crate) metadata: BTreeMap<String, String>,
    entries: BTreeMap<String, Entry>,
    /// Offset of the data in the file.
    start: usize,
}

#[derive(Deserialize)]
struct HeaderText {
    #[serde(rename = "__metadata__", default)]
    metadata: BTreeMap<String, String>,
    #[serde(flatten)]
    entries: BTreeMap<String, Entry>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (usize, usize),
}

impl Header {
    /// Reads the header and checks its format, its version, the size of the file and the checksum.
    pub(crate) fn read(file: &[u8]) -> Result<Self, OpenError> {
        let not_safetensors = |why: &str| OpenError::Header(why.to_owned());
        let (length, rest) = file
            .split_first_chunk()
            .ok_or_else(|| not_safetensors("it is shorter than 8 bytes"))?;
        let length = u64::from_le_bytes(*length);
        let header = usize::try_from(length).ok().and_then(|length| rest.get(..length));
        let header = header.ok_or_else(|| not_safetensors("its header would be longer than the file"))?;
        let header = core::str::from_utf8(header).map_err(|_| not_safetensors("its header is not UTF-8"))?;
        let text: HeaderText = serde_json::from_str(header).map_err(|error| OpenError::Header(error.to_string()))?;
        if text.metadata.get("format").map(String::as_str) != Some(info::FORMAT) {
            return Err(OpenError::OtherFormat);
        }
        let version = text.metadata.get("version").cloned().unwrap_or_default();
        if version != info::VERSION {
            return Err(OpenError::Version(version));
        }
        let start = LENGTH + header.len();
        let ends = text.entries.values().map(|entry| entry.data_offsets.1);
        let end = start as u64 + ends.max().unwrap_or(0) as u64;
        if end != file.len() as u64 {
            return Err(OpenError::Size {
                given: file.len(),
                wanted: end,
            });
        }
        let place = header.find(CHECKSUM).map(|at| LENGTH + at + CHECKSUM.len());
        let place = place.filter(|at| at + DIGITS <= start).ok_or(OpenError::Checksum)?;
        if file[place..place + DIGITS] != *checksum(file, place).as_bytes() {
            return Err(OpenError::Checksum);
        }
        Ok(Self {
            metadata: text.metadata,
            entries: text.entries,
            start,
        })
    }

    /// Returns the position of the tensor `name` in the file and removes it from the list. It must have this type and shape.
    pub(crate) fn find_tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize]) -> Result<Range<usize>, OpenError> {
        let wrong = |problem| OpenError::Tensor {
            name: name.to_owned(),
            problem,
        };
        let entry = self.entries.remove(name).ok_or_else(|| wrong("is missing"))?;
        if entry.dtype != dtype.name() {
            return Err(wrong("has another type"));
        }
        if entry.shape != shape {
            return Err(wrong("has another shape"));
        }
        let (start, end) = entry.data_offsets;
        let wanted = shape
            .iter()
            .try_fold(dtype.size(), |product, size| product.checked_mul(*size));
        // Every tensor ends within the file: the largest end is the end of the file.
        if start > end || Some(end - start) != wanted {
            return Err(wrong("has offsets that do not fit its shape"));
        }
        Ok(self.start + start..self.start + end)
    }

    /// Returns an error if the file has a tensor that [`Header::find_tensor`] was not called for.
    pub(crate) fn check_all_used(self) -> Result<(), OpenError> {
        match self.entries.into_keys().next() {
            None => Ok(()),
            Some(name) => Err(OpenError::Tensor {
                name,
                problem: "is no part of the network",
            }),
        }
    }
}
