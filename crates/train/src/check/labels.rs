//! Labels that are no classes, or are all the same, and classes that there are too many of.

use gradus_data::{Dataset, Part};

use super::{Finding, Subject};
use crate::Task;

/// Among fewer samples, classes may be missing by chance.
const ENOUGH: usize = 32;

/// A few samples to try something out on may have fewer than there are classes.
const MANY: usize = 100;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let task = &subject.train.data.spec().task;
    let classes = match task {
        Task::Classification { classes } => classes.len(),
        Task::Language { vocabulary } => vocabulary.chars().count(),
        Task::Regression { .. } => return findings,
    };
    // Of labels that are numbers, the largest says how many classes there are.
    let samples = subject.train.data.samples();
    if matches!(task, Task::Classification { .. }) && classes > samples.len().max(MANY) {
        findings.push(Finding::warning(
            samples.name(),
            format!("there are {task}, but only {} samples to train on", samples.len()),
            "look for a label that is too large; gradus data lint counts the samples of each class",
        ));
    }
    for part in [&subject.train, &subject.test] {
        let name = part.data.samples().name();
        let labels: Vec<(usize, i64)> = part
            .samples
            .iter()
            .flat_map(|(number, (_, target))| labels(target).iter().map(move |&l| (*number, l)))
            .collect();
        let wrong =
            |&&(_, label): &&(usize, i64)| usize::try_from(label).map_or(true, |l| l >= classes);
        if let Some((number, label)) = labels.iter().find(wrong) {
            findings.push(Finding::of_data(
                format!("{name}: sample {number}"),
                format!(
                    "its label is {label}, but there are {task}: labels are 0 to {}",
                    classes - 1
                ),
                "correct the label, or the number of classes",
            ));
        }
        if let Some(((_, first), rest)) = labels.split_first()
            && rest.len() >= ENOUGH
            && classes > 1
            && rest.iter().all(|(_, label)| label == first)
        {
            findings.push(Finding::warning(
                name,
                format!("all {} labels looked at are {first}, of {task}", labels.len()),
                "check how labels are read",
            ));
        }
    }
    findings
}

fn labels(target: &Part) -> &[i64] {
    match target {
        Part::Label(label) => std::slice::from_ref(label),
        Part::Tokens(tokens) => tokens.data(),
        Part::Image(_) | Part::Floats(_) => &[],
    }
}
