//! The values of keys: what a file can hold, and what the program makes of it.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// A value as a file holds it. Printed, it is TOML.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i128),
    /// A number with a point or an exponent.
    Float(f64),
    /// Text in quotes.
    Text(String),
    /// Values in brackets.
    List(Vec<Value>),
}

/// A type that a key's value may have.
///
/// Implement it for a type to let keys of the tables have that type.
pub trait Setting: Sized {
    /// What a value must be, for error messages: "a whole number, 0 or more".
    const WANTED: &'static str;

    /// The value, if it is what it must be.
    fn read(value: &Value) -> Option<Self>;

    /// What a file holds for it; nothing where the key is left out.
    fn write(&self) -> Option<Value>;
}

/// A number above 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Positive(pub f64);

/// A number from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Probability(pub f64);

/// A number, 0 or more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotNegative(pub f64);

/// A whole number, which may be below 0: an axis counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole(pub i32);

/// Padding of a convolution.
pub type Margin = gradus_nn::Padding;

/// No size of a layer or a batch is larger.
const LARGEST: i128 = i32::MAX as i128;

impl Setting for bool {
    const WANTED: &'static str = "true or false";
    fn read(value: &Value) -> Option<bool> {
        if let Value::Bool(b) = value { Some(*b) } else { None }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Bool(*self))
    }
}

impl Setting for usize {
    const WANTED: &'static str = "a whole number, 0 or more, below 2³¹";
    fn read(value: &Value) -> Option<usize> {
        match value {
            Value::Integer(i @ 0..=LARGEST) => usize::try_from(*i).ok(),
            _ => None,
        }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Integer(*self as i128))
    }
}

impl Setting for NonZeroUsize {
    const WANTED: &'static str = "a whole number, 1 or more, below 2³¹";
    fn read(value: &Value) -> Option<NonZeroUsize> {
        NonZeroUsize::new(usize::read(value)?)
    }
    fn write(&self) -> Option<Value> {
        self.get().write()
    }
}

impl Setting for u64 {
    const WANTED: &'static str = "a whole number, 0 or more";
    fn read(value: &Value) -> Option<u64> {
        if let Value::Integer(i) = value { u64::try_from(*i).ok() } else { None }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Integer((*self).into()))
    }
}

impl Setting for f64 {
    const WANTED: &'static str = "a number, such as 0.1 or 1e-3";
    fn read(value: &Value) -> Option<f64> {
        match value {
            Value::Float(x) if x.is_finite() => Some(*x),
            Value::Integer(i) => Some(*i as f64),
            _ => None,
        }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl Setting for Positive {
    const WANTED: &'static str = "a number above 0, such as 0.002 or 2e-3";
    fn read(value: &Value) -> Option<Positive> {
        f64::read(value).filter(|x| *x > 0.0).map(Positive)
    }
    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

impl Setting for NotNegative {
    const WANTED: &'static str = "a number, 0 or more";
    fn read(value: &Value) -> Option<NotNegative> {
        f64::read(value).filter(|x| *x >= 0.0).map(NotNegative)
    }
    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

impl Setting for Probability {
    const WANTED: &'static str = "a number from 0 to 1";
    fn read(value: &Value) -> Option<Probability> {
        f64::read(value).filter(|x| (0.0..=1.0).contains(x)).map(Probability)
    }
    fn write(&self) -> Option<Value> {
        self.0.write()
    }
}

impl Setting for Whole {
    const WANTED: &'static str = "a whole number, which may be below 0";
    fn read(value: &Value) -> Option<Whole> {
        if let Value::Integer(i) = value { i32::try_from(*i).ok().map(Whole) } else { None }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Integer(self.0.into()))
    }
}

impl Setting for Margin {
    const WANTED: &'static str = "a whole number, 0 or more, or two: [height, width]; or \"same\"";
    fn read(value: &Value) -> Option<Margin> {
        match value {
            Value::Text(same) if same == "same" => Some(Margin::Same),
            sizes => <[usize; 2]>::read(sizes).map(Margin::Zeros),
        }
    }
    fn write(&self) -> Option<Value> {
        match self {
            Margin::Same => Some(Value::Text("same".to_owned())),
            Margin::Zeros(sizes) => sizes.write(),
        }
    }
}

impl Setting for String {
    const WANTED: &'static str = "text in quotes";
    fn read(value: &Value) -> Option<String> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.clone()))
    }
}

impl Setting for char {
    const WANTED: &'static str = "one character in quotes";
    fn read(value: &Value) -> Option<char> {
        let text = String::read(value)?;
        let mut characters = text.chars();
        characters.next().filter(|_| characters.next().is_none())
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }
}

/// Texts in brackets, or one without.
impl Setting for Vec<String> {
    const WANTED: &'static str = "texts in brackets, such as [\"a\", \"b\"]";
    fn read(value: &Value) -> Option<Vec<String>> {
        match value {
            Value::List(list) => list.iter().map(String::read).collect(),
            one => Some(vec![String::read(one)?]),
        }
    }
    fn write(&self) -> Option<Value> {
        self.iter().map(String::write).collect::<Option<Vec<Value>>>().map(Value::List)
    }
}

impl Setting for PathBuf {
    const WANTED: &'static str = "a path in quotes";
    fn read(value: &Value) -> Option<PathBuf> {
        String::read(value).map(PathBuf::from)
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.to_string_lossy().into_owned()))
    }
}

