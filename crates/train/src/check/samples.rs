//! Samples that cannot be read.

use gradus_data::Dataset;

use super::{Finding, Subject};

/// So many of each part are named; more would hide what else there is.
const NAMED: usize = 3;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    // What is tested on may lack nothing: its numbers would be those of another set.
    for (part, most) in [(&subject.train, subject.config.skip_errors), (&subject.test, 0)] {
        let (name, bad) = (part.data.samples().name(), part.unreadable.len());
        findings.extend(part.unreadable.iter().take(NAMED).map(|(number, error)| {
            let (place, what) = (format!("{name}: sample {number}"), error.message());
            if bad <= most {
                return Finding::warning(place, what, "it is left out (`skip_errors`)");
            }
            let remedy = format!(
                "repair or remove it ({bad} of the {} looked at cannot be read)",
                part.read
            );
            Finding::of_data(place, what, remedy)
        }));
    }
    findings
}
