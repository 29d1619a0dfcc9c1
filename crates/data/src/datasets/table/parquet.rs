//! Parquet files. Their columns are read as those of [Arrow](super::arrow), and only those that are
//! used. What they unpack to is [bounded](super::pages) first.

use std::path::Path;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use gradus_tensor::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::file::reader::ChunkReader;

use super::rows::{Place, Rows, most_unpacked};
use super::schema::schema;
use super::{TableOptions, arrow, pages};

/// Rows that are decoded at a time.
const BATCH: usize = 8192;

pub(super) fn read<R: ChunkReader + 'static>(
    path: &Path,
    file: R,
    options: &TableOptions,
) -> Result<Rows> {
    let name = path.display();
    pages::check_footer(&file).map_err(|why| damaged(path, 0, &why))?;
    // The types are those of Parquet itself, whatever the program that wrote the file had.
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let metadata = ArrowReaderMetadata::load(&file, plain.clone())
        .map_err(|e| damaged(path, 0, &e.to_string()))?;
    let fields = metadata.schema().clone();
    let columns = schema(&arrow::names(&fields), options).map_err(|e| e.context(&name))?;
    arrow::check_types(&fields, &columns).map_err(|e| e.context(&name))?;
    let used = |root| columns.iter().any(|column| column.at == root);
    let bytes = file.len();
    pages::check(&file, metadata.metadata(), used, most_unpacked(bytes))
        .map_err(|why| damaged(path, 0, &why))?;
    let places: Vec<usize> = columns.iter().map(|column| column.at).collect();
    let projection = ProjectionMask::roots(metadata.parquet_schema(), places);
    let metadata = ArrowReaderMetadata::try_new(
        metadata.metadata().clone(),
        plain.with_schema(Arc::new(with_views(&fields))),
    );
    let metadata = metadata.map_err(|e| damaged(path, 0, &e.to_string()))?;
    let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
        .with_projection(projection)
        .with_batch_size(BATCH)
        .build()
        .map_err(|e| damaged(path, 0, &e.to_string()))?;
    let mut rows = Rows::new(path, Place::Row, columns, options).of_file(bytes);
    for batch in batches {
        let first = rows.len() as u64;
        let batch = batch.map_err(|e| damaged(path, first, &e.to_string()))?;
        arrow::push(&mut rows, first, &batch)?;
    }
    rows.finish()
}

/// Texts as views of their pages: a text that a dictionary has once may stand in every row.
fn with_views(fields: &Schema) -> Schema {
    let view = |field: &Arc<Field>| match field.data_type() {
        DataType::Utf8 => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8View)),
        _ => field.clone(),
    };
    Schema::new(fields.fields().iter().map(view).collect::<Vec<_>>())
}

fn damaged(path: &Path, row: u64, why: &str) -> Error {
    let message = format!(
        "{}: cannot be read as a Parquet file from row {row} on ({why}); write it again, compressed \
         with Snappy, Zstandard, gzip or LZ4 if at all",
        path.display()
    );
    Error::new(ErrorKind::Format, message)
}
