//! What the columns of a table are to training, and what becomes of their missing values.
//!
//! It is told, never guessed: from a column's content follows nothing but errors.

use std::collections::HashSet;

use gradus_tensor::{Error, ErrorKind, Result};

use super::{TableOptions, Target};

/// What becomes of a value that is missing: an empty cell of a CSV file, a null, or one of
/// [`missing_values`](TableOptions::missing_values).
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Missing {
    /// It is an error that names its place: the default.
    #[default]
    Refuse,
    /// Its row is left out.
    DropRow,
    /// It is the mean of the column's numbers in the part to train on.
    Mean,
    /// It is their median: of an even number of them, the mean of the two in the middle.
    Median,
    /// It is this number.
    Fill(f64),
    /// It is a category of its own.
    Category,
}

impl Missing {
    /// As the option is written.
    fn word(self) -> String {
        match self {
            Missing::Refuse => "\"error\"".to_owned(),
            Missing::DropRow => "\"drop-row\"".to_owned(),
            Missing::Mean => "\"mean\"".to_owned(),
            Missing::Median => "\"median\"".to_owned(),
            Missing::Fill(x) => x.to_string(),
            Missing::Category => "\"category\"".to_owned(),
        }
    }
}

/// What a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Number,
    Category,
    Target(Target),
}

impl Role {
    /// What can be done about a missing value.
    pub(super) fn remedies(self) -> &'static str {
        match self {
            Role::Number => "\"drop-row\", \"mean\", \"median\" or a number",
            Role::Category => "\"drop-row\" or \"category\"",
            Role::Target(_) => "\"drop-row\"",
        }
    }

    /// Whether a rule for missing values makes sense for it.
    pub(super) fn allows(self, missing: Missing) -> bool {
        match missing {
            Missing::Refuse | Missing::DropRow => true,
            Missing::Mean | Missing::Median | Missing::Fill(_) => self == Role::Number,
            Missing::Category => self == Role::Category,
        }
    }
}

/// A column that is used.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ColumnSchema {
    pub(super) name: String,
    /// Its place in the file.
    pub(super) at: usize,
    pub(super) role: Role,
    pub(super) missing: Missing,
}

/// The columns of a file that are used, in their order there.
///
/// # Errors
/// If an option names a column that there is not, or says two things of one.
pub(super) fn schema(names: &[String], options: &TableOptions) -> Result<Vec<ColumnSchema>> {
    let wrong = |message: String| Err(Error::new(ErrorKind::Data, message));
    if names.is_empty() {
        return wrong("the file is empty; it begins with a line of column names".to_owned());
    }
    let mut seen = HashSet::new();
    if let Some(name) = names.iter().find(|name| !seen.insert(*name)) {
        return wrong(format!("two columns are named {name:?}; rename one"));
    }
    let rules = options.missing_in.iter().map(|(name, _)| name);
    let lists = [&options.inputs, &options.categorical, &options.ignore];
    let named = lists.into_iter().flatten().chain(rules);
    for name in [&options.target].into_iter().chain(named) {
        if !names.contains(name) {
            let all = names.join(", ");
            return wrong(format!("there is no column {name:?} in the header: {all}"));
        }
    }
    let target_as_input = options.inputs.iter().chain(&options.categorical).chain(&options.ignore);
    if target_as_input.clone().any(|name| *name == options.target) {
        let name = &options.target;
        return wrong(format!("the target {name:?} cannot be an input, nor be left out"));
    }
    let mut columns = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let (ignored, categorical) =
            (options.ignore.contains(name), options.categorical.contains(name));
        let listed = options.inputs.is_empty() || options.inputs.contains(name);
        let role = match *name == options.target {
            true => Role::Target(options.kind),
            false if ignored && (categorical || options.inputs.contains(name)) => {
                return wrong(format!("the column {name:?} is to be used and to be left out"));
            }
            false if ignored || !(listed || categorical) => continue,
            false if categorical => Role::Category,
            false => Role::Number,
        };
        let rule = options.missing_in.iter().find(|(of, _)| of == name);
        if let Some((_, rule)) = rule
            && !role.allows(*rule)
        {
            return wrong(format!(
                "`missing` is {} for the column {name:?}, which can have {}",
                rule.word(),
                role.remedies()
            ));
        }
        let missing = rule.map_or(options.missing, |(_, rule)| *rule);
        columns.push(ColumnSchema { name: name.clone(), at, role, missing });
    }
    if columns.len() == 1 {
        return wrong("there is no column but the target; add inputs".to_owned());
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(change: impl Fn(&mut TableOptions)) -> Result<Vec<(String, Role, Missing)>> {
        let names = ["id", "age", "city", "y"].map(str::to_owned);
        let mut options = TableOptions::new("y", Target::Class);
        change(&mut options);
        let columns = schema(&names, &options)?;
        Ok(columns.into_iter().map(|c| (c.name, c.role, c.missing)).collect())
    }

    #[test]
    fn columns_are_what_they_are_told_to_be() {
        let found = of(|o| {
            o.categorical = vec!["city".into()];
            o.ignore = vec!["id".into()];
            o.missing = Missing::DropRow;
            o.missing_in = vec![("age".into(), Missing::Fill(0.0))];
        });
        let expected = [
            ("age".to_owned(), Role::Number, Missing::Fill(0.0)),
            ("city".to_owned(), Role::Category, Missing::DropRow),
            ("y".to_owned(), Role::Target(Target::Class), Missing::DropRow),
        ];
        assert_eq!(found.unwrap(), expected);
        let names: Vec<String> =
            of(|o| o.inputs = vec!["age".into()]).unwrap().into_iter().map(|c| c.0).collect();
        assert_eq!(names, ["age", "y"]);
    }

    #[test]
    fn contradictions_are_named() {
        type Change = fn(&mut TableOptions);
        let cases: [(Change, &str); 6] = [
            (|o| o.ignore = vec!["town".into()], "there is no column \"town\" in the header: id,"),
            (|o| o.target = "z".into(), "there is no column \"z\""),
            (|o| o.categorical = vec!["y".into()], "the target \"y\" cannot be an input"),
            (
                |o| (o.inputs, o.ignore) = (vec!["age".into()], vec!["age".into()]),
                "\"age\" is to be used and to be left out",
            ),
            (
                |o| o.missing_in = vec![("age".into(), Missing::Category)],
                "`missing` is \"category\" for the column \"age\", which can have \"drop-row\", \"mean\"",
            ),
            (|o| o.missing_in = vec![("y".into(), Missing::Fill(1.0))], "`missing` is 1 for"),
        ];
        for (change, expected) in cases {
            let error = of(change).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}\n{expected}");
        }
    }
}
