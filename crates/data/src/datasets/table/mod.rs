//! Tables, for regression and classification: CSV, Parquet and Arrow files.
//!
//! One description of the columns ([`TableOptions`]) serves all formats, and equal contents make equal
//! samples. A reader turns a file into [`Rows`](rows::Rows) cell by cell; what follows is the same for
//! all: rows without a needed value are left out, then the parts are chosen, and statistics are those
//! of the part to train on.

#[cfg(feature = "parquet")]
mod arrow;
mod csv;
mod encoding;
#[cfg(feature = "parquet")]
mod ipc;
#[cfg(feature = "parquet")]
mod pages;
#[cfg(feature = "parquet")]
mod parquet;
mod rows;
mod schema;
#[cfg(feature = "parquet")]
mod thrift;

use std::fmt;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

use gradus_tensor::{Error, ErrorKind, Result};

use self::encoding::Encoding;
use self::rows::{Place, Rows};
pub use self::schema::Missing;
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

/// How a file becomes samples. Columns are named as the file does.
#[derive(Clone, Debug, PartialEq)]
pub struct TableOptions {
    /// The name of the column to predict.
    pub target: String,
    /// What it holds.
    pub kind: Target,
    /// The columns to predict it from: none by default, which means all others.
    pub inputs: Vec<String>,
    /// The inputs that name a category, whatever they hold; all others are numbers. For each of a
    /// column's categories there is an input that is 1 or 0.
    pub categorical: Vec<String>,
    /// The columns to leave out.
    pub ignore: Vec<String>,
    /// What becomes of missing values: an error by default.
    pub missing: Missing,
    /// The same for single columns.
    pub missing_in: Vec<(String, Missing)>,
    /// What means missing, besides an empty cell and a null: texts such as `NA`, numbers such as
    /// `-999`, and `nan`. None by default.
    pub missing_values: Vec<String>,
    /// What stands between the cells of a CSV file: a comma by default.
    pub delimiter: char,
    /// Whether to subtract each input column's mean and divide by its standard deviation, both of
    /// the part to train on: yes by default. Categories are left as they are.
    pub standardize: bool,
    /// The share of the rows to test on, if there is one file only: 0.2 by default.
    pub test_fraction: f64,
    /// Decides which rows these are: 0 by default.
    pub seed: u64,
}

impl TableOptions {
    /// The defaults, to predict a column.
    pub fn new(target: impl Into<String>, kind: Target) -> TableOptions {
        TableOptions {
            target: target.into(),
            kind,
            inputs: Vec::new(),
            categorical: Vec::new(),
            ignore: Vec::new(),
            missing: Missing::Refuse,
            missing_in: Vec::new(),
            missing_values: Vec::new(),
            delimiter: ',',
            standardize: true,
            test_fraction: 0.2,
            seed: 0,
        }
    }
}

/// A table: each row a sample, one column the target, others the inputs.
///
/// | format | known by | |
/// |---|---|---|
/// | CSV | anything else | a line of column names; UTF-8 |
/// | Parquet | `PAR1` | plain or compressed with Snappy, Zstandard, gzip or LZ4 |
/// | Arrow (Feather 2), file or stream | `ARROW1`, or a message | plain or compressed with LZ4 or Zstandard |
///
/// The path is that of a file, of which a part of the rows is chosen by a seed for testing; or of a
/// folder with two files `train` and `test`, whose names end in `.csv`, `.tsv`, `.parquet`, `.arrow`,
/// `.arrows` or `.feather`. The format is told by a file's content.
///
/// Parquet's texts are read plain or as dictionaries, not as differences (`DELTA_BYTE_ARRAY` and
/// `DELTA_LENGTH_BYTE_ARRAY`), which may take any amount of memory. So may a file that claims more
/// than it can hold in earnest: above 256 rows or 1,024 unpacked bytes for each of its bytes, a
/// Parquet or Arrow file is refused.
///
/// Numbers must be finite in single precision; booleans (in CSV, `true` and `false`) are 1 and 0. What
/// is categorical, and what becomes of missing values, is [told](TableOptions), never guessed. A
/// category that only a file `test` has is an error.
///
/// Samples are `(Array<f32> [inputs], Part)`, the target being numbers `[1]` or a label.
///
/// ```
/// use gradus_data::datasets::{Missing, Table, TableOptions, Target};
/// use gradus_data::{Dataset, Split};
///
/// let path = std::env::temp_dir().join(format!("gradus-doc-{}.csv", std::process::id()));
/// std::fs::write(&path, "age,city,price\n30,Rome,10\n,Oslo,20\n50,Rome,30\n")?;
/// let options = TableOptions {
///     categorical: vec!["city".into()],
///     missing: Missing::Median,
///     standardize: false,
///     ..TableOptions::new("price", Target::Number)
/// };
/// let table = Table::open(&path, Split::Train, &options)?;
/// assert_eq!(table.columns(), ["age", "city=Oslo", "city=Rome"]);
/// assert_eq!(table.len(), 2);
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Table {
    name: String,
    columns: Vec<String>,
    /// `[rows, columns]`.
    inputs: Array<f32>,
    targets: Targets,
    classes: Vec<String>,
    place: Place,
    /// Where each row is in its file.
    numbers: Vec<u64>,
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
    /// message names the file, the line (of CSV, from 1) or row (otherwise, from 0) and the column.
    pub fn open(path: impl AsRef<Path>, split: Split, options: &TableOptions) -> Result<Table> {
        let path = path.as_ref();
        let in_folder = path.is_dir();
        let (train, test) = if in_folder {
            let train = read(&file_in(path, "train")?, options)?;
            let test = read(&file_in(path, "test")?, options)?;
            let names = |rows: &Rows| -> Vec<String> {
                rows.inputs().map(|column| column.schema.name.clone()).collect()
            };
            if names(&train) != names(&test) {
                let message = format!(
                    "{} has the inputs {}, but {} has {}; both need the same, in one order",
                    train.path().display(),
                    names(&train).join(", "),
                    test.path().display(),
                    names(&test).join(", ")
                );
                return Err(Error::new(ErrorKind::Data, message));
            }
            (train, test)
        } else {
            let all = read(path, options)?;
            let part = |split| {
                let chosen = choose(all.len(), options.test_fraction, options.seed, split);
                let chosen =
                    chosen.map_err(|e| e.context(format_args!("{}, rows", path.display())));
                Ok(all.select(&chosen?))
            };
            (part(Split::Train)?, part(Split::Test)?)
        };
        // Of one file, a category may be in the part to test alone.
        let known = [Some(&train), Some(&test).filter(|_| !in_folder)];
        let encoding = Encoding::of(&train, known, options);
        let part = match split {
            Split::Train => train,
            Split::Test => test,
        };
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        encoding.encode(format!("{file} ({split})"), &part)
    }

    /// All rows of the bytes of a file that messages call `path`.
    pub(super) fn from_bytes(
        path: &Path,
        bytes: &[u8],
        format: Format,
        options: &TableOptions,
    ) -> Result<Table> {
        let rows = match format {
            Format::Csv => csv::read(path, bytes, options),
            #[cfg(feature = "parquet")]
            Format::Parquet => {
                columnar::parquet(path, bytes::Bytes::copy_from_slice(bytes), options)
            }
            #[cfg(feature = "parquet")]
            Format::Arrow => columnar::arrow(path, bytes, options),
        }?;
        let encoding = Encoding::of(&rows, [Some(&rows), None], options);
        encoding.encode(path.display().to_string(), &rows)
    }

    /// The names of the inputs: of a category, `column=category`, and `column=` where it is missing.
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

    fn describe(&self, index: usize) -> String {
        self.place.of(self.numbers[index])
    }

    fn name(&self) -> String {
        self.name.clone()
    }
}

