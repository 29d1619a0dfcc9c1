//! A configuration file as it is written: tables, keys and values, each with its line.

use std::ops::Range;

use gradus_tensor::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::value::Value;

/// Where something is written, for error messages: `mnist.toml, line 7`.
#[derive(Clone, Debug)]
pub(super) struct Place(String);

impl Place {
    pub(super) fn new(text: impl Into<String>) -> Place {
        Place(text.into())
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// A mistake made there.
    pub(super) fn error(&self, message: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Usage, format!("{}: {message}", self.0))
    }
}

/// What a key stands for.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Value(Value),
    Table(Vec<Entry>),
    List(Vec<(Place, Node)>),
}

/// A key and what it stands for.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    /// The value, if it is one. A list of tables is none.
    pub(super) fn value(&self) -> Option<Value> {
        match self {
            Node::Value(value) => Some(value.clone()),
            Node::List(list) => {
                list.iter().map(|(_, node)| node.value()).collect::<Option<_>>().map(Value::List)
            }
            Node::Table(_) => None,
        }
    }
}

impl Entry {
    /// What it stands for, with some keys of its table taken out.
    pub(super) fn without<const N: usize>(&self, keys: [&str; N]) -> (Node, [Option<&Entry>; N]) {
        let Node::Table(entries) = &self.node else { return (self.node.clone(), [None; N]) };
        let taken = keys.map(|key| entries.iter().find(|entry| entry.key == key));
        let left = entries.iter().filter(|entry| !keys.contains(&entry.key.as_str()));
        (Node::Table(left.cloned().collect()), taken)
    }
}

/// The entries of the file `name`, in the order in which they are written.
pub(super) fn parse(text: &str, name: &str) -> Result<Vec<Entry>> {
    let file = File { text, name };
    let table = DeTable::parse(text).map_err(|error| {
        let place = file.place(error.span().unwrap_or(0..0));
        place.error(format_args!("no TOML: {}", error.message().replace('\n', "; ")))
    })?;
    file.entries(table.get_ref())
}

struct File<'a> {
    text: &'a str,
    name: &'a str,
}

impl File<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.as_bytes().iter().take(span.start);
        let line = 1 + before.filter(|byte| **byte == b'\n').count();
        Place(format!("{}, line {line}", self.name))
    }

    fn entries(&self, table: &DeTable<'_>) -> Result<Vec<Entry>> {
        let mut keys: Vec<_> = table.iter().collect();
        keys.sort_by_key(|(key, _)| key.span().start);
        keys.into_iter()
            .map(|(key, value)| {
                let place = self.place(key.span());
                Ok(Entry { key: key.get_ref().to_string(), place, node: self.node(value)? })
            })
            .collect()
    }

    fn node(&self, value: &Spanned<DeValue<'_>>) -> Result<Node> {
        let place = self.place(value.span());
        let scalar = match value.get_ref() {
            DeValue::Boolean(b) => Value::Bool(*b),
            DeValue::String(text) => Value::Text(text.to_string()),
            DeValue::Integer(integer) => {
                let parsed = i128::from_str_radix(integer.as_str(), integer.radix());
                Value::Integer(parsed.map_err(|_| place.error("the number is too large"))?)
            }
            DeValue::Float(float) => {
                let parsed = float.as_str().parse();
                Value::Float(parsed.map_err(|_| place.error("no number"))?)
            }
            DeValue::Datetime(_) => {
                return Err(place.error("no key is a date; put text in quotes"));
            }
            DeValue::Array(list) => {
                let nodes = list.iter().map(|v| Ok((self.place(v.span()), self.node(v)?)));
                return Ok(Node::List(nodes.collect::<Result<_>>()?));
            }
            DeValue::Table(table) => return Ok(Node::Table(self.entries(table)?)),
        };
        Ok(Node::Value(scalar))
    }
}
