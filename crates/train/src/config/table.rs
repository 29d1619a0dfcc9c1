//! Tables of what a configuration may choose by name, and the choices made.
//!
//! A layer, a loss, an optimizer, a schedule, a dataset: each is one row of its table, which says its
//! name, its keys with their types and defaults, and how to make it. Everything else follows from
//! the row: the check of a file, the suggestion for a misspelt key, the resolved configuration, the
//! help.

use std::fmt;

use gradus_tensor::{ErrorKind, Result};

use super::document::{Entry, Node, Place};
use super::value::{Setting, Value};

/// The key that chooses a row.
pub(super) const TYPE: &str = "type";

/// Something that a configuration may choose: made from keys and an input `I`, it is an `O`.
pub struct Row<I, O> {
    /// How the configuration calls it.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// The names of its keys.
    pub keys: &'static [&'static str],
    /// Checks the keys given, and with `true` that none is missing.
    pub(super) check: fn(&Keys, bool) -> Result<()>,
    pub(super) build: fn(&mut Keys, I) -> Result<O>,
}

/// Makes a table of [rows](Row). See [`LAYERS`](super::LAYERS) for one.
///
/// A row is `/// about`, `"name" { key: Type = default, … } => expression;`. A key without a default
/// must be given; a default may use the keys before it and the input; the expression is a
/// `Result`. [`Setting`] lists the types that keys may have.
macro_rules! table {
    (
        $(#[$doc:meta])*
        $visibility:vis const $TABLE:ident: fn($input:ident: $Input:ty) -> $Output:ty;
        $(
            $(#[doc = $about:literal])+
            $name:literal { $($key:ident: $Type:ty $(= $default:expr)?),* $(,)? } => $build:expr;
        )*
    ) => {
        $(#[$doc])*
        $visibility const $TABLE: &[$crate::config::Row<$Input, $Output>] = &[$(
            $crate::config::Row {
                name: $name,
                about: concat!($($about),+).trim_ascii(),
                keys: &[$(stringify!($key)),*],
                check: |_keys, _complete| {
                    $(_keys.check::<$Type>(
                        stringify!($key),
                        _complete && $crate::config::table::table!(@required $($default)?),
                    )?;)*
                    Ok(())
                },
                build: |_keys, $input| {
                    let _ = &$input;
                    $(let $key: $Type = match _keys.get::<$Type>(stringify!($key))? {
                        Some(given) => given,
                        None => {
                            let default: $Type = $crate::config::table::table!(
                                @default _keys, $key: $Type $(, $default)?
                            );
                            _keys.fill(stringify!($key), &default);
                            default
                        }
                    };)*
                    $build
                },
            }
        ),*];
    };
    (@required) => { true };
    (@required $default:expr) => { false };
    (@default $keys:ident, $key:ident: $Type:ty) => {
        Err::<$Type, _>($keys.missing(stringify!($key)))?
    };
    (@default $keys:ident, $key:ident: $Type:ty, $default:expr) => { $default };
}
pub(crate) use table;

/// The keys given to what was chosen, and their values.
#[derive(Clone, Debug)]
pub struct Keys {
    /// What they belong to, and where that is written.
    owner: String,
    place: Place,
    given: Vec<(String, Value, Place)>,
}

impl Keys {
    pub(super) fn new(owner: &str, place: Place) -> Keys {
        Keys { owner: owner.to_owned(), place, given: Vec::new() }
    }

    /// The keys among `entries`, all of which must be known.
    pub(super) fn read(
        owner: &str,
        place: Place,
        known: &[&str],
        entries: &[Entry],
    ) -> Result<Keys> {
        let mut keys = Keys::new(owner, place);
        for Entry { key, place, node } in entries {
            if key == TYPE {
                continue;
            }
            known_among(known, key, &format!("key of {owner}"), place)?;
            let Some(value) = node.value() else {
                return Err(place.error(format_args!("{owner}: `{key}` is a value, not a table")));
            };
            keys.given.push((key.clone(), value, place.clone()));
        }
        Ok(keys)
    }

    /// The value of a key, if it is given.
    pub(super) fn get<T: Setting>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let wrong = || self.error(key, format_args!("is {value}; give {}", T::WANTED));
        T::read(value).map(Some).ok_or_else(wrong)
    }

    /// What is wrong with a key, where it is given.
    pub(super) fn error(&self, key: &str, why: impl fmt::Display) -> gradus_tensor::Error {
        let given = self.given.iter().find(|(name, ..)| name == key);
        let place = given.map_or(&self.place, |(_, _, place)| place);
        place.error(format_args!("{}: `{key}` {why}", self.owner))
    }

    /// Looks whether a key is given, if it must be, and is what it must be.
    pub(super) fn check<T: Setting>(&self, key: &str, required: bool) -> Result<()> {
        match self.get::<T>(key)? {
            None if required => Err(self.missing(key)),
            _ => Ok(()),
        }
    }

    pub(super) fn missing(&self, key: &str) -> gradus_tensor::Error {
        self.error(key, "is missing; give it")
    }

    /// Writes a value that was left to its default.
    pub(super) fn fill<T: Setting>(&mut self, key: &str, default: &T) {
        if let Some(value) = default.write() {
            self.given.push((key.to_owned(), value, self.place.clone()));
        }
    }

    /// Writes a value over what was given.
    pub(super) fn set(&mut self, key: &str, value: Value, place: Place) {
        self.given.retain(|(name, ..)| name != key);
        self.given.push((key.to_owned(), value, place));
    }

    pub(super) fn value(&self, key: &str) -> Option<&Value> {
        self.given.iter().find(|(name, ..)| name == key).map(|(_, value, _)| value)
    }

    /// As an inner part of a TOML table, each on a line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        self.given.iter().map(|(key, value, _)| format!("{key} = {value}"))
    }
}

/// Where keys are written does not count.
impl PartialEq for Keys {
    fn eq(&self, other: &Keys) -> bool {
        let plain = |keys: &Keys| -> Vec<(String, Value)> {
            let mut plain: Vec<_> =
                keys.given.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
            plain.sort_by(|a, b| a.0.cmp(&b.0));
            plain
        };
        plain(self) == plain(other)
    }
}

/// A row chosen from a table, with the keys given to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    name: &'static str,
    pub(super) keys: Keys,
}

