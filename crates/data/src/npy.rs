//! NumPy's files: `.npy`, one array, and `.npz`, a ZIP archive of them.
//!
//! What a header claims is compared with what the file can hold before memory is asked for. Arrays of
//! Python objects are refused: reading them would run code.

use std::io::Cursor;

use gradus_tensor::Shape;

use crate::zip::entries;

/// The elements of an array, row-major.
#[derive(Debug, PartialEq)]
pub(crate) enum Elements {
    /// Of the type `u1`.
    Bytes(Vec<u8>),
    /// Of any other type of whole numbers, or `bool`.
    Whole(Vec<i64>),
    /// Of a type of floating-point numbers.
    Real(Vec<f32>),
}

/// An array.
#[derive(Debug, PartialEq)]
pub(crate) struct NpyArray {
    pub(crate) shape: Shape,
    pub(crate) elements: Elements,
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// The array of an `.npy` file; the error says why there is none.
pub(crate) fn read_npy(bytes: &[u8]) -> Result<NpyArray, String> {
    if !bytes.starts_with(MAGIC) {
        let page = if bytes.first() == Some(&b'<') { " (a web page?)" } else { "" };
        return Err(format!("no .npy file{page}: its first bytes are not \\x93NUMPY"));
    }
    let truncated = || format!("truncated: it ends at offset {} within the header", bytes.len());
    let version = *bytes.get(6).ok_or_else(truncated)?;
    let word = |range: std::ops::Range<usize>| {
        let word = bytes.get(range).ok_or_else(truncated)?;
        Ok::<usize, String>(word.iter().rev().fold(0, |n, &byte| n << 8 | usize::from(byte)))
    };
    let (start, length) = match version {
        1 => (10, word(8..10)?),
        2 | 3 => (12, word(8..12)?),
        _ => return Err(format!("version {version} of the format (offset 6); 1 to 3 are read")),
    };
    let header = bytes.get(start..).and_then(|b| b.get(..length)).ok_or_else(truncated)?;
    let header = std::str::from_utf8(header).map_err(|_| "its header is no text")?;
    let dtype = value(header, "descr")?.trim_matches(['\'', '"']);
    let fortran = match value(header, "fortran_order")? {
        "True" => true,
        "False" => false,
        other => return Err(format!("fortran_order is {other} instead of True or False")),
    };
    let sizes = value(header, "shape")?;
    let shape: Vec<usize> = sizes
        .trim_matches(['(', ')'])
        .split(',')
        .map(str::trim)
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().map_err(|_| format!("its shape is {sizes}")))
        .collect::<Result<_, _>>()?;
    let data = &bytes[start + length..];
    let count = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    let count = count.ok_or_else(|| format!("its shape is {sizes}, which no memory holds"))?;
    let elements = elements(dtype, data, count)?;
    let elements = if fortran && shape.len() > 1 { elements.transposed(&shape) } else { elements };
    Ok(NpyArray { shape: shape.into(), elements })
}

/// The value of a key in a Python dictionary, as it is written.
fn value<'a>(header: &'a str, key: &str) -> Result<&'a str, String> {
    let missing = || format!("its header has no {key}");
    let at = header.find(&format!("'{key}'")).ok_or_else(missing)?;
    let rest = header[at + key.len() + 2..].trim_start().strip_prefix(':').ok_or_else(missing)?;
    let rest = rest.trim_start();
    let end = match rest.chars().next() {
        Some('(') => rest.find(')').map(|at| at + 1),
        Some('[') => return Err("it holds records; save each column as an array".to_owned()),
        _ => rest.find([',', '}']),
    };
    Ok(rest[..end.ok_or_else(missing)?].trim())
}

fn elements(dtype: &str, data: &[u8], count: usize) -> Result<Elements, String> {
    let sizes = [
        ("u1", 1),
        ("i1", 1),
        ("b1", 1),
        ("u2", 2),
        ("i2", 2),
        ("f2", 2),
        ("u4", 4),
        ("i4", 4),
        ("f4", 4),
        ("u8", 8),
        ("i8", 8),
        ("f8", 8),
    ];
    let (order, kind) = dtype.split_at_checked(1).unwrap_or(("", dtype));
    let Some(&(_, size)) = sizes.iter().find(|(name, _)| *name == kind) else {
        let hint = if kind.starts_with('O') { "; Python objects are not read" } else { "" };
        return Err(format!("its elements have the type {dtype}{hint}; numbers and bool are read"));
    };
    if size > 1 && !["<", ">"].contains(&order) {
        return Err(format!("its elements have the type {dtype}, of no known byte order"));
    }
    let wanted = count.checked_mul(size).ok_or("it is larger than any memory")?;
    if data.len() != wanted {
        let what = if data.len() < wanted { "truncated: it" } else { "it" };
        return Err(format!("{what} has {} bytes of elements instead of {wanted}", data.len()));
    }
    // Most significant byte last.
    let words = data.chunks_exact(size).map(|word| {
        let mut bytes = [0u8; 8];
        bytes[..size].copy_from_slice(word);
        if order == ">" {
            bytes[..size].reverse();
        }
        u64::from_le_bytes(bytes)
    });
    let shift = 64 - 8 * size as u32;
    Ok(match kind {
        "u1" => Elements::Bytes(data.to_vec()),
        "b1" | "u2" | "u4" => Elements::Whole(words.map(|word| word as i64).collect()),
        "u8" => Elements::Whole(
            words
                .map(|word| i64::try_from(word).map_err(|_| format!("{word} is above 2⁶³ − 1")))
                .collect::<Result<_, _>>()?,
        ),
        "f2" => Elements::Real(
            words.map(|word| gradus_tensor::f16::from_bits(word as u16).to_f32()).collect(),
        ),
        "f4" => Elements::Real(words.map(|word| f32::from_bits(word as u32)).collect()),
        "f8" => Elements::Real(words.map(|word| f64::from_bits(word) as f32).collect()),
        // The sign goes up with the bits, and comes down again.
        _ => Elements::Whole(words.map(|word| (word << shift) as i64 >> shift).collect()),
    })
}

