//! Samples that cannot be read.

use gradus_data::Dataset;

use super::{Finding, Subject};

/// So many of each part are named; more would hide what else there is.
const NAMED: usize = 3;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in [&subject.train, &subject.test] {
        let (name, bad) = (part.data.samples().name(), part.unreadable.len());
        findings.extend(part.unreadable.iter().take(NAMED).map(|(number, error)| {
            Finding::of_data(
                format!("{name}: sample {number}"),
                error.message(),
                format!(
                    "repair or remove it ({bad} of the {} looked at cannot be read)",
                    part.read
                ),
            )
        }));
    }
    findings
}
