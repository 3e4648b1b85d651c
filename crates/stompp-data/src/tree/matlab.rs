//! Reads ImageNet's `meta.mat`, a MATLAB file that maps the numbers of the official ground truth to classes.
//!
//! `meta.mat` of the development kit has an array of structures `synsets` with, among others, the fields `ILSVRC2012_ID` and
//! `WNID`. Source of the format: *MAT-File Format*, MathWorks, level 5. An element is a type, a size and that many bytes,
//! padded to a multiple of 8. An element of type 15 is another element, deflated.

use flate2::read::ZlibDecoder;
use std::collections::HashMap;
use std::io::Read;

const HEADER: usize = 128;
/// Element types.
const INT8: u32 = 1;
const UINT8: u32 = 2;
const INT16: u32 = 3;
const UINT16: u32 = 4;
const INT32: u32 = 5;
const UINT32: u32 = 6;
const DOUBLE: u32 = 9;
const MATRIX: u32 = 14;
const DEFLATED: u32 = 15;
const UTF8: u32 = 16;
/// The class of an array of structures.
const STRUCTURES: u8 = 2;

/// Limit of the expanded size. The official `meta.mat` has 2 MiB.
const MOST_BYTES: u64 = 64 << 20;

const DAMAGED: &str = "is not a MATLAB file of level 5 in little endian, or is damaged";

/// Returns the class name of each number.
pub(super) fn synsets(bytes: &[u8]) -> Result<HashMap<u32, String>, String> {
    let little_endian = bytes.get(HEADER - 2..HEADER) == Some(b"IM");
    let content = bytes.get(HEADER..).filter(|_| little_endian).ok_or(DAMAGED)?;
    let mut elements = Elements(content);
    while let Some((kind, data)) = elements.next()? {
        let found = match kind {
            DEFLATED => {
                let mut expanded = Vec::new();
                let read = ZlibDecoder::new(data).take(MOST_BYTES).read_to_end(&mut expanded);
                read.map_err(|_| DAMAGED)?;
                let (kind, data) = Elements(&expanded).next()?.ok_or(DAMAGED)?;
                if kind == MATRIX { structures(data)? } else { None }
            }
            MATRIX => structures(data)?,
            _ => None,
        };
        if let Some(found) = found {
            return Ok(found);
        }
    }
    Err("has no structures with ILSVRC2012_ID and WNID".to_owned())
}

/// Number and name of each structure of the array; `None` if it is another array.
fn structures(array: &[u8]) -> Result<Option<HashMap<u32, String>>, String> {
    let mut parts = Elements(array);
    let mut part = || parts.next().and_then(|part| part.ok_or(DAMAGED));
    let (_, flags) = part()?;
    if flags.first() != Some(&STRUCTURES) {
        return Ok(None);
    }
    let (_dimensions, _name, (_, width), (_, names)) = (part()?, part()?, part()?, part()?);
    let width = width.first().copied().filter(|&width| width > 0).ok_or(DAMAGED)?;
    let fields: Vec<&[u8]> = names
        .chunks_exact(usize::from(width))
        .map(|name| name.split(|&byte| byte == 0).next().unwrap_or_default())
        .collect();
    let place = |wanted: &str| fields.iter().position(|field| *field == wanted.as_bytes());
    let (Some(number), Some(name)) = (place("ILSVRC2012_ID"), place("WNID")) else {
        return Ok(None);
    };
    let mut values = Vec::new();
    while let Some((kind, value)) = parts.next()? {
        if kind != MATRIX {
            return Err(DAMAGED.to_owned());
        }
        values.push(value);
    }
    let mut found = HashMap::new();
    for structure in values.chunks_exact(fields.len()) {
        let name = numbers(structure[name])?
            .into_iter()
            .map(|letter| letter as u8 as char)
            .collect();
        let number = *numbers(structure[number])?.first().ok_or(DAMAGED)?;
        found.insert(number as u32, name);
    }
    Ok(Some(found))
}

/// The values of an array of numbers or characters.
fn numbers(array: &[u8]) -> Result<Vec<f64>, &'static str> {
    let mut parts = Elements(array);
    let mut last = None;
    // Flags, dimensions, name, values.
    for _ in 0..4 {
        last = parts.next()?;
    }
    let (kind, data) = last.ok_or(DAMAGED)?;
    Ok(match kind {
        INT8 | UINT8 | UTF8 => data.iter().map(|&byte| f64::from(byte)).collect(),
        INT16 | UINT16 => data
            .as_chunks()
            .0
            .iter()
            .map(|&two| f64::from(u16::from_le_bytes(two)))
            .collect(),
        INT32 | UINT32 => data
            .as_chunks()
            .0
            .iter()
            .map(|&four| f64::from(u32::from_le_bytes(four)))
            .collect(),
        DOUBLE => data
            .as_chunks()
            .0
            .iter()
            .map(|&eight| f64::from_le_bytes(eight))
            .collect(),
        _ => return Err(DAMAGED),
    })
}