/// How a table is written.
pub(super) enum Format {
    Csv,
    #[cfg(feature = "parquet")]
    Parquet,
    #[cfg(feature = "parquet")]
    Arrow,
}

/// The file of a part, whatever its format.
fn file_in(folder: &Path, part: &str) -> Result<PathBuf> {
    let endings = ["csv", "tsv", "parquet", "arrow", "arrows", "feather"];
    let paths = endings.map(|ending| folder.join(format!("{part}.{ending}")));
    let mut found = paths.iter().filter(|path| path.is_file());
    let why = match (found.next(), found.next()) {
        (Some(path), None) => return Ok(path.clone()),
        (Some(one), Some(other)) => {
            format!("both {} and {} are there; leave one", one.display(), other.display())
        }
        _ => format!("there is no {part}.csv, nor one of {}; add it", endings[1..].join(", ")),
    };
    Err(Error::new(ErrorKind::Io, format!("{}: {why}", folder.display())))
}

/// The rows of a file of any format.
fn read(path: &Path, options: &TableOptions) -> Result<Rows> {
    let name = path.display();
    let broken = |e: std::io::Error| {
        Error::new(ErrorKind::Io, format!("{name}: {e}; give a CSV, Parquet or Arrow file"))
    };
    let mut file = File::open(path).map_err(broken)?;
    let mut start = Vec::new();
    (&mut file).take(6).read_to_end(&mut start).map_err(broken)?;
    file.rewind().map_err(broken)?;
    match &start[..] {
        start if start.starts_with(b"PAR1") => columnar::parquet(path, file, options),
        start if start.starts_with(b"ARROW1") || start.starts_with(&[0xff; 4]) => {
            columnar::arrow(path, file, options)
        }
        start if start.starts_with(b"FEA1") => {
            let message = format!("{name}: Feather version 1 is not read; write it as version 2");
            Err(Error::new(ErrorKind::Format, message))
        }
        start if start.starts_with(b"PARE") => {
            let message = format!("{name}: encrypted Parquet is not read; write it in plain");
            Err(Error::new(ErrorKind::Format, message))
        }
        _ => csv::read(path, file, options),
    }
}

/// Formats that hold columns.
#[cfg(feature = "parquet")]
mod columnar {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use ::parquet::file::reader::ChunkReader;

    use super::*;

    pub(super) fn parquet<R: ChunkReader + 'static>(
        path: &Path,
        file: R,
        options: &TableOptions,
    ) -> Result<Rows> {
        contained(path, || parquet::read(path, file, options))
    }

    pub(super) fn arrow(path: &Path, file: impl Read, options: &TableOptions) -> Result<Rows> {
        contained(path, || ipc::read(path, file, options))
    }

    /// The libraries check what they read, but not all of it: a panic of theirs too is a damaged file.
    /// Nothing outlives it, so nothing can be seen half done.
    fn contained(path: &Path, read: impl FnOnce() -> Result<Rows>) -> Result<Rows> {
        catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let why =
                text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason is known");
            let message = format!("{}: damaged ({why}); write it again", path.display());
            Err(Error::new(ErrorKind::Format, message))
        })
    }
}

/// Their libraries are left out.
#[cfg(not(feature = "parquet"))]
mod columnar {
    use super::*;

    pub(super) fn parquet(path: &Path, _: File, _: &TableOptions) -> Result<Rows> {
        let message = format!(
            "{}: a Parquet or Arrow file, which this program was built without; convert it to CSV, or \
             build with `--features parquet`",
            path.display()
        );
        Err(Error::new(ErrorKind::Usage, message))
    }
    pub(super) use parquet as arrow;
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
