//! The rows of a file while it is read: columns of numbers and of categories, filled cell by cell.
//!
//! Every reader hands its cells over here, whatever its format. So equal contents become equal
//! samples, and what is wrong with a cell is said in the same words.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind, Result};

use super::schema::{ColumnSchema, Missing, Role};
use super::{TableOptions, Target};

/// A cell as a file holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code))] // CSV files have texts alone.
pub(super) enum Cell<'a> {
    /// Nothing: an empty text, a null.
    Empty,
    Bool(bool),
    Whole(i128),
    Single(f32),
    Double(f64),
    Text(&'a str),
}

/// What a reader counts rows by, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "parquet"), allow(dead_code))] // CSV files have lines alone.
pub(super) enum Place {
    /// Lines of a text, from 1.
    Line,
    /// Rows, from 0.
    Row,
}

/// No table has more cells: 4 GB of inputs.
pub(super) const MOST_CELLS: usize = 1 << 30;

/// No file that holds columns has more rows for each of its bytes. Even rows that differ in a single
/// bit have fewer; only a damaged file, or one made to fill the memory, claims more.
#[cfg(feature = "parquet")]
const ROWS_PER_BYTE: u64 = 256;

/// Nor does it unpack to more bytes for each of its bytes.
#[cfg(feature = "parquet")]
const UNPACKED_PER_BYTE: u64 = 1024;

/// What the columns of a file may unpack to; of a small one, a few pages in any case.
#[cfg(feature = "parquet")]
pub(super) fn most_unpacked(file_bytes: u64) -> u64 {
    file_bytes.saturating_mul(UNPACKED_PER_BYTE).saturating_add(1 << 20)
}

/// The rows of a file.
#[derive(Clone)]
pub(super) struct Rows {
    path: PathBuf,
    place: Place,
    /// Inputs in the order of the file; then the target.
    columns: Vec<Column>,
    /// Where in the file each row is.
    numbers: Vec<u64>,
    /// The rows to be left out.
    dropped: Vec<bool>,
    missing_values: Vec<String>,
    most_rows: u64,
}

/// A column, and what it is.
#[derive(Clone)]
pub(super) struct Column {
    pub(super) schema: ColumnSchema,
    pub(super) values: Values,
}

/// The values of a column. What is missing is NaN, or the code [`MISSING`].
#[derive(Clone)]
pub(super) enum Values {
    /// In double precision, for the statistics.
    Numbers(Vec<f64>),
    Categories(Categories),
}

/// Texts of which each is kept once.
#[derive(Clone, Default)]
pub(super) struct Categories {
    pub(super) names: Vec<String>,
    codes_of: HashMap<String, u32>,
    pub(super) codes: Vec<u32>,
}

pub(super) const MISSING: u32 = u32::MAX;

impl Categories {
    fn push(&mut self, name: Cow<'_, str>) {
        let code = match self.codes_of.get(&*name) {
            Some(code) => *code,
            None => {
                let code = self.names.len() as u32;
                self.names.push(name.to_string());
                self.codes_of.insert(name.into_owned(), code);
                code
            }
        };
        self.codes.push(code);
    }