impl Choice {
    /// Reads a choice: a table with a `type`, or that alone in quotes.
    pub(super) fn read<I, O>(
        table: &[Row<I, O>],
        what: &str,
        place: &Place,
        node: &Node,
    ) -> Result<Choice> {
        let none: &[Entry] = &[];
        let (name, at, entries) = match node {
            Node::Value(Value::Text(name)) => (name.clone(), place, none),
            Node::Table(entries) => match entries.iter().find(|entry| entry.key == TYPE) {
                Some(Entry { node: Node::Value(Value::Text(name)), place, .. }) => {
                    (name.clone(), place, &entries[..])
                }
                Some(Entry { place, .. }) => {
                    return Err(
                        place.error(format_args!("`{TYPE}` is the name of a {what}, in quotes"))
                    );
                }
                None => {
                    let names: Vec<&str> = table.iter().map(|row| row.name).collect();
                    return Err(place.error(format_args!(
                        "`{TYPE}` is missing: give the name of a {what}, one of {}",
                        names.join(", ")
                    )));
                }
            },
            _ => {
                let message =
                    format!("give a {what} by its name in quotes, or as a table with a `{TYPE}`");
                return Err(place.error(message));
            }
        };
        let row = find(table, &name, what, at)?;
        let keys = Keys::read(row.name, place.clone(), row.keys, entries)?;
        (row.check)(&keys, false)?;
        Ok(Choice { name: row.name, keys })
    }

    /// The row of a name, without keys.
    pub(super) fn plain<I, O>(
        table: &[Row<I, O>],
        name: &str,
        what: &str,
        place: Place,
    ) -> Result<Choice> {
        let row = find(table, name, what, &place)?;
        Ok(Choice { name: row.name, keys: Keys::new(row.name, place) })
    }

    /// Sets a key.
    pub(super) fn set<I, O>(
        &mut self,
        table: &[Row<I, O>],
        key: &str,
        value: Value,
        place: &Place,
    ) -> Result<()> {
        let row = find(table, self.name, "", place)?;
        known_among(row.keys, key, &format!("key of {}", self.name), place)?;
        self.keys.set(key, value, place.clone());
        (row.check)(&self.keys, false)
    }

    /// Looks whether a key is missing.
    pub(super) fn check<I, O>(&self, table: &[Row<I, O>]) -> Result<()> {
        (find(table, self.name, "", self.place())?.check)(&self.keys, true)
    }