impl Elements {
    /// From column-major order.
    fn transposed(self, shape: &[usize]) -> Elements {
        fn of<T: Copy>(elements: &[T], shape: &[usize]) -> Vec<T> {
            let mut strides = Vec::with_capacity(shape.len());
            let mut stride = 1;
            for size in shape {
                strides.push(stride);
                stride *= size;
            }
            let mut index = vec![0; shape.len()];
            let mut at = 0;
            let mut out = Vec::with_capacity(elements.len());
            for _ in 0..elements.len() {
                out.push(elements[at]);
                for axis in (0..shape.len()).rev() {
                    index[axis] += 1;
                    at += strides[axis];
                    if index[axis] < shape[axis] {
                        break;
                    }
                    at -= strides[axis] * shape[axis];
                    index[axis] = 0;
                }
            }
            out
        }
        match self {
            Elements::Bytes(x) => Elements::Bytes(of(&x, shape)),
            Elements::Whole(x) => Elements::Whole(of(&x, shape)),
            Elements::Real(x) => Elements::Real(of(&x, shape)),
        }
    }
}

impl NpyArray {
    /// Some of the entries along the first axis, of which there is one.
    pub(crate) fn select(self, rows: &[usize]) -> NpyArray {
        fn of<T: Copy>(elements: &[T], rows: &[usize], width: usize) -> Vec<T> {
            rows.iter().flat_map(|row| &elements[row * width..][..width]).copied().collect()
        }
        let width = self.shape[1..].iter().product();
        let elements = match &self.elements {
            Elements::Bytes(x) => Elements::Bytes(of(x, rows, width)),
            Elements::Whole(x) => Elements::Whole(of(x, rows, width)),
            Elements::Real(x) => Elements::Real(of(x, rows, width)),
        };
        let mut sizes = self.shape.to_vec();
        sizes[0] = rows.len();
        NpyArray { shape: sizes.into(), elements }
    }
}

/// The names of the arrays in an `.npz` archive.
pub(crate) fn npz_names(bytes: &[u8]) -> Result<Vec<String>, String> {
    let entries = entries(&mut Cursor::new(bytes), ".npz")?;
    Ok(entries.iter().filter_map(|e| e.name.strip_suffix(".npy")).map(str::to_owned).collect())
}

/// The array `key` of an `.npz` archive.
pub(crate) fn read_npz(bytes: &[u8], key: &str) -> Result<NpyArray, String> {
    let mut archive = Cursor::new(bytes);
    let entries = entries(&mut archive, ".npz")?;
    let wanted = format!("{key}.npy");
    let Some(entry) = entries.iter().find(|entry| entry.name == wanted) else {
        let names: Vec<&str> =
            entries.iter().map(|e| e.name.strip_suffix(".npy").unwrap_or(&e.name)).collect();
        return Err(format!("there is no array {key} in it, but {}", names.join(", ")));
    };
    let content = entry.content(&mut archive).map_err(|why| format!("{key}: {why}"))?;
    read_npy(&content).map_err(|why| format!("{key}: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `np.savez_compressed` of the arrays that `tests/golden/arrays.py` makes.
    const ARRAYS: &[u8] = include_bytes!("../tests/golden/arrays.npz");

    #[test]
    fn every_type_of_numbers_is_read() {
        for name in ["u1", "i1", "b1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "big"]
        {
            let array = read_npz(ARRAYS, name).unwrap();
            assert_eq!(array.shape[..], [2, 3], "{name}");
            let numbers: Vec<f64> = match array.elements {
                Elements::Bytes(x) => x.iter().map(|&x| x.into()).collect(),
                Elements::Whole(x) => x.iter().map(|&x| x as f64).collect(),
                Elements::Real(x) => x.iter().map(|&x| x.into()).collect(),
            };
            let signed = !["u1", "b1", "u2", "u4", "u8"].contains(&name);
            let expected = match name {
                "b1" => [0.0, 1.0, 1.0, 1.0, 1.0, 1.0],
                _ if signed => [0.0, 1.0, 2.0, 3.0, 4.0, -5.0],
                _ => [0.0, 1.0, 2.0, 3.0, 4.0, 5.0],
            };
            assert_eq!(numbers, expected, "{name}");
        }
        // Column-major in the file.
        let fortran = read_npz(ARRAYS, "fortran").unwrap();
        assert_eq!(fortran.shape[..], [2, 3, 4]);
        assert_eq!(fortran.elements, Elements::Whole((0..24).collect()));
        let error = read_npz(ARRAYS, "z").unwrap_err();
        assert!(error.contains("there is no array z in it, but u1, i1"), "{error}");
        assert!(read_npz(ARRAYS, "object").unwrap_err().contains("Python objects are not read"));
    }
}
