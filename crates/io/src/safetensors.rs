//! The safetensors format: <https://huggingface.co/docs/safetensors>.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use gradus_tensor::{DType, Error, ErrorKind, Result, Tensor};
use safetensors::tensor::{Dtype, Metadata};
use safetensors::{SafeTensorError, SafeTensors};
use serde_json::{Value, json};

use crate::{atomic, element};

/// The key of the header that names no tensor.
const METADATA: &str = "__metadata__";
/// Data start at a multiple of this.
const ALIGNMENT: usize = 8;

/// Saves tensors by name, with any text about them. The file is replaced as a whole or not at all.
///
/// A model's `state_dict()` is such a list of tensors.
///
/// # Errors
/// If a tensor cannot be evaluated, a name occurs twice, or the file cannot be written.
///
/// ```
/// use gradus_io::{load_safetensors, load_safetensors_metadata, save_safetensors};
/// use gradus_tensor::Tensor;
/// let path = std::env::temp_dir().join("gradus-doc-example.safetensors");
/// let weight = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], [2, 2]);
/// save_safetensors(&path, &[("fc1.weight".to_owned(), weight)], &[("epoch", "5")])?;
///
/// let loaded = load_safetensors(&path)?;
/// assert_eq!(loaded[0].0, "fc1.weight");
/// assert_eq!(loaded[0].1.to_vec::<f32>()?, [1.0, 2.0, 3.0, 4.0]);
/// assert_eq!(load_safetensors_metadata(&path)?["epoch"], "5");
/// # std::fs::remove_file(&path).unwrap();
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &[(String, Tensor)],
    metadata: &[(&str, &str)],
) -> Result<()> {
    let path = path.as_ref();
    let saving = |error: Error| error.context(format_args!("saving {}", path.display()));
    let (header, parts) = parts(tensors, metadata).map_err(saving)?;
    let write = |file: &File| {
        let mut file = BufWriter::new(file);
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        for (_, tensor) in &parts {
            element::with_bytes(tensor, |content| file.write_all(content))
                .map_err(io::Error::other)??;
        }
        file.flush()
    };
    atomic::replace(path, write).map_err(|e| {
        let message = format!("{e}; check that the folder exists, may be written and has space");
        saving(Error::new(ErrorKind::Io, message))
    })
}

/// The bytes of the file that [`save_safetensors`] would write.
///
/// # Errors
/// If a tensor cannot be evaluated, or a name occurs twice.
///
/// ```
/// use gradus_io::{from_safetensors, to_safetensors};
/// use gradus_tensor::Tensor;
/// let bytes = to_safetensors(&[("x".to_owned(), Tensor::from_slice(&[1.5f64], [1]))], &[])?;
/// assert_eq!(from_safetensors(&bytes, "memory")?[0].1.to_vec::<f64>()?, [1.5]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[track_caller]
pub fn to_safetensors(tensors: &[(String, Tensor)], metadata: &[(&str, &str)]) -> Result<Vec<u8>> {
    let (header, parts) = parts(tensors, metadata)?;
    let size: usize = parts.iter().map(|(_, tensor)| size(tensor)).sum();
    let mut bytes = Vec::with_capacity(8 + header.len() + size);
    bytes.extend_from_slice(&(header.len() as u64).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    for (_, tensor) in parts {
        element::with_bytes(tensor, |content| bytes.extend_from_slice(content))?;
    }
    Ok(bytes)
}

/// A name and its tensor, which is evaluated.
type Entry<'a> = (&'a String, &'a Tensor);

/// The bytes of a tensor's elements.
fn size(tensor: &Tensor) -> usize {
    tensor.numel() * tensor.dtype().size()
}

/// The header of a file, and the tensors that follow it.
#[track_caller]
fn parts<'a>(
    tensors: &'a [(String, Tensor)],
    metadata: &[(&str, &str)],
) -> Result<(String, Vec<Entry<'a>>)> {
    let mut parts = Vec::with_capacity(tensors.len());
    let mut names = HashSet::new();
    for (name, tensor) in tensors {
        if name == METADATA || !names.insert(name) {
            let message = format!("the name `{name}` is taken; rename one of the tensors");
            return Err(Error::new(ErrorKind::Usage, message));
        }
        tensor.eval().map_err(|e| e.context(format_args!("tensor `{name}`")))?;
        parts.push((name, tensor));
    }
    // The widest first, so that every element is aligned; otherwise in the order given.
    parts.sort_by_key(|(_, tensor)| Reverse(tensor.dtype().size()));
    Ok((header(&parts, metadata), parts))
}