    /// The names that occur, numbers in their order and texts in alphabetical order.
    pub(super) fn sorted<'a>(of: impl Iterator<Item = &'a Categories>) -> Vec<String> {
        let mut names: Vec<&String> = of
            .flat_map(|c| {
                let mut used = vec![false; c.names.len()];
                c.codes
                    .iter()
                    .filter(|code| **code != MISSING)
                    .for_each(|c| used[*c as usize] = true);
                c.names.iter().zip(used).filter(|(_, used)| *used).map(|(name, _)| name)
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        let number = |name: &str| name.parse::<f64>().ok().filter(|x| x.is_finite());
        if names.iter().all(|name| number(name).is_some()) {
            names.sort_by(|a, b| number(a).partial_cmp(&number(b)).expect("finite numbers"));
        }
        names.into_iter().cloned().collect()
    }
}

impl Values {
    fn push_missing(&mut self) {
        match self {
            Values::Numbers(numbers) => numbers.push(f64::NAN),
            Values::Categories(categories) => categories.codes.push(MISSING),
        }
    }

    pub(super) fn categories(&self) -> Option<&Categories> {
        match self {
            Values::Numbers(_) => None,
            Values::Categories(categories) => Some(categories),
        }
    }

    fn select(&self, rows: &[usize]) -> Values {
        match self {
            Values::Numbers(all) => Values::Numbers(rows.iter().map(|&row| all[row]).collect()),
            Values::Categories(all) => Values::Categories(Categories {
                names: all.names.clone(),
                codes_of: all.codes_of.clone(),
                codes: rows.iter().map(|&row| all.codes[row]).collect(),
            }),
        }
    }
}

impl Rows {
    /// None yet; `schema` as it was found for the file.
    pub(super) fn new(
        path: &Path,
        place: Place,
        schema: Vec<ColumnSchema>,
        options: &TableOptions,
    ) -> Rows {
        let column = |schema: ColumnSchema| {
            let values = match schema.role {
                Role::Number | Role::Target(Target::Number) => Values::Numbers(Vec::new()),
                _ => Values::Categories(Categories::default()),
            };
            Column { schema, values }
        };
        Rows {
            path: path.to_owned(),
            place,
            columns: schema.into_iter().map(column).collect(),
            numbers: Vec::new(),
            dropped: Vec::new(),
            missing_values: options.missing_values.clone(),
            most_rows: u64::MAX,
        }
    }

    /// The same, of a file so long: the rows it can have are bounded.
    #[cfg(feature = "parquet")]
    pub(super) fn of_file(self, bytes: u64) -> Rows {
        Rows { most_rows: bytes.saturating_mul(ROWS_PER_BYTE).saturating_add(1 << 16), ..self }
    }

    /// Makes room for rows, of which the reader counts the first as `first`; then each column is
    /// [filled](Rows::push).
    pub(super) fn begin(&mut self, first: u64, count: usize) -> Result<()> {
        let rows = self.numbers.len().saturating_add(count);
        if rows.saturating_mul(self.columns.len()) > MOST_CELLS {
            let message = format!(
                "{}: there are {rows} rows or more of {} columns, more than {MOST_CELLS} cells; \
                 divide the file, or read it as a stream",
                self.path.display(),
                self.columns.len()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        if rows as u64 > self.most_rows {
            let message = format!(
                "{}: it claims {rows} rows or more, and is too small for that; write it again",
                self.path.display()
            );
            return Err(Error::new(ErrorKind::Format, message));
        }
        self.numbers.extend((0..count as u64).map(|row| first + row));
        self.dropped.resize(rows, false);
        Ok(())
    }

    /// How many columns are used.
    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Where a used column stands in the file.
    pub(super) fn column_at(&self, column: usize) -> usize {
        self.columns[column].schema.at
    }

    /// The next cell of a column.
    pub(super) fn push(&mut self, column: usize, cell: Cell<'_>) -> Result<()> {
        let Column { schema, values } = &mut self.columns[column];
        let row = match values {
            Values::Numbers(numbers) => numbers.len(),
            Values::Categories(categories) => categories.codes.len(),
        };
        let why = if is_missing(cell, &self.missing_values) {
            if schema.missing != Missing::Refuse && schema.role.allows(schema.missing) {
                values.push_missing();
                self.dropped[row] |= schema.missing == Missing::DropRow;
                return Ok(());
            }
            let what = match cell {
                Cell::Empty | Cell::Text("") => "is empty".to_owned(),
                cell => format!("is {}, which means missing", written(cell)),
            };
            format!(
                "{what}; say what `missing` is for this column ({}), or fill it",
                schema.role.remedies()
            )
        } else {
            let pushed = match values {
                Values::Numbers(numbers) => number(cell).map(|x| numbers.push(x)),
                Values::Categories(categories) => category(cell).map(|name| categories.push(name)),
            };
            match pushed {
                Ok(()) => return Ok(()),
                Err(why) => why,
            }
        };
        let name = schema.name.clone();
        Err(self.cell_error(row, &name, &why))
    }

    /// Without the rows that are to be left out.
    ///
    /// # Errors
    /// If no row is left.
    pub(super) fn finish(self) -> Result<Rows> {
        if self.numbers.is_empty() {
            let message = format!("{}: there are no rows after the header", self.path.display());
            return Err(Error::new(ErrorKind::Data, message));
        }
        if !self.dropped.contains(&true) {
            return Ok(self);
        }
        let kept: Vec<usize> = (0..self.len()).filter(|row| !self.dropped[*row]).collect();
        if kept.is_empty() {
            let message = format!(
                "{}: a value is missing in each of the {} rows, and `missing` leaves such rows out; \
                 choose another remedy for some columns",
                self.path.display(),
                self.len()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(self.select(&kept))
    }

    /// Some of the rows.
    pub(super) fn select(&self, rows: &[usize]) -> Rows {
        let column = |column: &Column| Column {
            schema: column.schema.clone(),
            values: column.values.select(rows),
        };
        Rows {
            path: self.path.clone(),
            place: self.place,
            columns: self.columns.iter().map(column).collect(),
            numbers: rows.iter().map(|&row| self.numbers[row]).collect(),
            dropped: vec![false; rows.len()],
            missing_values: Vec::new(),
            most_rows: self.most_rows,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The inputs, in the order of the file.
    pub(super) fn inputs(&self) -> impl Iterator<Item = &Column> + Clone {
        self.columns.iter().filter(|column| !matches!(column.schema.role, Role::Target(_)))
    }

    pub(super) fn target(&self) -> &Column {
        let target = |column: &&Column| matches!(column.schema.role, Role::Target(_));
        self.columns.iter().find(target).expect("every schema has a target")
    }

    /// Where in the file each row is.
    pub(super) fn places(&self) -> (Place, Vec<u64>) {
        (self.place, self.numbers.clone())
    }

    /// An error of one cell.
    pub(super) fn cell_error(&self, row: usize, column: &str, why: &str) -> Error {
        let (file, place) = (self.path.display(), self.place.of(self.numbers[row]));
        Error::new(ErrorKind::Data, format!("{file}, {place}: the cell of column {column:?} {why}"))
    }
}

impl Place {
    /// In words.
    pub(super) fn of(self, number: u64) -> String {
        match self {
            Place::Line => format!("line {number}"),
            Place::Row => format!("row {number}"),
        }
    }
}

fn is_missing(cell: Cell<'_>, missing_values: &[String]) -> bool {
    let same = |value: f64, text: &String| {
        text.parse::<f64>().is_ok_and(|x| x == value || (x.is_nan() && value.is_nan()))
    };
    let mut texts = missing_values.iter();
    match cell {
        Cell::Empty | Cell::Text("") => true,
        Cell::Bool(_) => false,
        // Most often: no cell need be read twice.
        _ if missing_values.is_empty() => false,
        Cell::Text(cell) => match cell.parse() {
            Ok(value) => texts.any(|text| text == cell || same(value, text)),
            Err(_) => texts.any(|text| text == cell),
        },
        Cell::Whole(value) => texts.any(|text| same(value as f64, text)),
        Cell::Single(value) => texts.any(|text| same(value.into(), text)),
        Cell::Double(value) => texts.any(|text| same(value, text)),
    }
}

/// A cell as a number. That of a CSV file may say `true` and `false`, as a Boolean column does.
fn number(cell: Cell<'_>) -> Result<f64, String> {
    let value = match cell {
        Cell::Bool(b) => f64::from(b),
        Cell::Text("true" | "True") => 1.0,
        Cell::Text("false" | "False") => 0.0,
        Cell::Whole(i) => i as f64,
        Cell::Single(x) => x.into(),
        Cell::Double(x) => x,
        Cell::Text(text) => text.parse().map_err(|_| {
            format!(
                "is {text:?}, which is no number; every cell of it must be one: list the column \
                 under `categorical` or `ignore`, or `missing_values` has this text"
            )
        })?,
        Cell::Empty => unreachable!("it is missing"),
    };
    if value.is_finite() && (value as f32).is_finite() {
        return Ok(value);
    }
    Err(format!(
        "is {}, which is not finite in single precision; list it under `missing_values`, or leave \
         the row or the column out",
        written(cell)
    ))
}

/// A cell as the name of a category.
fn category(cell: Cell<'_>) -> Result<Cow<'_, str>, String> {
    Ok(match cell {
        Cell::Text(text) => Cow::Borrowed(text),
        Cell::Single(x) if !x.is_finite() => return Err(format!("is {x}, which is no category")),
        Cell::Double(x) if !x.is_finite() => return Err(format!("is {x}, which is no category")),
        cell => Cow::Owned(written(cell)),
    })
}

/// As a CSV file has it.
fn written(cell: Cell<'_>) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Bool(b) => b.to_string(),
        Cell::Whole(i) => i.to_string(),
        Cell::Single(x) => x.to_string(),
        Cell::Double(x) => x.to_string(),
        Cell::Text(text) => text.to_owned(),
    }
}
