//! Tensors as text, to the letter as PyTorch prints them.
//!
//! The shown elements share one notation and one width. Floats print as `1.` if all are integers,
//! else with four decimals, and in scientific notation if they lie far apart or far from 1. Above
//! 1000 elements only the three at either end of each axis are shown. Lines wrap at 80 characters.
//! One difference: dtypes carry no `torch.`.

use gradus_ir::{DType, Values};

/// What PyTorch prints for a tensor of these elements, given row-major.
///
/// A dtype other than float32, int64 and bool is named; so is the shape of a tensor without
/// elements.
pub fn format(shape: &[usize], dtype: DType, values: &Values, requires_grad: bool) -> String {
    let mut text = String::from(PREFIX);
    let mut suffixes = Vec::new();
    let mut default_dtypes = &[DType::F32, DType::I64, DType::Bool][..];
    if shape.contains(&0) {
        text.push_str("[]");
        if shape.len() != 1 {
            let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
            suffixes.push(format!("size=({})", sizes.join(", ")));
        }
        // Without elements, nothing shows that they would be integers.
        default_dtypes = &default_dtypes[..1];
    } else {
        let axes = shown_axes(shape);
        let notation = Notation::new(dtype, values, &shown_elements(shape, &axes));
        let printer = Printer { shape, axes, values, notation };
        printer.write(&mut text, 0, 0, PREFIX.len());
    }
    if !default_dtypes.contains(&dtype) {
        suffixes.push(format!("dtype={dtype}"));
    }
    if requires_grad {
        suffixes.push("requires_grad=True".into());
    }

    // PyTorch counts two characters too many, and so wraps a little early.
    let mut width = text.len() - text.rfind('\n').map_or(0, |at| at + 1) + 2;
    for suffix in suffixes {
        if width + suffix.len() + 2 > LINE_WIDTH {
            text.push_str(",\n");
            text.push_str(&" ".repeat(PREFIX.len()));
            width = PREFIX.len() + suffix.len();
        } else {
            text.push_str(", ");
            width += suffix.len() + 2;
        }
        text.push_str(&suffix);
    }
    text.push(')');
    text
}

const PREFIX: &str = "tensor(";
const LINE_WIDTH: usize = 80;
/// More elements than this are summarised.
const THRESHOLD: usize = 1000;
/// How many are then shown at either end of an axis.
const EDGE: usize = 3;

/// The shown positions along each axis; `None` stands for those left out.
fn shown_axes(shape: &[usize]) -> Vec<Vec<Option<usize>>> {
    let summarize = shape.iter().product::<usize>() > THRESHOLD;
    let shown = |&size: &usize| {
        if summarize && size > 2 * EDGE {
            (0..EDGE).map(Some).chain([None]).chain((size - EDGE..size).map(Some)).collect()
        } else {
            (0..size).map(Some).collect()
        }
    };
    shape.iter().map(shown).collect()
}

/// The positions of the shown elements.
fn shown_elements(shape: &[usize], axes: &[Vec<Option<usize>>]) -> Vec<usize> {
    shape.iter().zip(axes).fold(vec![0], |elements, (size, axis)| {
        elements.iter().flat_map(|at| axis.iter().flatten().map(move |i| at * size + i)).collect()
    })
}

/// How the elements are written.
struct Notation {
    style: Style,
    width: usize,
}

enum Style {
    Bool,
    Int,
    /// `2.`
    Integral,
    /// `2.0000`
    Fixed,
    /// `2.0000e+00`
    Scientific,
}

impl Notation {
    /// The notation that suits these elements of `values`. Zeros, infinities and NaN have no say.
    fn new(dtype: DType, values: &Values, elements: &[usize]) -> Notation {
        let mut telling = elements.to_vec();
        let style = match values {
            Values::Int(_) if dtype == DType::Bool => Style::Bool,
            Values::Int(_) => Style::Int,
            Values::Float(x) => {
                telling.retain(|&i| x[i] != 0.0 && x[i].is_finite());
                let magnitudes = || telling.iter().map(|&i| x[i].abs());
                let (min, max) =
                    (magnitudes().fold(f64::MAX, f64::min), magnitudes().fold(0.0, f64::max));
                if !telling.is_empty() && (max / min > 1000.0 || max > 1e8 || min < 1e-4) {
                    Style::Scientific
                } else if telling.iter().all(|&i| x[i].trunc() == x[i]) {
                    Style::Integral
                } else {
                    Style::Fixed
                }
            }
        };
        let mut notation = Notation { style, width: 1 };
        notation.width =
            telling.iter().map(|&i| notation.write(values, i).len()).max().unwrap_or(1);
        notation
    }

