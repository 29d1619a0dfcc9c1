//! What is in a dataset, and what is wrong with it: every sample is looked at once.
//!
//! Sums are of whole numbers, so the figures do not depend on the number of threads.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::{Dataset, Part};

/// How many samples of a kind are named.
const NAMED: usize = 3;

/// What was found in one part of a dataset.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// How many samples there are.
    pub samples: usize,
    /// Samples that cannot be had, by their numbers, and why.
    pub unreadable: Vec<(usize, String)>,
    /// How many samples each label has.
    pub labels: BTreeMap<i64, usize>,
    /// How many inputs have each shape.
    pub shapes: BTreeMap<Vec<usize>, usize>,
    /// Images of one colour.
    pub constant: Vec<usize>,
    /// For images: the mean and the standard deviation of each channel, of values from 0 to 1.
    pub channels: Vec<(f64, f64)>,
    /// What tells equal inputs from others, with their labels.
    prints: Vec<(u64, usize, Option<i64>)>,
}

/// What one thread has seen.
#[derive(Default)]
struct Seen {
    survey: Survey,
    /// Of each channel: pixels, their sum and that of their squares, in bytes.
    moments: Vec<[u128; 3]>,
    white: u8,
}

impl Survey {
    /// Looks at every sample, with so many threads.
    pub fn new(dataset: &dyn Dataset<Item = (Part, Part)>, threads: usize) -> Survey {
        let next = AtomicUsize::new(0);
        let all = Mutex::new(Seen::default());
        thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    let mut seen = Seen::default();
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= dataset.len() {
                            break;
                        }
                        seen.look(dataset, index);
                    }
                    all.lock().expect("no thread panics with it").join(seen);
                });
            }
        });
        let Seen { mut survey, moments, white } =
            all.into_inner().expect("no thread panics with it");
        survey.samples = dataset.len();
        survey.unreadable.sort();
        survey.constant.sort_unstable();
        survey.prints.sort_unstable();
        let white = f64::from(white.max(1));
        survey.channels = moments
            .iter()
            .map(|[n, sum, squares]| {
                let (n, sum, squares) = (*n as f64, *sum as f64, *squares as f64);
                let mean = sum / n;
                (mean / white, (squares / n - mean * mean).max(0.0).sqrt() / white)
            })
            .collect();
        survey
    }

    /// Groups of samples with equal inputs, by their numbers.
    pub fn duplicates(&self) -> Vec<Vec<usize>> {
        self.groups().map(|group| group.iter().map(|(_, index, _)| *index).collect()).collect()
    }

    /// Pairs of a sample of this part and one of another that have equal inputs.
    pub fn shared_with(&self, other: &Survey) -> Vec<(usize, usize)> {
        let known: HashMap<u64, usize> =
            self.prints.iter().rev().map(|(print, index, _)| (*print, *index)).collect();
        let pair = |(print, index, _): &(u64, usize, _)| Some((*known.get(print)?, *index));
        let mut pairs: Vec<(usize, usize)> = other.prints.iter().filter_map(pair).collect();
        pairs.sort_unstable();
        pairs
    }

    /// Whether the inputs are images, which are not equal by chance.
    fn are_images(&self) -> bool {
        !self.channels.is_empty()
    }

    fn groups(&self) -> impl Iterator<Item = &[(u64, usize, Option<i64>)]> {
        self.prints.chunk_by(|a, b| a.0 == b.0).filter(|group| group.len() > 1)
    }
}

