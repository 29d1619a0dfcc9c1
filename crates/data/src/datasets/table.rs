//! Tables of numbers in CSV files, for regression and classification.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use csv::{ReaderBuilder, StringRecord, Trim};
use gradus_tensor::{Error, ErrorKind, Result};

use super::choose;
use crate::{Array, Dataset, Part, Split};

/// What the target column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A number to predict.
    Number,
    /// The name of a class.
    Class,
}

/// How a file becomes samples.
#[derive(Clone, Debug, PartialEq)]
pub struct TableOptions {
    /// The name of the column to predict.
    pub target: String,
    /// What it holds.
    pub kind: Target,
    /// Whether to subtract each input column's mean and divide by its standard deviation, both of
    /// the part to train on: yes by default.
    pub standardize: bool,
    /// The share of the rows to test on, if there is one file only: 0.2 by default.
    pub test_fraction: f64,
    /// Decides which rows these are: 0 by default.
    pub seed: u64,
}

impl TableOptions {
    /// The defaults, to predict a column.
    pub fn new(target: impl Into<String>, kind: Target) -> TableOptions {
        TableOptions { target: target.into(), kind, standardize: true, test_fraction: 0.2, seed: 0 }
    }
}

/// A table of numbers: each row a sample, one column the target, all others the inputs.
///
/// The file is CSV with a header. Or there is a folder with `train.csv` and `test.csv`; from one
/// file, a part of the rows is chosen by a seed. Every cell must be there and be a finite number,
/// but for a target that is the name of a class.
///
/// Samples are `(Array<f32> [columns], Part)`, the target being numbers `[1]` or a label.
#[derive(Clone)]
pub struct Table {
    name: String,
    columns: Vec<String>,
    /// `[rows, columns]`.
    inputs: Array<f32>,
    targets: Targets,
    classes: Vec<String>,
}

#[derive(Clone, Debug)]
enum Targets {
    /// `[rows, 1]`.
    Numbers(Array<f32>),
    /// `[rows]`.
    Classes(Array<i64>),
}

/// A summary: `houses.csv (train): 1600 rows of 10 columns`.
impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} rows of {} columns", self.name, self.len(), self.columns.len())
    }
}

impl Table {
    /// One part of a file, or of a folder.
    ///
    /// # Errors
    /// If a file cannot be read, a column is missing, or a cell is not what it should be; the
    /// message names the file, the line and the column.
    pub fn open(path: impl AsRef<Path>, split: Split, options: &TableOptions) -> Result<Table> {
        let path = path.as_ref();
        let (train, test) = if path.is_dir() {
            let train = Rows::read(&path.join("train.csv"), options)?;
            let test = Rows::read(&path.join("test.csv"), options)?;
            if train.columns != test.columns {
                let message = format!(
                    "{} has the columns {}, but {} has {}; both need the same, in one order",
                    train.path.display(),
                    train.columns.join(", "),
                    test.path.display(),
                    test.columns.join(", ")
                );
                return Err(Error::new(ErrorKind::Data, message));
            }
            (train, test)
        } else {
            let all = Rows::read(path, options)?;
            let part = |split| {
                let chosen = choose(all.targets.len(), options.test_fraction, options.seed, split);
                let chosen =
                    chosen.map_err(|e| e.context(format_args!("{}, rows", path.display())));
                Ok(all.select(&chosen?))
            };
            (part(Split::Train)?, part(Split::Test)?)
        };
        let classes = match options.kind {
            Target::Number => Vec::new(),
            // Of one file, a class may be in the part to test alone.
            Target::Class if path.is_dir() => class_names(&train, None),
            Target::Class => class_names(&train, Some(&test)),
        };
        let scales = options.standardize.then(|| train.scales());
        let part = match split {
            Split::Train => train,
            Split::Test => test,
        };
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        part.finish(format!("{file} ({split})"), options, classes, scales)
    }

    /// All rows of a file that messages call `path`, with a number to predict.
    pub(super) fn from_csv(path: &Path, csv: impl Read, target: &str) -> Result<Table> {
        let options = TableOptions::new(target, Target::Number);
        let rows = Rows::parse(path, csv, &options)?;
        let scales = rows.scales();
        rows.finish(path.display().to_string(), &options, Vec::new(), Some(scales))
    }