    /// Makes what was chosen. Keys that were left to their defaults are given from now on.
    ///
    /// # Errors
    /// Those of the row; mistakes in its keys name the line.
    pub(super) fn build<I, O>(&mut self, table: &[Row<I, O>], input: I) -> Result<O> {
        let place = self.keys.place.clone();
        let row = find(table, self.name, "", &place)?;
        let built = (row.build)(&mut self.keys, input);
        // In the order of the table, wherever they come from.
        let position = |key: &str| row.keys.iter().position(|known| *known == key);
        self.keys.given.sort_by_key(|(key, ..)| position(key));
        built.map_err(|error| match error.kind() {
            ErrorKind::Usage if !error.message().starts_with(&place.to_string()) => {
                place.error(format_args!("{}: {}", self.name, error.message()))
            }
            _ => error,
        })
    }

    /// The name of the row.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it is written, in words: `mnist.toml, line 7`.
    pub(crate) fn line(&self) -> String {
        self.place().to_string()
    }

    /// Where it is written.
    pub(super) fn place(&self) -> &Place {
        &self.keys.place
    }
}

/// A layer as one line of TOML: `"ReLU"`, or `{ type = "Linear", out_features = 10 }`.
impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Value::Text(self.name.to_owned());
        if self.keys.given.is_empty() {
            return write!(f, "{name}");
        }
        write!(f, "{{ {TYPE} = {name}")?;
        self.keys.lines().try_for_each(|line| write!(f, ", {line}"))?;
        f.write_str(" }")
    }
}

fn find<'a, I, O>(
    table: &'a [Row<I, O>],
    name: &str,
    what: &str,
    place: &Place,
) -> Result<&'a Row<I, O>> {
    let names: Vec<&str> = table.iter().map(|row| row.name).collect();
    let at = known_among(&names, name, what, place)?;
    Ok(&table[at])
}

/// The position of a name among those that are known; otherwise an error that suggests the nearest.
pub(super) fn known_among(known: &[&str], name: &str, what: &str, place: &Place) -> Result<usize> {
    if let Some(at) = known.iter().position(|k| *k == name) {
        return Ok(at);
    }
    let likeness = |known: &str| strsim::jaro_winkler(&known.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|k| (likeness(k), *k)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = match nearest {
        Some((likeness, known)) if likeness > 0.75 => format!("; did you mean `{known}`?"),
        _ => String::new(),
    };
    let all = match known {
        [] => " (there are none)".to_owned(),
        // A long list would hide the suggestion.
        known if known.len() > 12 && !hint.is_empty() => String::new(),
        known => format!(" (there are {})", known.join(", ")),
    };
    Err(place.error(format_args!("`{name}` is no {what}{hint}{all}")))
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::config::{DATASETS, LAYERS, LOSSES, METRICS, OPTIMIZERS, SCHEDULES, TRANSFORMS};

    fn rows<I, O>(table: &[Row<I, O>]) -> Vec<(&'static str, &'static str, Vec<&'static str>)> {
        table.iter().map(|row| (row.name, row.about, row.keys.to_vec())).collect()
    }

    #[test]
    fn rows_are_told_apart_and_explained() {
        let tables = [
            rows(DATASETS),
            rows(LAYERS),
            rows(LOSSES),
            rows(OPTIMIZERS),
            rows(SCHEDULES),
            rows(TRANSFORMS),
            rows(METRICS),
        ];
        for table in tables {
            assert!(!table.is_empty());
            let names: HashSet<&str> = table.iter().map(|(name, ..)| *name).collect();
            assert_eq!(names.len(), table.len(), "{names:?}");
            for (name, about, keys) in table {
                assert!(about.len() > 5 && !about.starts_with(' '), "{name}: {about:?}");
                assert!(!keys.contains(&TYPE), "{name}: `{TYPE}` chooses the row");
                let distinct: HashSet<&str> = keys.iter().copied().collect();
                assert_eq!(distinct.len(), keys.len(), "{name}: {keys:?}");
            }
        }
        // `--lr` sets it.
        assert!(OPTIMIZERS.iter().all(|row| row.keys.contains(&"lr")));
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let hint = |name: &str| {
            let known = ["Linear", "Conv2d", "ConvTranspose2d", "ReLU"];
            known_among(&known, name, "layer", &Place::new("x")).unwrap_err().message().to_owned()
        };
        for (misspelt, meant) in [
            ("Conv2D", "Conv2d"),
            ("conv", "Conv2d"),
            ("relu", "ReLU"),
            ("Liner", "Linear"),
            ("ConvTransposed2d", "ConvTranspose2d"),
        ] {
            let expected = format!("x: `{misspelt}` is no layer; did you mean `{meant}`?");
            assert!(hint(misspelt).starts_with(&expected), "{}", hint(misspelt));
        }
        assert!(!hint("Quux").contains("did you mean"), "{}", hint("Quux"));
    }
}