impl Seen {
    fn look(&mut self, dataset: &dyn Dataset<Item = (Part, Part)>, index: usize) {
        let sample = catch_unwind(AssertUnwindSafe(|| dataset.get(index)));
        let (input, target) = match sample {
            Ok(Ok(sample)) => sample,
            Ok(Err(error)) => {
                return self.survey.unreadable.push((index, error.message().to_owned()));
            }
            Err(_) => return self.survey.unreadable.push((index, "panicked".to_owned())),
        };
        let label = if let Part::Label(label) = target { Some(label) } else { None };
        if let Some(label) = label {
            *self.survey.labels.entry(label).or_default() += 1;
        }
        let mut hasher = DefaultHasher::new();
        let shape = match &input {
            Part::Image(image) => {
                let (pixels, shape) = (image.pixels().data(), image.pixels().shape().to_vec());
                pixels.hash(&mut hasher);
                let plane = (pixels.len() / shape.first().copied().unwrap_or(1).max(1)).max(1);
                let flat = |plane: &[u8]| plane.iter().all(|pixel| *pixel == plane[0]);
                if pixels.chunks(plane).all(flat) {
                    self.survey.constant.push(index);
                }
                self.white = image.full_scale();
                self.moments.resize(self.moments.len().max(pixels.len() / plane), [0; 3]);
                for (plane, moments) in pixels.chunks(plane).zip(&mut self.moments) {
                    let sum: u64 = plane.iter().map(|&x| u64::from(x)).sum();
                    let squares: u64 = plane.iter().map(|&x| u64::from(x).pow(2)).sum();
                    moments[0] += plane.len() as u128;
                    moments[1] += u128::from(sum);
                    moments[2] += u128::from(squares);
                }
                shape
            }
            Part::Floats(numbers) => {
                numbers.data().iter().for_each(|x| x.to_bits().hash(&mut hasher));
                numbers.shape().to_vec()
            }
            Part::Tokens(tokens) => {
                tokens.data().hash(&mut hasher);
                tokens.shape().to_vec()
            }
            Part::Label(label) => {
                label.hash(&mut hasher);
                Vec::new()
            }
        };
        shape.hash(&mut hasher);
        *self.survey.shapes.entry(shape).or_default() += 1;
        self.survey.prints.push((hasher.finish(), index, label));
    }

    fn join(&mut self, other: Seen) {
        let (ours, theirs) = (&mut self.survey, other.survey);
        ours.unreadable.extend(theirs.unreadable);
        ours.constant.extend(theirs.constant);
        ours.prints.extend(theirs.prints);
        for (label, count) in theirs.labels {
            *ours.labels.entry(label).or_default() += count;
        }
        for (shape, count) in theirs.shapes {
            *ours.shapes.entry(shape).or_default() += count;
        }
        self.white = self.white.max(other.white);
        self.moments.resize(self.moments.len().max(other.moments.len()), [0; 3]);
        for (ours, theirs) in self.moments.iter_mut().zip(other.moments) {
            ours.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }
}

/// Something that a look at the data has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether training on such data makes no sense, or its result would mean nothing.
    pub serious: bool,
    /// What, where, and what to do.
    pub text: String,
}

/// `error: …` or `warning: …`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.serious { "error" } else { "warning" }, self.text)
    }
}

/// One part of a dataset, surveyed.
pub struct Surveyed<'a> {
    /// What was found in it.
    pub survey: &'a Survey,
    /// The part.
    pub dataset: &'a dyn Dataset<Item = (Part, Part)>,
}

impl Surveyed<'_> {
    fn names(&self, indices: impl Iterator<Item = usize>) -> String {
        let names: Vec<String> = indices.take(NAMED).map(|i| self.dataset.describe(i)).collect();
        names.join(", ")
    }
}

/// What is wrong with the parts of a dataset, the first of which is trained on. `classes` are the
/// names of the classes; none if there are no labels.
pub fn findings(parts: &[Surveyed<'_>], classes: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for part in parts {
        of_part(part, classes, &mut |serious, text| {
            let text = format!("{}: {text}", part.dataset.name());
            findings.push(Finding { serious, text });
        });
    }
    if let [train, test] = parts {
        let shared = train.survey.shared_with(test.survey);
        if let Some((a, b)) = shared.first() {
            let remedy = match train.survey.are_images() {
                true => "the result on them says nothing; remove them from one part",
                false => "rows may be equal by chance; otherwise remove them from one part",
            };
            let text = format!(
                "{} of {} in {} are also in {}, such as {} and {}: {remedy}",
                shared.len(),
                test.survey.samples,
                test.dataset.name(),
                train.dataset.name(),
                train.dataset.describe(*a),
                test.dataset.describe(*b)
            );
            findings.push(Finding { serious: train.survey.are_images(), text });
        }
    }
    findings.sort_by_key(|finding| !finding.serious);
    findings
}

