//! CSV files: a line of column names, then a line for each row.

use std::io::Read;
use std::path::Path;

use csv::{ReaderBuilder, StringRecord, Trim};
use gradus_tensor::{Error, ErrorKind, Result};

use super::TableOptions;
use super::rows::{Cell, Place, Rows};
use super::schema::schema;

/// Reads a table that messages say is from `path`.
pub(super) fn read(path: &Path, file: impl Read, options: &TableOptions) -> Result<Rows> {
    let name = path.display();
    if !options.delimiter.is_ascii() {
        let message = format!(
            "{name}: delimiter is {:?}; give a single character of ASCII, such as ',' or ';'",
            options.delimiter
        );
        return Err(Error::new(ErrorKind::Usage, message));
    }
    let delimiter = options.delimiter as u8;
    let mut reader = ReaderBuilder::new().trim(Trim::All).delimiter(delimiter).from_reader(file);
    let broken = |e: csv::Error| {
        let remedy = match e.kind() {
            csv::ErrorKind::UnequalLengths { .. } => "; every row has as many cells",
            csv::ErrorKind::Utf8 { .. } => "; convert the file to UTF-8",
            _ => "",
        };
        Error::new(ErrorKind::Format, format!("{name}: {e}{remedy}"))
    };
    let header = reader.headers().map_err(broken)?.clone();
    let names: Vec<String> = header.iter().map(str::to_owned).collect();
    let columns = schema(&names, options).map_err(|e| {
        let e = e.context(&name);
        match &names[..] {
            // All in one: most likely they are divided by something else.
            [one] if one.contains([',', ';', '\t', '|']) => {
                Error::new(e.kind(), format!("{}; or set `delimiter`", e.message()))
            }
            _ => e,
        }
    })?;
    let mut rows = Rows::new(path, Place::Line, columns, options);
    let mut record = StringRecord::new();
    while reader.read_record(&mut record).map_err(broken)? {
        rows.begin(record.position().map_or(0, |position| position.line()), 1)?;
        for column in 0..rows.width() {
            rows.push(column, Cell::Text(&record[rows.column_at(column)]))?;
        }
    }
    rows.finish()
}
