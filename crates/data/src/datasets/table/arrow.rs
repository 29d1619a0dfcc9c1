//! Columns of Apache Arrow, which Parquet files too are read as.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use gradus_tensor::{Error, ErrorKind, Result};

use super::rows::{Cell, Rows};
use super::schema::ColumnSchema;

/// The names of a file's columns.
pub(super) fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// Whether the columns that are used have types that are read.
pub(super) fn check_types(schema: &Schema, columns: &[ColumnSchema]) -> Result<()> {
    for column in columns {
        let of = schema.field(column.at).data_type();
        if !is_read(of) {
            let message = format!(
                "the column {:?} has the type {of}; numbers, booleans and texts are read: convert \
                 it, or list it under `ignore`",
                column.name
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
    }
    Ok(())
}

fn is_read(of: &DataType) -> bool {
    match of {
        DataType::Dictionary(_, values) => {
            !matches!(**values, DataType::Dictionary(..)) && is_read(values)
        }
        DataType::Boolean | DataType::Decimal128(..) => true,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        numeric => numeric.is_integer() || numeric.is_floating(),
    }
}

/// Adds the rows of a batch, whose columns are those that are used, in the order of the file.
pub(super) fn push(rows: &mut Rows, first: u64, batch: &RecordBatch) -> Result<()> {
    rows.begin(first, batch.num_rows())?;
    for (number, column) in batch.columns().iter().enumerate() {
        push_column(column, &mut |cell| rows.push(number, cell))?;
    }
    Ok(())
}

type Push<'a> = &'a mut dyn FnMut(Cell<'_>) -> Result<()>;

fn push_column(column: &dyn Array, push: Push<'_>) -> Result<()> {
    fn primitive<T: ArrowPrimitiveType>(
        column: &dyn Array,
        cell: impl Fn(T::Native) -> Cell<'static>,
        push: Push<'_>,
    ) -> Result<()> {
        let mut values = column.as_primitive::<T>().iter();
        values.try_for_each(|value| push(value.map_or(Cell::Empty, &cell)))
    }
    fn texts<'a>(mut of: impl Iterator<Item = Option<&'a str>>, push: Push<'_>) -> Result<()> {
        of.try_for_each(|value| push(value.map_or(Cell::Empty, Cell::Text)))
    }
    match column.data_type() {
        DataType::Int8 => primitive::<Int8Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::Int16 => primitive::<Int16Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::Int32 => primitive::<Int32Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::Int64 => primitive::<Int64Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::UInt8 => primitive::<UInt8Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::UInt16 => primitive::<UInt16Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::UInt32 => primitive::<UInt32Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::UInt64 => primitive::<UInt64Type>(column, |x| Cell::Whole(x.into()), push),
        DataType::Float16 => primitive::<Float16Type>(column, |x| Cell::Single(x.to_f32()), push),
        DataType::Float32 => primitive::<Float32Type>(column, Cell::Single, push),
        DataType::Float64 => primitive::<Float64Type>(column, Cell::Double, push),
        DataType::Boolean => {
            let mut values = column.as_boolean().iter();
            values.try_for_each(|value| push(value.map_or(Cell::Empty, Cell::Bool)))
        }
        DataType::Utf8 => texts(column.as_string::<i32>().iter(), push),
        DataType::LargeUtf8 => texts(column.as_string::<i64>().iter(), push),
        DataType::Utf8View => texts(column.as_string_view().iter(), push),
        DataType::Decimal128(..) => {
            let values = column.as_primitive::<Decimal128Type>();
            (0..values.len()).try_for_each(|row| match values.is_null(row) {
                true => push(Cell::Empty),
                // Its digits, which the nearest number is read from.
                false => push(Cell::Text(&values.value_as_string(row))),
            })
        }
        DataType::Dictionary(..) => {
            let dictionary = column.as_any_dictionary();
            let keys = dictionary.keys();
            // The cells of the dictionary, each made once.
            let mut values: Vec<Owned> = Vec::with_capacity(dictionary.values().len());
            push_column(dictionary.values(), &mut |cell| {
                values.push(Owned::from(cell));
                Ok(())
            })?;
            if values.is_empty() {
                return (0..keys.len()).try_for_each(|_| push(Cell::Empty));
            }
            let places = dictionary.normalized_keys();
            places.iter().enumerate().try_for_each(|(row, &place)| match keys.is_null(row) {
                true => push(Cell::Empty),
                false => push(values[place].cell()),
            })
        }
        other => {
            let message = format!("a column of the type {other}, although that is not read");
            Err(Error::new(ErrorKind::Format, message))
        }
    }
}

/// A cell that outlives its column.
enum Owned {
    Text(String),
    Other(Cell<'static>),
}

impl From<Cell<'_>> for Owned {
    fn from(cell: Cell<'_>) -> Owned {
        Owned::Other(match cell {
            Cell::Text(text) => return Owned::Text(text.to_owned()),
            Cell::Empty => Cell::Empty,
            Cell::Bool(b) => Cell::Bool(b),
            Cell::Whole(i) => Cell::Whole(i),
            Cell::Single(x) => Cell::Single(x),
            Cell::Double(x) => Cell::Double(x),
        })
    }
}

impl Owned {
    fn cell(&self) -> Cell<'_> {
        match self {
            Owned::Text(text) => Cell::Text(text),
            Owned::Other(cell) => *cell,
        }
    }
}
