//! MATLAB files of version 5: a header of 128 bytes, then elements with a type and a size, most of
//! them compressed. Only real numeric matrices are read; everything else is skipped.

use std::io::Read;

use flate2::read::ZlibDecoder;

/// A numeric matrix, column by column.
#[derive(Debug)]
pub(crate) struct Matrix {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    data: Numbers,
}

#[derive(Debug)]
enum Numbers {
    Bytes(Vec<u8>),
    Wide(Vec<f64>),
}

impl Matrix {
    /// The elements, if they are unsigned bytes.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        if let Numbers::Bytes(bytes) = &self.data { Some(bytes) } else { None }
    }

    /// The elements as numbers.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        match &self.data {
            Numbers::Bytes(bytes) => bytes.iter().map(|&byte| byte.into()).collect(),
            Numbers::Wide(numbers) => numbers.clone(),
        }
    }

    #[cfg(test)]
    pub(crate) fn zero_numbers(&mut self) {
        match &mut self.data {
            Numbers::Bytes(bytes) => bytes.fill(0),
            Numbers::Wide(numbers) => numbers.fill(0.0),
        }
    }
}

const HEADER: usize = 128;
/// Types of elements.
const MATRIX: u32 = 14;
const COMPRESSED: u32 = 15;
/// No deflate stream expands further.
const EXPANSION: usize = 1032;
/// No element is larger.
const LARGEST: usize = 1 << 31;

/// The numeric matrices of a file; the error says why it is none.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Matrix>, String> {
    let magic = b"MATLAB 5.0";
    if !bytes.starts_with(&magic[..magic.len().min(bytes.len())]) {
        let kind = match bytes {
            [b'<', ..] => " (a web page saved in its place?)",
            _ if bytes.starts_with(b"MATLAB 7.3") => " (version 7.3 is an HDF5 file)",
            _ => "",
        };
        return Err(format!("no MATLAB file of version 5{kind}"));
    }
    if bytes.len() < HEADER {
        return Err(format!("truncated: it ends at offset {} within the header", bytes.len()));
    }
    if &bytes[126..128] != b"IM" {
        return Err(
            "its numbers are big-endian (offset 126); only little-endian ones are read".into()
        );
    }
    let mut matrices = Vec::new();
    let mut at = HEADER;
    while at < bytes.len() {
        let (kind, content, next) = element(bytes, at)?;
        match kind {
            MATRIX => matrices.extend(matrix(content, at)?),
            COMPRESSED => {
                let inner = inflate(content, at)?;
                let (kind, content, _) = element(&inner, 0)
                    .map_err(|why| format!("{why}, in what is compressed at offset {at}"))?;
                if kind == MATRIX {
                    matrices.extend(matrix(content, at)?);
                }
            }
            _ => {}
        }
        // Compressed elements are not padded.
        at = if kind == COMPRESSED { next } else { next.next_multiple_of(8) };
    }
    Ok(matrices)
}

fn inflate(content: &[u8], at: usize) -> Result<Vec<u8>, String> {
    let room = content.len().saturating_mul(EXPANSION).min(LARGEST);
    let mut inner = Vec::new();
    let mut stream = ZlibDecoder::new(content).take(room as u64);
    match stream.read_to_end(&mut inner) {
        Ok(_) => Ok(inner),
        Err(e) => Err(format!(
            "what is compressed at offset {at} is damaged after {} bytes ({e})",
            inner.len()
        )),
    }
}

/// The type and content of the element at `at`, and where it ends.
fn element(bytes: &[u8], at: usize) -> Result<(u32, &[u8], usize), String> {
    let truncated = || format!("truncated: it ends at offset {} within an element", bytes.len());
    let tag = word(bytes, at).ok_or_else(truncated)?;
    // A small element has its size in the upper half, and its content in place of one.
    if tag >> 16 != 0 {
        let size = (tag >> 16) as usize;
        let content = bytes.get(at + 4..at + 8).ok_or_else(truncated)?;
        let content = content.get(..size).ok_or_else(|| {
            format!("a small element at offset {at} claims {size} bytes of at most 4")
        })?;
        return Ok((tag & 0xffff, content, at + 8));
    }
    let size = word(bytes, at + 4).ok_or_else(truncated)? as usize;
    let content = bytes.get(at + 8..).and_then(|rest| rest.get(..size)).ok_or_else(|| {
        format!("truncated: the element at offset {at} claims {size} bytes, more than there are")
    })?;
    Ok((tag, content, at + 8 + size))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes)
}

/// The matrix that an element at offset `outer` holds; none if it is not of real numbers.
fn matrix(content: &[u8], outer: usize) -> Result<Option<Matrix>, String> {
    let within = |why: String| format!("{why}, in the matrix at offset {outer}");
    let mut at = 0;
    let mut part = || {
        let (kind, part, end) = element(content, at).map_err(within)?;
        at = end.next_multiple_of(8);
        Ok::<_, String>((kind, part))
    };
    let (_, flags) = part()?;
    let flags = word(flags, 0).ok_or_else(|| within("its flags are missing".into()))?;
    // Classes 6 to 15 are numbers; bit 11 says that there is an imaginary part.
    if !(6..=15).contains(&(flags & 0xff)) || flags & 0x800 != 0 {
        return Ok(None);
    }
    let (_, sizes) = part()?;
    let sizes = sizes.as_chunks::<4>().0.iter().map(|size| i32::from_le_bytes(*size));
    let shape: Vec<usize> = sizes
        .map(|size| usize::try_from(size).map_err(|_| within(format!("it has a size of {size}"))))
        .collect::<Result<_, String>>()?;
    let (_, name) = part()?;
    let name = String::from_utf8_lossy(name).into_owned();
    let (kind, data) = part()?;
    let data =
        numbers(kind, data).ok_or_else(|| within(format!("its elements have the type {kind}")))?;
    let len = match &data {
        Numbers::Bytes(bytes) => bytes.len(),
        Numbers::Wide(numbers) => numbers.len(),
    };
    let wanted = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    if wanted != Some(len) {
        return Err(within(format!("{name} has the sizes {shape:?}, but {len} elements")));
    }
    Ok(Some(Matrix { name, shape, data }))
}

fn numbers(kind: u32, data: &[u8]) -> Option<Numbers> {
    macro_rules! wide {
        ($t:ty) => {{
            let (words, rest) = data.as_chunks::<{ size_of::<$t>() }>();
            let read = |word: &[u8; size_of::<$t>()]| <$t>::from_le_bytes(*word) as f64;
            rest.is_empty().then(|| Numbers::Wide(words.iter().map(read).collect()))
        }};
    }
    match kind {
        1 => wide!(i8),
        2 => Some(Numbers::Bytes(data.to_vec())),
        3 => wide!(i16),
        4 => wide!(u16),
        5 => wide!(i32),
        6 => wide!(u32),
        7 => wide!(f32),
        9 => wide!(f64),
        12 => wide!(i64),
        13 => wide!(u64),
        _ => None,
    }
}