    /// Element `i`, padded to the common width.
    fn write(&self, values: &Values, i: usize) -> String {
        let text = match (values, &self.style) {
            (Values::Int(x), Style::Bool) => String::from(if x[i] != 0 { "True" } else { "False" }),
            (Values::Int(x), _) => x[i].to_string(),
            (Values::Float(x), _) if x[i].is_nan() => String::from("nan"),
            (Values::Float(x), _) if x[i].is_infinite() => x[i].to_string(),
            (Values::Float(x), Style::Integral) => format!("{:.0}.", x[i]),
            (Values::Float(x), Style::Scientific) => scientific(x[i]),
            (Values::Float(x), _) => format!("{:.4}", x[i]),
        };
        format!("{text:>width$}", width = self.width)
    }
}

/// Four decimals and an exponent with a sign and at least two digits.
fn scientific(x: f64) -> String {
    let text = format!("{x:.4e}");
    let (mantissa, exponent) = text.split_once('e').expect("an exponent");
    let (sign, digits) = exponent.strip_prefix('-').map_or(('+', exponent), |digits| ('-', digits));
    format!("{mantissa}e{sign}{digits:0>2}")
}

struct Printer<'a> {
    shape: &'a [usize],
    axes: Vec<Vec<Option<usize>>>,
    values: &'a Values,
    notation: Notation,
}

impl Printer<'_> {
    /// Appends the axes from `axis` on, whose first element is at `offset`, at column `indent`.
    fn write(&self, text: &mut String, axis: usize, offset: usize, indent: usize) {
        let Some(shown) = self.axes.get(axis) else {
            text.push_str(&self.notation.write(self.values, offset));
            return;
        };
        let inner = self.shape.len() - axis - 1;
        let newline = format!(",{}{}", "\n".repeat(inner.max(1)), " ".repeat(indent + 1));
        let per_line = match inner {
            0 => (LINE_WIDTH.saturating_sub(indent) / (self.notation.width + 2)).max(1),
            _ => 1,
        };
        text.push('[');
        for (n, position) in shown.iter().enumerate() {
            if n > 0 {
                text.push_str(if n % per_line == 0 { &newline } else { ", " });
            }
            match position {
                Some(i) => {
                    self.write(text, axis + 1, offset * self.shape[axis] + i, indent + 1);
                }
                None => text.push_str(if inner == 0 { " ..." } else { "..." }),
            }
        }
        text.push(']');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `tests/golden/display.py`.
    const GOLDEN: &str = include_str!("../../../tests/golden/display.txt");

    #[test]
    fn prints_what_pytorch_prints() {
        let cases: Vec<&str> = GOLDEN.strip_prefix("# ").unwrap().split("\n# ").collect();
        assert!(cases.len() > 100);
        for case in cases {
            let (header, expected) = case.split_once('\n').unwrap();
            let (what, numbers) = header.split_once('|').unwrap();
            let (name, what) = what.split_once(" [").unwrap();
            let (sizes, flags) = what.split_once(']').unwrap();
            let dtype = DType::ALL.into_iter().find(|d| d.name() == name).unwrap();
            let shape: Vec<usize> =
                sizes.split(", ").filter(|s| !s.is_empty()).map(|s| s.parse().unwrap()).collect();
            let numel = shape.iter().product();
            let numbers = numbers.split_whitespace().cycle().take(numel);
            let values = if dtype.is_float() {
                Values::Float(numbers.map(|s| s.parse().unwrap()).collect())
            } else {
                Values::Int(numbers.map(|s| s.parse().unwrap()).collect())
            };
            let text = format(&shape, dtype, &values, flags.contains("requires_grad"));
            assert_eq!(text, expected.trim_end(), "{header}\n{text}\n");
        }
    }
}
