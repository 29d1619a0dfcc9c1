//! `docs/coverage.md`: which functions of PyTorch Gradus has, as the golden cases testify.
//!
//! The table is made from every `tests/golden/*.json` with a list of cases, so that a new golden file appears in it
//! without a change here. A case names its function in the first of [`NAMES`] that it has, or in its ID before the slash.
//! A file may say in its header, under "gradus", what Gradus calls a function whose name differs.
//!
//! `UPDATE_SNAPSHOTS=1 cargo test -p gradus-tensor --test coverage` writes the page anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

/// Where a case may name what it tests, in order.
const NAMES: [&str; 8] =
    ["torch", "op", "function", "layer", "module", "loss", "optimizer", "scheduler"];

/// What the golden files say of one function.
#[derive(Default)]
struct Row {
    gradus: String,
    cases: usize,
    /// Cases that compare gradients.
    gradients: usize,
    /// Cases that must fail.
    errors: usize,
    files: BTreeSet<String>,
}

#[test]
fn the_coverage_page_is_what_the_golden_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = page(&rows(&root.join("tests/golden")));
    let path = root.join("docs/coverage.md");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&path, &page).expect("docs/coverage.md can be written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        found == page,
        "docs/coverage.md is stale; run UPDATE_SNAPSHOTS=1 cargo test -p gradus-tensor --test coverage"
    );
}

#[test]
fn every_file_with_cases_contributes() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let rows = rows(&golden);
    let files: BTreeSet<&str> =
        rows.values().flat_map(|r| r.files.iter().map(String::as_str)).collect();
    for file in ["ops.json", "functions.json", "training.json"] {
        assert!(files.contains(file), "{file} is missing among {files:?}");
    }
    assert!(rows["digamma"].gradients >= 3 && rows["digamma"].cases > rows["digamma"].gradients);
    assert_eq!(rows["linalg.vector_norm"].gradus, "Tensor::norm");
}

fn rows(golden: &Path) -> BTreeMap<String, Row> {
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut names: BTreeMap<String, String> = BTreeMap::new();
    let entries = std::fs::read_dir(golden).expect("tests/golden");
    for path in entries.map(|e| e.expect("an entry of tests/golden").path()) {
        // Metrics are tested against scikit-learn, which is not what the page is about.
        if path.extension().is_none_or(|e| e != "json") || path.ends_with("metrics.json") {
            continue;
        }
        let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("a golden file");
        let json: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{file}: {e}"));
        let Some(cases) = json.get("cases").and_then(Value::as_array) else { continue };
        for case in cases.iter().filter_map(Value::as_object) {
            let name =
                name(case).unwrap_or_else(|| panic!("{file}: a case without a name: {case:?}"));
            let row = rows.entry(name.to_owned()).or_default();
            row.cases += 1;
            row.gradients += usize::from(has_gradients(case));
            row.errors += usize::from(case.get("error") == Some(&Value::Bool(true)));
            row.files.insert(file.clone());
        }
        let given = json.get("gradus").and_then(Value::as_object).into_iter().flatten();
        names.extend(given.filter_map(|(name, g)| Some((name.clone(), g.as_str()?.to_owned()))));
    }
    for (name, row) in &mut rows {
        if let Some(given) = names.get(name) {
            row.gradus.clone_from(given);
            continue;
        }
        let last = name.rsplit('.').next().unwrap_or(name);
        // Types are written large, as in PyTorch.
        let is_type = last.starts_with(|c: char| c.is_ascii_uppercase());
        row.gradus = if is_type { last.to_owned() } else { format!("Tensor::{last}") };
    }
    rows
}

fn name(case: &Map<String, Value>) -> Option<&str> {
    let named = NAMES.iter().find_map(|key| case.get(*key)?.as_str());
    named.or_else(|| {
        ["id", "name"].iter().find_map(|key| case.get(*key)?.as_str()?.split('/').next())
    })
}

fn has_gradients(case: &Map<String, Value>) -> bool {
    match case.get("gradients") {
        Some(Value::Array(list)) => !list.is_empty(),
        Some(Value::Bool(compared)) => *compared,
        _ => false,
    }
}

fn page(rows: &BTreeMap<String, Row>) -> String {
    let cases: usize = rows.values().map(|r| r.cases).sum();
    let mut page = format!(
        "# What is tested against PyTorch\n\n\
         {} functions and types, {cases} golden cases. The numbers come from PyTorch, by the scripts in\n\
         [tests/golden](../tests/golden); every case runs on the processor and in the reference interpreter where its\n\
         reader says so. *Gradients* counts the cases that compare gradients too, *errors* those that must fail.\n\n\
         This page is written by `UPDATE_SNAPSHOTS=1 cargo test -p gradus-tensor --test coverage`.\n\n\
         | PyTorch | Gradus | cases | gradients | errors | golden file |\n\
         |---|---|---:|---:|---:|---|\n",
        rows.len()
    );
    for (name, row) in rows {
        let gradus: Vec<String> = row.gradus.split(", ").map(|g| format!("`{g}`")).collect();
        let files: Vec<&str> = row.files.iter().map(String::as_str).collect();
        let count = |n: usize| if n == 0 { String::new() } else { n.to_string() };
        writeln!(
            page,
            "| `{name}` | {} | {} | {} | {} | {} |",
            gradus.join(", "),
            row.cases,
            count(row.gradients),
            count(row.errors),
            files.join(", ")
        )
        .expect("writing to a string");
    }
    page
}
