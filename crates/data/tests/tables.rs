//! One table in every format that tables are read from: the same samples, and the same complaints.
//!
//! `tests/golden/tables.py` writes the files with pyarrow.

use std::path::{Path, PathBuf};

use gradus_data::datasets::{Missing, Table, TableOptions, Target};
use gradus_data::{Dataset, Part, Split};
use gradus_tensor::Result;

const CSV: &str = "table.csv";
const FILES: &[&str] = if cfg!(feature = "parquet") { &[CSV, "zstd.parquet"] } else { &[CSV] };
#[cfg(feature = "parquet")]
const COLUMNAR: [&str; 13] = [
    "none.parquet",
    "snappy.parquet",
    "gzip.parquet",
    "zstd.parquet",
    "lz4.parquet",
    "plain.parquet",
    "dictionary.parquet",
    "uncompressed.feather",
    "lz4.feather",
    "zstd.feather",
    "dictionary.arrow",
    "stream.arrows",
    "views.arrows",
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tables").join(name)
}

fn options(target: &str, kind: Target) -> TableOptions {
    TableOptions {
        categorical: vec!["city".into(), "code".into()],
        ignore: if target == "y" { vec!["class".into()] } else { Vec::new() },
        missing: Missing::Mean,
        missing_in: vec![
            ("city".into(), Missing::Category),
            ("u8".into(), Missing::DropRow),
            ("u16".into(), Missing::Median),
            ("u32".into(), Missing::Fill(-1.0)),
        ],
        ..TableOptions::new(target, kind)
    }
}

