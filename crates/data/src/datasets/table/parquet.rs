//! Parquet files. Their columns are read as those of [Arrow](super::arrow), and only those that are
//! used.

use std::fs::File;
use std::path::Path;

use gradus_tensor::{Error, ErrorKind, Result};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::rows::{Place, Rows};
use super::schema::schema;
use super::{TableOptions, arrow};

/// Rows that are decoded at a time.
const BATCH: usize = 8192;

pub(super) fn read(path: &Path, file: File, options: &TableOptions) -> Result<Rows> {
    let name = path.display();
    // The types are those of Parquet itself, whatever the program that wrote the file had.
    let plain = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, plain)
        .map_err(|e| damaged(path, 0, &e.to_string()))?;
    let fields = builder.schema().clone();
    let columns = schema(&arrow::names(&fields), options).map_err(|e| e.context(&name))?;
    arrow::check_types(&fields, &columns).map_err(|e| e.context(&name))?;
    let places: Vec<usize> = columns.iter().map(|column| column.at).collect();
    let projection = ProjectionMask::roots(builder.parquet_schema(), places);
    let batches = builder
        .with_projection(projection)
        .with_batch_size(BATCH)
        .build()
        .map_err(|e| damaged(path, 0, &e.to_string()))?;
    let mut rows = Rows::new(path, Place::Row, columns, options);
    for batch in batches {
        let first = rows.len() as u64;
        let batch = batch.map_err(|e| damaged(path, first, &e.to_string()))?;
        arrow::push(&mut rows, first, &batch)?;
    }
    rows.finish()
}

fn damaged(path: &Path, row: u64, why: &str) -> Error {
    let message = format!(
        "{}: cannot be read as a Parquet file from row {row} on ({why}); write it again, compressed \
         with Snappy, Zstandard, gzip or LZ4 if at all",
        path.display()
    );
    Error::new(ErrorKind::Format, message)
}