    /// The names of the input columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The names of the classes, numbers in their order and texts in alphabetical order; none if
    /// the target is a number.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }
}

impl Dataset for Table {
    type Item = (Array<f32>, Part);

    fn len(&self) -> usize {
        self.inputs.shape()[0]
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        let target = match &self.targets {
            Targets::Numbers(numbers) => Part::Floats(numbers.row(index)),
            Targets::Classes(labels) => Part::Label(labels.data()[index]),
        };
        Ok((self.inputs.row(index), target))
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// Rows of a file: numbers, and the cells of the target.
struct Rows {
    path: PathBuf,
    columns: Vec<String>,
    /// Row by row. In double precision, for the statistics.
    inputs: Vec<f64>,
    targets: Vec<Cell>,
}

#[derive(Clone)]
struct Cell {
    text: String,
    line: u64,
}

impl Rows {
    fn read(path: &Path, options: &TableOptions) -> Result<Rows> {
        let name = path.display();
        let file = File::open(path)
            .map_err(|e| Error::new(ErrorKind::Io, format!("{name}: {e}; give a CSV file")))?;
        Rows::parse(path, file, options)
    }

    /// Reads rows that messages say are from `path`.
    fn parse(path: &Path, source: impl Read, options: &TableOptions) -> Result<Rows> {
        let name = path.display();
        let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(source);
        let broken = |e: csv::Error| {
            let remedy = match e.kind() {
                csv::ErrorKind::UnequalLengths { .. } => "; every row has as many cells",
                csv::ErrorKind::Utf8 { .. } => "; convert the file to UTF-8",
                _ => "",
            };
            Error::new(ErrorKind::Format, format!("{name}: {e}{remedy}"))
        };
        let header = reader.headers().map_err(broken)?.clone();
        if header.is_empty() {
            let message =
                format!("{name}: the file is empty; it begins with a line of column names");
            return Err(Error::new(ErrorKind::Data, message));
        }
        let twice =
            header.iter().enumerate().find(|(i, c)| header.iter().take(*i).any(|b| b == *c));
        if let Some((_, column)) = twice {
            let message = format!("{name}: two columns are named {column:?}; rename one");
            return Err(Error::new(ErrorKind::Data, message));
        }
        let Some(target) = header.iter().position(|column| column == options.target) else {
            let message = format!(
                "{name}: there is no column {:?} in the header: {}",
                options.target,
                header.iter().collect::<Vec<_>>().join(", ")
            );
            return Err(Error::new(ErrorKind::Data, message));
        };
        let others = |record: &StringRecord| -> Vec<String> {
            let others = record.iter().enumerate().filter(|(at, _)| *at != target);
            others.map(|(_, cell)| cell.to_owned()).collect()
        };
        let columns = others(&header);
        if columns.is_empty() {
            let message = format!("{name}: there is no column but the target; add inputs");
            return Err(Error::new(ErrorKind::Data, message));
        }
        let (mut inputs, mut targets) = (Vec::new(), Vec::new());
        let mut record = StringRecord::new();
        while reader.read_record(&mut record).map_err(broken)? {
            let line = record.position().map_or(0, |position| position.line());
            for (column, text) in columns.iter().zip(others(&record)) {
                inputs.push(number(path, line, column, &text)?);
            }
            targets.push(Cell { text: record[target].to_owned(), line });
        }
        if targets.is_empty() {
            let message = format!("{name}: there are no rows after the header");
            return Err(Error::new(ErrorKind::Data, message));
        }
        Ok(Rows { path: path.to_owned(), columns, inputs, targets })
    }

    fn select(&self, rows: &[usize]) -> Rows {
        let width = self.columns.len();
        Rows {
            path: self.path.clone(),
            columns: self.columns.clone(),
            inputs: rows
                .iter()
                .flat_map(|row| &self.inputs[row * width..][..width])
                .copied()
                .collect(),
            targets: rows.iter().map(|&row| self.targets[row].clone()).collect(),
        }
    }

    /// Mean and standard deviation of each input column. A column that never changes is only
    /// shifted.
    fn scales(&self) -> Vec<(f64, f64)> {
        let (width, rows) = (self.columns.len(), self.targets.len() as f64);
        let column = |at: usize| self.inputs.iter().skip(at).step_by(width);
        (0..width)
            .map(|at| {
                let mean = column(at).sum::<f64>() / rows;
                let variance = column(at).map(|x| (x - mean).powi(2)).sum::<f64>() / rows;
                (mean, if variance > 0.0 { variance.sqrt() } else { 1.0 })
            })
            .collect()
    }

    fn finish(
        self,
        name: String,
        options: &TableOptions,
        classes: Vec<String>,
        scales: Option<Vec<(f64, f64)>>,
    ) -> Result<Table> {
        let (rows, width) = (self.targets.len(), self.columns.len());
        let inputs = match scales {
            None => self.inputs.iter().map(|&x| x as f32).collect(),
            Some(scales) => {
                let cells = self.inputs.iter().zip(scales.iter().cycle());
                cells.map(|(x, (mean, std))| ((x - mean) / std) as f32).collect()
            }
        };
        let targets = match options.kind {
            Target::Number => {
                let cells = self.targets.iter();
                let numbers: Result<Vec<f32>> = cells
                    .map(|cell| {
                        let x = number(&self.path, cell.line, &options.target, &cell.text);
                        x.map(|x| x as f32)
                    })
                    .collect();
                Targets::Numbers(Array::new([rows, 1], numbers?)?)
            }
            Target::Class => {
                let cells = self.targets.iter();
                let labels: Result<Vec<i64>> = cells
                    .map(|cell| {
                        let label = classes.iter().position(|class| *class == cell.text);
                        let known = label.filter(|_| !cell.text.is_empty());
                        known.map(|label| label as i64).ok_or_else(|| self.no_class(cell, options))
                    })
                    .collect();
                Targets::Classes(Array::new([rows], labels?)?)
            }
        };
        let inputs = Array::new([rows, width], inputs)?;
        Ok(Table { name, columns: self.columns, inputs, targets, classes })
    }

    fn no_class(&self, cell: &Cell, options: &TableOptions) -> Error {
        let what = match cell.text.as_str() {
            "" => "is empty; give its class, or leave the row out".to_owned(),
            text => format!("is {text:?}, a class that the rows to train on do not have"),
        };
        let (file, line, column) = (self.path.display(), cell.line, &options.target);
        let message = format!("{file}, line {line}: the cell of column {column:?} {what}");
        Error::new(ErrorKind::Data, message)
    }
}

fn number(path: &Path, line: u64, column: &str, text: &str) -> Result<f64> {
    let what = match text.parse::<f64>() {
        Ok(x) if x.is_finite() && (x as f32).is_finite() => return Ok(x),
        Ok(_) => format!("is {text}, which is not finite"),
        Err(_) if text.is_empty() => "is empty".to_owned(),
        Err(_) => format!("is {text:?}, which is no number"),
    };
    let message = format!(
        "{}, line {line}: the cell of column {column:?} {what}; every cell must be a number: fill \
         it, or leave the row or the column out",
        path.display()
    );
    Err(Error::new(ErrorKind::Data, message))
}

/// The classes of the rows: sorted as numbers if all of them are, otherwise as texts.
fn class_names(train: &Rows, test: Option<&Rows>) -> Vec<String> {
    let rows = [Some(train), test].into_iter().flatten();
    let mut names: Vec<String> =
        rows.flat_map(|rows| rows.targets.iter().map(|cell| cell.text.clone())).collect();
    names.sort_unstable();
    names.dedup();
    if names.iter().all(|name| name.parse::<f64>().is_ok_and(f64::is_finite)) {
        names.sort_by(|a, b| {
            let value = |name: &str| name.parse::<f64>().unwrap_or(0.0);
            value(a).total_cmp(&value(b))
        });
    }
    names
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct File(PathBuf);

    impl File {
        fn new(test: &str, text: &str) -> File {
            let name = format!("gradus-table-{test}-{}.csv", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::write(&path, text).unwrap();
            File(path)
        }
    }

    impl Drop for File {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn rows(n: usize) -> String {
        let row = |i: usize| format!("{i}, {}, 7, c{}\n", 2 * i, i % 3);
        format!("a,b,constant,y\n{}", (0..n).map(row).collect::<String>())
    }

    #[test]
    fn statistics_are_those_of_the_training_part() {
        let file = File::new("statistics", &rows(50));
        let options = TableOptions::new("y", Target::Class);
        let open = |split| Table::open(&file.0, split, &options).unwrap();
        let (train, test) = (open(Split::Train), open(Split::Test));
        assert_eq!((train.len(), test.len()), (40, 10));
        assert_eq!(train.columns(), ["a", "b", "constant"]);
        assert_eq!(train.classes(), ["c0", "c1", "c2"]);
        let column = |table: &Table, at: usize| -> Vec<f64> {
            (0..table.len()).map(|i| table.get(i).unwrap().0.data()[at].into()).collect()
        };
        for at in 0..2 {
            let values = column(&train, at);
            let mean = values.iter().sum::<f64>() / 40.0;
            let variance = values.iter().map(|x| x * x).sum::<f64>() / 40.0;
            assert!(mean.abs() < 1e-6 && (variance - 1.0).abs() < 1e-5, "{mean} {variance}");
        }
        assert_eq!(column(&train, 2), [0.0; 40]);
        // The same numbers are applied to the part to test: b stays twice a, and the two parts make
        // up 0 to 49 again.
        assert!(column(&test, 0).iter().zip(column(&test, 1)).all(|(a, b)| (a - b).abs() < 1e-6));
        let mut all = [column(&train, 0), column(&test, 0)].concat();
        all.sort_by(f64::total_cmp);
        let step = all[1] - all[0];
        assert!(all.windows(2).all(|pair| (pair[1] - pair[0] - step).abs() < 1e-5), "{all:?}");
    }

    #[test]
    fn numbers_are_targets_of_shape_one() {
        let file = File::new("numbers", "x,y\n1,10\n2,20\n3,30\n");
        let options = TableOptions { standardize: false, ..TableOptions::new("y", Target::Number) };
        let table = Table::open(&file.0, Split::Train, &options).unwrap();
        for i in 0..table.len() {
            let (input, target) = table.get(i).unwrap();
            let Part::Floats(target) = target else { panic!("{target:?}") };
            assert_eq!(target.shape()[..], [1]);
            assert_eq!(target.data()[0], 10.0 * input.data()[0]);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        let cases = [
            ("x,y\n1,2\n,3\n", "line 3: the cell of column \"x\" is empty"),
            (
                "x,y\n1,2\nred,3\n",
                "line 3: the cell of column \"x\" is \"red\", which is no number",
            ),
            ("x,y\n1,2\nnan,3\n", "line 3: the cell of column \"x\" is nan, which is not finite"),
            ("x,y\n1,2\n2,\n", "line 3: the cell of column \"y\" is empty"),
            ("x,z\n1,2\n", "there is no column \"y\" in the header: x, z"),
            ("x,y\n1,2\n3\n", "line: 3"),
            ("x,y\n", "there are no rows"),
            ("y\n1\n", "no column but the target"),
            ("x,y\n1,2\n", "1 of them cannot be split"),
        ];
        for (i, (text, expected)) in cases.into_iter().enumerate() {
            let file = File::new(&format!("wrong-{i}"), text);
            // Both parts are looked at, as the row may be in either.
            let options = TableOptions::new("y", Target::Number);
            let open = |split| Table::open(&file.0, split, &options);
            let error = open(Split::Train).and_then(|_| open(Split::Test)).unwrap_err().to_string();
            assert!(error.contains(&file.0.display().to_string()), "{error}");
            assert!(error.contains(expected), "{error}\n{expected}");
        }
    }

    #[test]
    fn classes_that_are_numbers_are_in_their_order() {
        let file = File::new("order", "x,y\n1,10\n2,9\n3,10\n4,9\n5,100\n");
        let options = TableOptions::new("y", Target::Class);
        let table = Table::open(&file.0, Split::Test, &options).unwrap();
        assert_eq!(table.classes(), ["9", "10", "100"]);
    }
}