/// A file of its own, removed when dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, content: &[u8]) -> Temporary {
        let path = std::env::temp_dir().join(format!("gradus-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(feature = "parquet")]
#[test]
fn every_format_makes_the_same_samples() {
    type Samples = (Vec<String>, Vec<String>, Vec<(Vec<u32>, String)>);
    let samples = |name: &str, split, options: &TableOptions| -> Samples {
        let table = Table::open(file(name), split, options).unwrap();
        let sample = |index| {
            let (input, target) = table.get(index).unwrap();
            (input.data().iter().map(|x| x.to_bits()).collect(), format!("{target:?}"))
        };
        let samples = (0..table.len()).map(sample).collect();
        (table.columns().to_vec(), table.classes().to_vec(), samples)
    };
    let boolean = TableOptions {
        categorical: vec!["flag".into(), "city".into()],
        missing_in: vec![("city".into(), Missing::DropRow)],
        standardize: false,
        ..options("code", Target::Class)
    };
    let some = TableOptions {
        inputs: vec!["flag".into(), "f32".into()],
        missing: Missing::DropRow,
        ..TableOptions::new("class", Target::Class)
    };
    let cases = [
        options("y", Target::Number),
        options("class", Target::Class),
        TableOptions { ignore: vec!["class".into()], ..boolean },
        some,
    ];
    for options in &cases {
        for split in [Split::Train, Split::Test] {
            let expected = samples(CSV, split, options);
            assert!(expected.2.len() >= 5, "{}", expected.2.len());
            for name in COLUMNAR {
                assert!(samples(name, split, options) == expected, "{name}, {split}");
            }
        }
    }
}

/// What stands in the file is known from the script that wrote it.
#[test]
fn values_are_those_of_the_file() {
    let options =
        TableOptions { standardize: false, test_fraction: 0.1, ..options("y", Target::Number) };
    for name in FILES {
        let table = Table::open(file(name), Split::Train, &options).unwrap();
        let names = table.columns();
        assert_eq!(
            names[13..],
            ["city=Oslo", "city=Rome", "city=", "code=98", "code=99", "code=100"]
        );
        for index in 0..table.len() {
            let (input, Part::Floats(target)) = table.get(index).unwrap() else { panic!() };
            let row = ((target.data()[0] + 3.0) * 4.0) as usize;
            // Every ninth misses the u8, and is left out.
            assert_ne!(row % 9, 8);
            let cell = |name: &str| input.data()[names.iter().position(|n| n == name).unwrap()];
            assert_eq!(cell("i64"), (row as f32 * 7.0) % 90.0 - 45.0);
            assert_eq!(cell("flag"), f32::from(u8::from(row.is_multiple_of(3))));
            assert_eq!(cell("price"), row as f32 * 0.25);
            let city = match (row % 8, row * row % 4) {
                (7, _) => "city=",
                (_, 0) => "city=Rome",
                _ => "city=Oslo",
            };
            let one_hot: Vec<f32> = ["city=Oslo", "city=Rome", "city="].map(cell).to_vec();
            let expected: Vec<f32> =
                names[13..16].iter().map(|name| f32::from(u8::from(name == city))).collect();
            assert_eq!(one_hot, expected, "row {row}");
            if row % 7 != 6 {
                assert_eq!(cell("f16"), ((row * 11 % 64) as f32 - 32.0) / 8.0);
            }
            let place =
                if *name == CSV { format!("line {}", row + 2) } else { format!("row {row}") };
            assert_eq!(table.describe(index), place);
        }
    }
}

#[test]
fn missing_numbers_become_what_is_told() {
    let text = "x,y\n1,1\n?,2\n2,3\n,4\n6,5\n-999,6\n100,7\n";
    let of = |name: &str, missing| -> Result<Vec<f32>> {
        let table = Temporary::new(&format!("missing-{name}.csv"), text.as_bytes());
        let folder = std::env::temp_dir().join(format!("gradus-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for part in ["train.csv", "test.csv"] {
            std::fs::copy(&table.0, folder.join(part)).unwrap();
        }
        let options = TableOptions {
            missing,
            missing_values: vec!["?".into(), "-999.0".into()],
            standardize: false,
            ..TableOptions::new("y", Target::Number)
        };
        let table = Table::open(&folder, Split::Train, &options);
        std::fs::remove_dir_all(&folder).unwrap();
        let table = table?;
        (0..table.len()).map(|index| Ok(table.get(index)?.0.data()[0])).collect()
    };
    let filled = |x| vec![1.0, x, 2.0, x, 6.0, x, 100.0];
    assert_eq!(of("mean", Missing::Mean).unwrap(), filled(27.25));
    assert_eq!(of("median", Missing::Median).unwrap(), filled(4.0));
    assert_eq!(of("fill", Missing::Fill(-1.0)).unwrap(), filled(-1.0));
    assert_eq!(of("drop", Missing::DropRow).unwrap(), [1.0, 2.0, 6.0, 100.0]);
    let error = of("refuse", Missing::Refuse).unwrap_err().to_string();
    let expected = "line 3: the cell of column \"x\" is ?, which means missing; say what `missing` is \
                    for this column (\"drop-row\", \"mean\", \"median\" or a number)";
    assert!(error.contains(expected), "{error}");
}

#[cfg(feature = "parquet")]
#[test]
fn what_is_wrong_names_file_column_row_and_remedy() {
    let refuse = TableOptions {
        categorical: vec!["code".into()],
        ignore: ["class", "city", "u8", "u16", "u32", "u64"].map(str::to_owned).to_vec(),
        ..TableOptions::new("y", Target::Number)
    };
    let odd = |ignore: &[&str]| TableOptions {
        ignore: ignore.iter().map(|&name| name.to_owned()).collect(),
        ..TableOptions::new("y", Target::Number)
    };
    let numbers = TableOptions { missing: Missing::Mean, ..odd(&["class"]) };
    let cases = [
        ("snappy.parquet", &refuse, "snappy.parquet, row 6: the cell of column \"f16\" is empty"),
        (
            "stream.arrows",
            &refuse,
            "stream.arrows, row 6: the cell of column \"f16\" is empty; say",
        ),
        (
            "dictionary.arrow",
            &numbers,
            "row 0: the cell of column \"city\" is \"Rome\", which is no",
        ),
        ("odd.parquet", &odd(&[]), "the column \"day\" has the type Date32"),
        ("odd.arrow", &odd(&[]), "odd.arrow: the column \"day\" has the type Date32; numbers, boo"),
        ("odd.arrow", &odd(&["dya"]), "there is no column \"dya\" in the header: x, day, y"),
    ];
    for (name, options, expected) in cases {
        let error = Table::open(file(name), Split::Train, options).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}\n{expected}");
    }
    for name in ["odd.parquet", "odd.arrow"] {
        let options = TableOptions { test_fraction: 0.5, ..odd(&["day"]) };
        assert_eq!(Table::open(file(name), Split::Train, &options).unwrap().len(), 1);
    }
}

/// Cut anywhere, or with any byte changed, a file is read or refused: no panic, and no cut passes.
#[cfg(feature = "parquet")]
#[test]
fn damaged_files_are_refused() {
    let options = options("class", Target::Class);
    for name in ["plain.parquet", "gzip.parquet", "zstd.feather", "lz4.feather", "stream.arrows"] {
        let good = std::fs::read(file(name)).unwrap();
        let open = |content: &[u8]| {
            let damaged = Temporary::new(&format!("damaged-{name}"), content);
            Table::open(&damaged.0, Split::Train, &options).map(|table| table.len())
        };
        let mut refused = 0;
        for at in (8..good.len()).step_by(good.len() / 60) {
            // A directory at the end of an Arrow file is not needed, all else is.
            let cut = open(&good[..at]);
            assert!(
                cut.is_err() || (name.contains("feather") && at > good.len() * 3 / 4),
                "{name}, {at}"
            );
            if let Err(error) = cut {
                assert!(error.message().contains(name), "{error}");
            }
            let mut changed = good.clone();
            changed[at] ^= 0xff;
            refused += usize::from(open(&changed).is_err());
        }
        assert!(refused >= 5, "{name}: {refused}");
    }
}

/// A column that never changes in training is only shifted, also where its mean is rounded: ten times
/// 0.1 is not 1. Divided by that deviation, another number in the test part would be 10¹⁶.
#[test]
fn constant_columns_are_not_scaled() {
    let folder = std::env::temp_dir().join(format!("gradus-{}-constant", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let rows = |a: &str| format!("a,y\n{}", format!("{a},1\n").repeat(10));
    std::fs::write(folder.join("train.csv"), rows("0.1")).unwrap();
    std::fs::write(folder.join("test.csv"), rows("0.2")).unwrap();
    let input = |split| {
        let table = Table::open(&folder, split, &TableOptions::new("y", Target::Number)).unwrap();
        let (input, _) = table.get(0).unwrap();
        input.data()[0]
    };
    assert!(input(Split::Train).abs() < 1e-6, "{}", input(Split::Train));
    assert!((input(Split::Test) - 0.1).abs() < 1e-6, "{}", input(Split::Test));
    std::fs::remove_dir_all(folder).unwrap();
}

/// What follows an open quote would become a part of its cell, and its rows be lost.
#[test]
fn quotes_that_are_never_closed_are_refused() {
    let open = |rows: &str| {
        let file = Temporary::new("quotes.csv", format!("y,c\n{rows}").as_bytes());
        let options = TableOptions {
            categorical: vec!["c".into()],
            test_fraction: 0.5,
            ..TableOptions::new("y", Target::Number)
        };
        Table::open(&file.0, Split::Train, &options).map(|table| table.len())
    };
    for sound in
        ["1,a\n2,\"b\"\n", "1,a\n2,\"b\"", "1,\"a\n,\"\n2,b\"\n", "1,\"\"\"a\"\n2,\"\"\"\"\r\n"]
    {
        assert_eq!(open(sound).unwrap(), 1, "{sound}");
    }
    for open_ended in ["1,a\n2,\"b\n3,a\n", "1,a\n2,\"b", "1,a\n2,\"b\"\"\n3,c"] {
        let error = open(open_ended).unwrap_err().to_string();
        assert!(error.contains("quotes.csv, line 3: truncated, or a quote"), "{error}");
    }
}

#[test]
fn delimiters_and_folders_are_told() {
    let semicolons = Temporary::new("semicolons.csv", b"x;y\n1;2\n3;4\n");
    let options = TableOptions::new("y", Target::Number);
    let error = Table::open(&semicolons.0, Split::Train, &options).unwrap_err().to_string();
    assert!(error.contains("no column \"y\" in the header: x;y; or set `delimiter`"), "{error}");
    let options = TableOptions { delimiter: ';', ..options };
    assert_eq!(Table::open(&semicolons.0, Split::Train, &options).unwrap().len(), 1);
    let options = TableOptions { delimiter: '·', ..options };
    let error = Table::open(&semicolons.0, Split::Train, &options).unwrap_err().to_string();
    assert!(error.contains("a single character of ASCII"), "{error}");
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_program_without_the_formats_says_so() {
    for name in ["zstd.parquet", "zstd.feather", "stream.arrows"] {
        let options = options("y", Target::Number);
        let error = Table::open(file(name), Split::Train, &options).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("--features parquet"), "{error}");
    }
}