/// The remaining elements.
struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    /// Returns type and bytes of the next element; `None` at the end.
    fn next(&mut self) -> Result<Option<(u32, &'a [u8])>, &'static str> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let (tag, rest) = self.0.split_first_chunk::<8>().ok_or(DAMAGED)?;
        let word = |at: usize| u32::from_le_bytes([tag[at], tag[at + 1], tag[at + 2], tag[at + 3]]);
        // A small element has its size in the upper half of the first word and its bytes in the second.
        let small = word(0) >> 16;
        if small > 0 {
            let data = self.0[4..8].get(..small as usize).ok_or(DAMAGED)?;
            self.0 = rest;
            return Ok(Some((word(0) & 0xffff, data)));
        }
        let bytes = word(4) as usize;
        let data = rest.get(..bytes).ok_or(DAMAGED)?;
        // Deflated elements are not padded.
        let padded = if word(0) == DEFLATED {
            bytes
        } else {
            bytes.next_multiple_of(8)
        };
        self.0 = rest.get(padded..).unwrap_or_default();
        Ok(Some((word(0), data)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};
    use std::io::Write;

    fn element(kind: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u32).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }

    fn small(kind: u16, data: &[u8]) -> Vec<u8> {
        let mut bytes = [kind.to_le_bytes(), (data.len() as u16).to_le_bytes()].concat();
        bytes.extend(data);
        bytes.resize(8, 0);
        bytes
    }

    fn array(class: u8, values: &[u8]) -> Vec<u8> {
        let head = [
            element(UINT32, &[class, 0, 0, 0, 0, 0, 0, 0]),
            element(INT32, &[1, 0, 0, 0, 1, 0, 0, 0]),
        ];
        element(MATRIX, &[head.concat(), small(1, b""), values.to_vec()].concat())
    }

    /// A file with the structures (1, n02) and (2, n01), in the forms that MATLAB chooses: small elements, text of two bytes a
    /// letter, numbers as bytes.
    fn file(deflate: bool) -> Vec<u8> {
        let text = |name: &str| {
            let letters: Vec<u8> = name.bytes().flat_map(|letter| [letter, 0]).collect();
            array(4, &element(UINT16, &letters))
        };
        let mut structure = [
            element(UINT32, &[STRUCTURES, 0, 0, 0, 0, 0, 0, 0]),
            element(INT32, &[2, 0, 0, 0, 1, 0, 0, 0]),
        ]
        .concat();
        structure.extend(element(INT8, b"synsets"));
        structure.extend(small(5, &[16, 0, 0, 0]));
        structure.extend(element(INT8, b"ILSVRC2012_ID\0\0\0WNID\0\0\0\0\0\0\0\0\0\0\0\0"));
        structure.extend(array(6, &small(UINT8 as u16, &[1])));
        structure.extend(text("n02"));
        structure.extend(array(6, &element(DOUBLE, &2.0f64.to_le_bytes())));
        structure.extend(text("n01"));
        let whole = element(MATRIX, &structure);
        let mut bytes = vec![b' '; HEADER - 4];
        bytes.extend(b"\0\x01IM");
        // An array of another kind comes first.
        bytes.extend(array(6, &small(UINT8 as u16, &[7])));
        if deflate {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(&whole).unwrap();
            let deflated = encoder.finish().unwrap();
            bytes.extend(DEFLATED.to_le_bytes());
            bytes.extend((deflated.len() as u32).to_le_bytes());
            bytes.extend(deflated);
        } else {
            bytes.extend(whole);
        }
        bytes
    }

    #[test]
    fn numbers_and_names_are_found() {
        let expected = HashMap::from([(1, "n02".to_owned()), (2, "n01".to_owned())]);
        assert_eq!(synsets(&file(false)).unwrap(), expected);
        assert_eq!(synsets(&file(true)).unwrap(), expected);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let whole = file(false);
        for length in 0..whole.len() - 8 {
            let found = synsets(&whole[..length]);
            assert!(
                found.is_err() || found.is_ok_and(|found| found.len() < 2),
                "cut at {length}"
            );
        }
        for place in HEADER..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0xff;
            let _ = synsets(&damaged);
        }
    }
}