/// `1 input has`, `2 inputs have`.
fn counted(count: usize, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn of_part(part: &Surveyed<'_>, classes: &[String], found: &mut dyn FnMut(bool, String)) {
    let survey = part.survey;
    if let Some(((_, why), others)) = survey.unreadable.split_first() {
        let count = survey.unreadable.len();
        let also = match part.names(others.iter().map(|(index, _)| *index)) {
            none if none.is_empty() => none,
            some => format!("; nor can {some}"),
        };
        found(true, format!("{count} of {} cannot be read: {why}{also}", survey.samples));
    }
    let wrong = |label: &&i64| !(0..classes.len() as i64).contains(label);
    if let Some(label) = survey.labels.keys().find(wrong) {
        let count = classes.len();
        found(
            true,
            format!("label {label}, but there are {count} classes, from 0; check the labels"),
        );
    }
    let (mixed, repeated): (Vec<&[_]>, Vec<&[_]>) =
        survey.groups().partition(|group| group.iter().any(|s| s.2 != group[0].2));
    if let Some(group) = mixed.first() {
        let names = part.names(group.iter().map(|sample| sample.1));
        let inputs = counted(mixed.len(), "input has", "inputs have");
        // Rows of a few numbers may well be equal, and what they lead to differ.
        let text = format!("{inputs} several labels, such as {names}; keep the right one");
        found(survey.are_images(), text);
    }
    if let Some(group) = repeated.first() {
        let count: usize = repeated.iter().map(|group| group.len() - 1).sum();
        let names = part.names(group.iter().map(|sample| sample.1));
        let samples = counted(count, "sample repeats", "samples repeat");
        // Numbers to predict are not compared.
        let what =
            if survey.labels.is_empty() { "the inputs of another one" } else { "another one" };
        found(false, format!("{samples} {what} exactly, such as {names}"));
    }
    if !survey.constant.is_empty() {
        let names = part.names(survey.constant.iter().copied());
        let images = counted(survey.constant.len(), "image has", "images have");
        found(false, format!("{images} one colour, such as {names}"));
    }
    if survey.shapes.len() > 1 {
        let usual = survey.shapes.iter().max_by_key(|(_, count)| **count);
        let usual = usual.map_or(&[][..], |(shape, _)| shape);
        let odd: Vec<_> = survey.shapes.iter().filter(|(shape, _)| *shape != usual).collect();
        let count: usize = odd.iter().map(|(_, count)| **count).sum();
        let text = format!(
            "{} another shape than {usual:?}, such as {:?}; set `resize`, or resize and crop in \
             `transforms`",
            counted(count, "input has", "inputs have"),
            odd[0].0
        );
        found(false, text);
    }
    balance(survey, classes, found);
}

fn balance(survey: &Survey, classes: &[String], found: &mut dyn FnMut(bool, String)) {
    let count = |class: usize| survey.labels.get(&(class as i64)).copied().unwrap_or(0);
    let missing: Vec<&str> =
        (0..classes.len()).filter(|&c| count(c) == 0).map(|c| &*classes[c]).collect();
    if !missing.is_empty() {
        let some: Vec<&str> = missing.iter().copied().take(NAMED).collect();
        let classes = counted(missing.len(), "class has", "classes have");
        let text = format!("{classes} no samples, such as {}", some.join(", "));
        found(false, text);
    }
    let present = || (0..classes.len()).filter(|&class| count(class) > 0);
    let (least, most) = (present().min_by_key(|&c| count(c)), present().max_by_key(|&c| count(c)));
    if let (Some(least), Some(most)) = (least, most)
        && count(most) > 10 * count(least)
    {
        let text = format!(
            "classes are unequal: {} samples of {}, but {} of {}; accuracy will hide the rare ones",
            count(most),
            classes[most],
            count(least),
            classes[least]
        );
        found(false, text);
    }
}

#[cfg(test)]
mod tests {
    use gradus_tensor::{Error, ErrorKind, Result};

    use super::*;
    use crate::{Array, Image};

    struct Given(&'static str, Vec<(Vec<u8>, i64)>);

    impl Dataset for Given {
        type Item = (Part, Part);
        fn len(&self) -> usize {
            self.1.len()
        }
        fn get(&self, index: usize) -> Result<(Part, Part)> {
            let (pixels, label) = &self.1[index];
            if pixels.is_empty() {
                return Err(Error::new(ErrorKind::Format, "x.png: half a file"));
            }
            let image = Image::new(Array::new([1, 1, pixels.len()], pixels.clone())?);
            Ok((image.into(), (*label).into()))
        }
        fn name(&self) -> String {
            self.0.to_owned()
        }
    }

    fn all(train: &Given, test: &Given, classes: &[&str]) -> Vec<String> {
        let (a, b) = (Survey::new(train, 2), Survey::new(test, 1));
        let parts =
            [Surveyed { survey: &a, dataset: train }, Surveyed { survey: &b, dataset: test }];
        let classes: Vec<String> = classes.iter().map(|class| class.to_string()).collect();
        findings(&parts, &classes).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn sound_data_give_no_findings() {
        let train = Given("train", vec![(vec![0, 255], 0), (vec![255, 0], 1)]);
        let test = Given("test", vec![(vec![0, 1], 0), (vec![3, 4], 1)]);
        assert_eq!(all(&train, &test, &["a", "b"]), Vec::<String>::new());
        let survey = Survey::new(&train, 3);
        assert_eq!(survey.channels, [(0.5, 0.5)]);
        assert_eq!(survey.shapes, BTreeMap::from([(vec![1, 1, 2], 2)]));
    }

    #[test]
    fn rows_with_a_number_to_predict_repeat_inputs_alone() {
        struct Rows(Vec<[f32; 2]>);

        impl Dataset for Rows {
            type Item = (Part, Part);
            fn len(&self) -> usize {
                self.0.len()
            }
            fn get(&self, index: usize) -> Result<(Part, Part)> {
                let [x, y] = self.0[index].map(|x| Array::new([1], vec![x]));
                Ok((x?.into(), y?.into()))
            }
        }

        let rows = Rows(vec![[1.0, 2.0], [1.0, 3.0], [4.0, 5.0]]);
        let survey = Survey::new(&rows, 1);
        let found = findings(&[Surveyed { survey: &survey, dataset: &rows }], &[]);
        let found: Vec<String> = found.iter().map(Finding::to_string).collect();
        assert_eq!(found.len(), 1, "{found:?}");
        let expected =
            ": 1 sample repeats the inputs of another one exactly, such as sample 0, sample 1";
        assert!(found[0].ends_with(expected), "{found:?}");
    }

    #[test]
    fn each_kind_of_fault_is_found() {
        let mut samples = vec![
            (vec![1, 2], 0),
            (vec![1, 2], 0),
            (vec![3, 4], 0),
            (vec![3, 4], 1),
            (vec![], 0),
            (vec![7, 7], 0),
            (vec![1, 2, 3], 0),
            (vec![9, 8], 5),
        ];
        samples.extend((10..30).map(|i| (vec![i, 0], 0)));
        let train = Given("train", samples);
        let test = Given("test", vec![(vec![12, 0], 0), (vec![0, 99], 1), (vec![0, 98], 2)]);
        let expected = [
            "error: train: 1 of 28 cannot be read: x.png: half a file",
            "error: train: label 5, but there are 3 classes, from 0; check the labels",
            "error: train: 1 input has several labels, such as sample 2, sample 3; keep the right one",
            "error: 1 of 3 in test are also in train, such as sample 10 and sample 0: the result on \
             them says nothing; remove them from one part",
            "warning: train: 1 sample repeats another one exactly, such as sample 0, sample 1",
            "warning: train: 1 image has one colour, such as sample 5",
            "warning: train: 1 input has another shape than [1, 1, 2], such as [1, 1, 3]",
            "warning: train: 1 class has no samples, such as c",
            "warning: train: classes are unequal: 25 samples of a, but 1 of b",
        ];
        let found = all(&train, &test, &["a", "b", "c"]);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{found}\n{expected}");
        }
    }
}