/// A value, or none where the key is left out.
impl<T: Setting> Setting for Option<T> {
    const WANTED: &'static str = T::WANTED;
    fn read(value: &Value) -> Option<Option<T>> {
        T::read(value).map(Some)
    }
    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}

/// Height and width: two numbers, or one for both.
impl Setting for [usize; 2] {
    const WANTED: &'static str = "a whole number, 0 or more, or two: [height, width]";
    fn read(value: &Value) -> Option<[usize; 2]> {
        match value {
            Value::List(list) => match &list[..] {
                [a, b] => Some([usize::read(a)?, usize::read(b)?]),
                _ => None,
            },
            one => usize::read(one).map(|n| [n, n]),
        }
    }
    fn write(&self) -> Option<Value> {
        match self {
            [a, b] if a == b => a.write(),
            [a, b] => Some(Value::List(vec![a.write()?, b.write()?])),
        }
    }
}

impl Setting for (f64, f64) {
    const WANTED: &'static str = "two numbers, such as [0.9, 0.999]";
    fn read(value: &Value) -> Option<(f64, f64)> {
        match &Vec::<f64>::read(value)?[..] {
            [a, b] => Some((*a, *b)),
            _ => None,
        }
    }
    fn write(&self) -> Option<Value> {
        vec![self.0, self.1].write()
    }
}

/// Whole numbers in brackets.
impl Setting for Vec<Whole> {
    const WANTED: &'static str = "whole numbers in brackets, such as [30, 60]";
    fn read(value: &Value) -> Option<Vec<Whole>> {
        if let Value::List(list) = value { list.iter().map(Whole::read).collect() } else { None }
    }
    fn write(&self) -> Option<Value> {
        self.iter().map(Whole::write).collect::<Option<Vec<Value>>>().map(Value::List)
    }
}

/// Numbers in brackets.
impl Setting for Vec<f64> {
    const WANTED: &'static str = "numbers in brackets, such as [0.5, 0.5]";
    fn read(value: &Value) -> Option<Vec<f64>> {
        if let Value::List(list) = value { list.iter().map(f64::read).collect() } else { None }
    }
    fn write(&self) -> Option<Value> {
        self.iter().map(f64::write).collect::<Option<Vec<Value>>>().map(Value::List)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Integer(i) => write!(f, "{i}"),
            // Rust's shortest form that reads back as the same number is TOML's.
            Value::Float(x) if x.is_finite() => write!(f, "{x:?}"),
            Value::Float(x) if x.is_nan() => f.write_str("nan"),
            Value::Float(x) => f.write_str(if *x > 0.0 { "inf" } else { "-inf" }),
            Value::Text(text) => {
                f.write_str("\"")?;
                for c in text.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        c if c.is_control() => write!(f, "\\u{:04X}", c as u32)?,
                        c => write!(f, "{c}")?,
                    }
                }
                f.write_str("\"")
            }
            Value::List(list) => {
                f.write_str("[")?;
                for (i, value) in list.iter().enumerate() {
                    write!(f, "{}{value}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::document::{Node, parse};

    /// What is written is read again as the same value.
    #[test]
    fn values_survive_a_file() {
        let values = [
            Value::Bool(true),
            Value::Integer(u64::MAX.into()),
            Value::Integer(-3),
            Value::Float(0.1),
            Value::Float(3.0),
            Value::Float(1e-8),
            Value::Float(1e300),
            Value::Text("C:\\data \"quoted\"\n\u{1}·".to_owned()),
            Value::List(vec![Value::Float(0.5), Value::Integer(2)]),
            Value::List(Vec::new()),
        ];
        for value in values {
            let entries = parse(&format!("key = {value}"), "file").unwrap();
            assert_eq!(entries[0].node.value(), Some(value));
        }
        let entries = parse("key = [1, {a = 1}]", "file").unwrap();
        assert!(matches!(entries[0].node, Node::List(_)) && entries[0].node.value().is_none());
    }

    #[test]
    fn settings_are_what_they_must_be() {
        let float = Value::Float(0.5);
        assert_eq!(f64::read(&Value::Integer(2)), Some(2.0));
        assert_eq!(f64::read(&Value::Float(f64::NAN)), None);
        assert_eq!(usize::read(&Value::Integer(-1)), None);
        assert_eq!(usize::read(&float), None);
        assert_eq!(Probability::read(&float), Some(Probability(0.5)));
        assert_eq!(Probability::read(&Value::Integer(2)), None);
        assert_eq!(Positive::read(&Value::Integer(0)), None);
        assert_eq!(<[usize; 2]>::read(&Value::Integer(3)), Some([3, 3]));
        let pair = Value::List(vec![Value::Integer(3), Value::Integer(5)]);
        assert_eq!(<[usize; 2]>::read(&pair), Some([3, 5]));
        assert_eq!([3, 5].write(), Some(pair));
        assert_eq!([3usize, 3].write(), Some(Value::Integer(3)));
        assert_eq!(char::read(&Value::Text(";".to_owned())), Some(';'));
        assert_eq!(char::read(&Value::Text("a;".to_owned())), None);
        assert_eq!(Vec::<String>::read(&Value::Text("a".to_owned())), Some(vec!["a".to_owned()]));
        assert_eq!(Option::<f64>::read(&float), Some(Some(0.5)));
        assert_eq!(None::<f64>.write(), None);
    }
}
