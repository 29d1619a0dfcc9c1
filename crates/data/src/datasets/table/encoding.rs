//! From rows to the numbers of samples: what is missing is filled, numbers are scaled, categories become
//! an input each, classes become labels. All of it follows from the part to train on.

use std::collections::HashMap;

use gradus_tensor::{Error, ErrorKind, Result};

use super::rows::{Categories, MISSING, MOST_CELLS, Rows, Values};
use super::schema::Missing;
use super::{Table, TableOptions, Targets};
use crate::Array;

/// How rows become numbers.
pub(super) struct Encoding {
    /// For each input column.
    inputs: Vec<InputEncoding>,
    classes: Vec<String>,
}

enum InputEncoding {
    /// What stands for a missing number; the mean and the deviation that the column is scaled by.
    Number { fill: f64, mean: f64, std: f64 },
    /// The names, in the order of the inputs, and whether one more input says that it is missing.
    Category { names: Vec<String>, missing: bool },
}

impl Encoding {
    pub(super) fn of(train: &Rows, known: [Option<&Rows>; 2], options: &TableOptions) -> Encoding {
        let known = known.into_iter().flatten();
        let inputs = train.inputs().enumerate().map(|(at, column)| match &column.values {
            Values::Numbers(numbers) => {
                number_encoding(numbers, column.schema.missing, options.standardize)
            }
            Values::Categories(_) => InputEncoding::Category {
                names: Categories::sorted(known.clone().filter_map(|rows| {
                    rows.inputs().nth(at).and_then(|column| column.values.categories())
                })),
                missing: column.schema.missing == Missing::Category,
            },
        });
        let inputs = inputs.collect();
        let targets = known.filter_map(|rows| rows.target().values.categories());
        Encoding { inputs, classes: Categories::sorted(targets) }
    }

    /// The rows as samples.
    pub(super) fn encode(self, name: String, rows: &Rows) -> Result<Table> {
        let mut columns = Vec::new();
        for (column, encoding) in rows.inputs().zip(&self.inputs) {
            let of = &column.schema.name;
            match encoding {
                InputEncoding::Number { .. } => columns.push(of.clone()),
                InputEncoding::Category { names, missing } => {
                    columns.extend(names.iter().map(|name| format!("{of}={name}")));
                    columns.extend(missing.then(|| format!("{of}=")));
                }
            }
        }
        let (width, count) = (columns.len(), rows.len());
        if width.saturating_mul(count) > MOST_CELLS {
            let widest = self.inputs.iter().zip(rows.inputs()).max_by_key(|(i, _)| i.width());
            let widest = widest.map_or("", |(_, column)| &column.schema.name);
            let message = format!(
                "{}: {count} rows of {width} inputs do not fit into memory; the column {widest:?} has \
                 the most categories: list it under `ignore`",
                rows.path().display()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let mut inputs = vec![0.0f32; count * width];
        let mut start = 0;
        for (column, encoding) in rows.inputs().zip(&self.inputs) {
            let cells = inputs.chunks_exact_mut(width).map(|row| &mut row[start..]);
            match (&column.values, encoding) {
                (Values::Numbers(numbers), InputEncoding::Number { fill, mean, std }) => {
                    for (cell, &x) in cells.zip(numbers) {
                        cell[0] = ((if x.is_nan() { *fill } else { x } - mean) / std) as f32;
                    }
                }
                (Values::Categories(categories), InputEncoding::Category { names, .. }) => {
                    let places = places(categories, names);
                    for (row, (cell, &code)) in cells.zip(&categories.codes).enumerate() {
                        let at = match code {
                            MISSING => names.len(),
                            code => places[code as usize].ok_or_else(|| {
                                unknown(rows, row, &column.schema.name, categories, code)
                            })?,
                        };
                        cell[at] = 1.0;
                    }
                }
                _ => unreachable!("both parts have one schema"),
            }
            start += encoding.width();
        }
        let target = rows.target();
        let targets = match &target.values {
            Values::Numbers(numbers) => {
                let numbers = numbers.iter().map(|&x| x as f32).collect();
                Targets::Numbers(Array::new([count, 1], numbers)?)
            }
            Values::Categories(categories) => {
                let places = places(categories, &self.classes);
                let label = |(row, &code): (usize, &u32)| {
                    let label = places[code as usize].map(|label| label as i64);
                    let name = &target.schema.name;
                    label.ok_or_else(|| unknown(rows, row, name, categories, code))
                };
                let labels = categories.codes.iter().enumerate().map(label);
                Targets::Classes(Array::new([count], labels.collect::<Result<_>>()?)?)
            }
        };
        let inputs = Array::new([count, width], inputs)?;
        let (place, numbers) = rows.places();
        Ok(Table { name, columns, inputs, targets, classes: self.classes, place, numbers })
    }
}

impl InputEncoding {
    /// How many inputs there are of it.
    fn width(&self) -> usize {
        match self {
            InputEncoding::Number { .. } => 1,
            InputEncoding::Category { names, missing } => names.len() + usize::from(*missing),
        }
    }
}

/// Of a column's numbers to train on. One that never changes is only shifted.
fn number_encoding(numbers: &[f64], missing: Missing, standardize: bool) -> InputEncoding {
    let mut present: Vec<f64> = numbers.iter().copied().filter(|x| !x.is_nan()).collect();
    let mean = |of: &[f64]| of.iter().sum::<f64>() / of.len().max(1) as f64;
    let fill = match missing {
        Missing::Fill(number) => number,
        Missing::Mean => mean(&present),
        Missing::Median => {
            present.sort_unstable_by(f64::total_cmp);
            let middle = present.len() / 2;
            match present.len() {
                0 => 0.0,
                odd if odd % 2 == 1 => present[middle],
                _ => (present[middle - 1] + present[middle]) / 2.0,
            }
        }
        // Then none is missing.
        Missing::Refuse | Missing::DropRow | Missing::Category => 0.0,
    };
    if !standardize {
        return InputEncoding::Number { fill, mean: 0.0, std: 1.0 };
    }
    let filled: Vec<f64> = numbers.iter().map(|&x| if x.is_nan() { fill } else { x }).collect();
    let mean = mean(&filled);
    let variance = filled.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / filled.len() as f64;
    // Asked of the numbers: their mean is rounded, and even equal ones deviate from it.
    let varies = filled.iter().any(|x| *x != filled[0]) && variance > 0.0;
    InputEncoding::Number { fill, mean, std: if varies { variance.sqrt() } else { 1.0 } }
}

/// The place of each code among `names`.
fn places(categories: &Categories, names: &[String]) -> Vec<Option<usize>> {
    let places: HashMap<&String, usize> =
        names.iter().enumerate().map(|(at, name)| (name, at)).collect();
    categories.names.iter().map(|name| places.get(name).copied()).collect()
}

fn unknown(rows: &Rows, row: usize, column: &str, of: &Categories, code: u32) -> Error {
    let name = &of.names[code as usize];
    let why = format!(
        "is {name:?}, which the rows to train on do not have; leave the row out, or train on some like \
         it"
    );
    rows.cell_error(row, column, &why)
}
