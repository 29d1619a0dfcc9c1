//! Every reader of files, by name, as a function of bytes: the one list from which the tests of
//! malformed files, the mutations and the fuzz targets are made.
//!
//! Not part of the interface: it may change with any version. A format that datasets are read from
//! has a row here, seeds in `tests/seeds` and damaged files in `tests/malformed`.

use std::path::Path;

use gradus_tensor::{Error, Result};

#[cfg(feature = "parquet")]
use super::Missing;
use super::archive::Source;
use super::table::Format;
use super::{
    CharText, CharTextOptions, LabelledImages, Table, TableOptions, Target, cifar, stl10, svhn,
};
use crate::decode::decode;
use crate::{Dataset, Split, idx, mat, npy};

/// The reader of a format.
pub struct Reader {
    /// What it is called in tests; that of the fuzz target, too.
    pub name: &'static str,
    /// Reads a whole file: how many numbers it holds, or why it cannot be read.
    pub read: fn(&[u8]) -> Result<usize, String>,
}

/// Every reader. Those of images find out by themselves which format it is.
pub const READERS: &[Reader] = &[
    Reader { name: "png", read: image },
    Reader { name: "jpeg", read: image },
    Reader { name: "webp", read: image },
    Reader { name: "bmp", read: image },
    Reader { name: "idx", read: idx },
    Reader { name: "npy", read: |bytes| array(npy::read_npy(bytes)) },
    Reader { name: "npz", read: |bytes| array(npy::read_npz(bytes, "f4")) },
    Reader { name: "mat", read: matrices },
    Reader { name: "svhn", read: |bytes| images(svhn::parse(Path::new(FILE), bytes, Split::Test)) },
    Reader { name: "cifar10", read: |bytes| images(cifar::read_two(FILE, bytes, 10)) },
    Reader { name: "cifar100", read: |bytes| images(cifar::read_two(FILE, bytes, 100)) },
    Reader { name: "stl10", read: |bytes| images(stl10::read_one(bytes)) },
    Reader { name: "tar-gz", read: archive },
    Reader { name: "csv", read: csv },
    #[cfg(feature = "parquet")]
    Reader { name: "parquet", read: |bytes| columns(bytes, Format::Parquet) },
    #[cfg(feature = "parquet")]
    Reader { name: "arrow", read: |bytes| columns(bytes, Format::Arrow) },
    Reader { name: "text", read: text },
];

/// The reader of a name.
pub fn reader(name: &str) -> Option<&'static Reader> {
    READERS.iter().find(|reader| reader.name == name)
}

/// What messages call the file.
const FILE: &str = "file";

fn image(bytes: &[u8]) -> Result<usize, String> {
    decode(bytes).map(|decoded| decoded.pixels.len())
}

fn idx(bytes: &[u8]) -> Result<usize, String> {
    let read = idx::read(FILE, bytes, bytes.len() as u64, &[None, Some(2), Some(2)]);
    read.map(|idx| idx.bytes.len()).map_err(text_of)
}

fn array(array: Result<npy::NpyArray, String>) -> Result<usize, String> {
    array.map(|array| array.shape.numel())
}

fn matrices(bytes: &[u8]) -> Result<usize, String> {
    mat::read(bytes).map(|all| all.iter().map(|matrix| matrix.numbers().len()).sum())
}

fn images(images: Result<LabelledImages>) -> Result<usize, String> {
    images.map(|images| images.len() * images.image_shape().numel()).map_err(text_of)
}

/// The first 64 bytes of `a.bin` in an archive.
fn archive(bytes: &[u8]) -> Result<usize, String> {
    let source = Source { name: "X", folder: "x", archive: "x.tar.gz", url: "https://x.org" };
    let contents = source.extract(Path::new(FILE), bytes, &["a.bin"], 64);
    contents.map(|contents| contents.iter().map(|(_, bytes)| bytes.len()).sum()).map_err(text_of)
}

fn csv(bytes: &[u8]) -> Result<usize, String> {
    table(bytes, Format::Csv, &TableOptions::new("y", Target::Number))
}

/// A table whose columns are numbers, but for `c`.
#[cfg(feature = "parquet")]
fn columns(bytes: &[u8], format: Format) -> Result<usize, String> {
    let options = TableOptions {
        categorical: vec!["c".into()],
        missing: Missing::DropRow,
        ..TableOptions::new("y", Target::Number)
    };
    table(bytes, format, &options)
}

fn table(bytes: &[u8], format: Format, options: &TableOptions) -> Result<usize, String> {
    let table = Table::from_bytes(Path::new(FILE), bytes, format, options);
    table.map(|table| table.len() * table.columns().len()).map_err(text_of)
}

fn text(bytes: &[u8]) -> Result<usize, String> {
    let options = CharTextOptions { block_size: 4, ..CharTextOptions::default() };
    let text = CharText::from_utf8(Path::new(FILE), bytes.to_vec(), Split::Train, options);
    text.map(|text| text.len() * 4).map_err(text_of)
}

fn text_of(error: Error) -> String {
    error.message().to_owned()
}