/// The JSON that says where each tensor is. Keys are sorted: equal contents are equal files.
fn header(parts: &[Entry<'_>], metadata: &[(&str, &str)]) -> String {
    let mut header = serde_json::Map::new();
    // Python's reader refuses an empty map of metadata.
    if !metadata.is_empty() {
        let sorted: BTreeMap<&str, &str> = metadata.iter().copied().collect();
        header.insert(METADATA.to_owned(), json!(sorted));
    }
    let mut start = 0;
    for (name, tensor) in parts {
        let end = start + size(tensor);
        let entry = json!({
            "dtype": stored(tensor.dtype()),
            "shape": tensor.shape().dims(),
            "data_offsets": [start, end],
        });
        header.insert((*name).clone(), entry);
        start = end;
    }
    let mut text = Value::Object(header).to_string();
    text.extend(std::iter::repeat_n(' ', text.len().next_multiple_of(ALIGNMENT) - text.len()));
    text
}

/// Loads all tensors of a file, in the order in which they are stored.
///
/// # Errors
/// If the file cannot be read, is no complete safetensors file, or holds a dtype that Gradus does
/// not have.
pub fn load_safetensors(path: impl AsRef<Path>) -> Result<Vec<(String, Tensor)>> {
    let path = path.as_ref();
    decode(path, &read(path)?)
}

/// Loads all tensors from the bytes of a file, which messages call `name`.
///
/// # Errors
/// As [`load_safetensors`], but for those of reading.
pub fn from_safetensors(bytes: &[u8], name: &str) -> Result<Vec<(String, Tensor)>> {
    decode(Path::new(name), bytes)
}

fn decode(path: &Path, bytes: &[u8]) -> Result<Vec<(String, Tensor)>> {
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(path, bytes, &e))?;
    let mut tensors = file.tensors();
    tensors.sort_by(|(a, x), (b, y)| x.data().as_ptr().cmp(&y.data().as_ptr()).then(a.cmp(b)));
    tensors
        .into_iter()
        .map(|(name, view)| {
            let dtype = known(view.dtype()).ok_or_else(|| {
                let all = DType::ALL.map(DType::name).join(", ");
                let message = format!(
                    "tensor `{name}` holds {}, which Gradus does not have; convert it to one of \
                     {all}",
                    view.dtype()
                );
                failed(path, ErrorKind::Format, message)
            })?;
            Ok((name, element::from_bytes(view.data(), dtype, view.shape().into())))
        })
        .collect()
}

/// The text that was saved with the tensors of a file, by key.
///
/// # Errors
/// If the file cannot be read or is no complete safetensors file.
pub fn load_safetensors_metadata(path: impl AsRef<Path>) -> Result<BTreeMap<String, String>> {
    let path = path.as_ref();
    let bytes = read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|e| damaged(path, &bytes, &e))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|e| failed(path, ErrorKind::Io, format!("{e}; check the path")))
}

fn failed(path: &Path, kind: ErrorKind, message: impl Display) -> Error {
    Error::new(kind, format!("loading {}: {message}", path.display()))
}

/// The error for a file that is not what its format says.
fn damaged(path: &Path, bytes: &[u8], error: &SafeTensorError) -> Error {
    let found = bytes.len();
    let message = match expected_len(bytes) {
        _ if bytes.starts_with(b"PK\x03\x04") => {
            "this is a zip archive, such as torch.save writes, and no safetensors file; save it \
             with safetensors.torch.save_file"
                .to_owned()
        }
        Some(expected) if expected > found as u64 => format!(
            "the file ends after {found} bytes, but its header needs at least {expected}; it was \
             cut short, or is no safetensors file: copy it again"
        ),
        _ => format!("{error}; it is no safetensors file, or was damaged: copy it again"),
    };
    failed(path, ErrorKind::Format, message)
}

/// How long a file that starts like this must be, as far as it can be known.
fn expected_len(bytes: &[u8]) -> Option<u64> {
    let start = u64::from_le_bytes(*bytes.first_chunk()?).checked_add(8)?;
    let header = bytes.get(8..usize::try_from(start).ok()?);
    let header = header.and_then(|json| serde_json::from_slice::<Metadata>(json).ok());
    Some(start.saturating_add(header.map_or(0, |h| h.data_len() as u64)))
}

/// The format's name for a dtype.
fn stored(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

fn known(dtype: Dtype) -> Option<DType> {
    DType::ALL.into_iter().find(|&d| stored(d) == dtype)
}
