//! `gradus data`.

mod download;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use gradus::data::datasets::{ImageFolder, ImageFolderOptions};
use gradus::data::{
    Dataset, Image, Part, Parts, Split, Survey, Surveyed, contact_sheet, findings, write_png,
};
use gradus::train::config::Value;
use gradus::train::{Samples, Task};
use gradus::{Error, ErrorKind, Result};

use crate::{options, print};

/// Look at data before they are trained on
#[derive(Args)]
pub struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Download(download::Download),
    Lint(Lint),
    Show(Show),
    Stats(Stats),
}

/// Find what is wrong with data: unreadable, repeated, mislabelled or leaked samples
///
/// Exits with 1 if training on the data makes no sense or its result would mean nothing.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus data lint photos
  gradus data lint configs/mnist_cnn.toml --data-dir ~/mnist")]
struct Lint {
    #[command(flatten)]
    source: Source,
}

/// Make a picture of some samples with their labels, as training sees them
#[derive(Args)]
#[command(after_help = "Examples:
  gradus data show my.toml --out sheet.png
  gradus data show my.toml --epoch 3 --part test --count 100")]
struct Show {
    #[command(flatten)]
    source: Source,

    /// Where to write the picture
    #[arg(long, value_name = "FILE", default_value = "sheet.png")]
    out: PathBuf,

    /// How many samples
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = options::count)]
    count: usize,

    /// How many beside each other
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = options::count)]
    columns: usize,

    /// Which part: train or test
    #[arg(long, value_name = "NAME", default_value = "train", value_parser = part)]
    part: Split,

    /// As this epoch sees them: random transforms differ from epoch to epoch
    #[arg(long, value_name = "N", default_value_t = 0)]
    epoch: u64,
}

/// Count samples and classes, and print mean and deviation to paste into the configuration
#[derive(Args)]
#[command(after_help = "Examples:
  gradus data stats photos
  gradus data stats my.toml")]
struct Stats {
    #[command(flatten)]
    source: Source,
}

#[derive(Args)]
struct Source {
    /// A folder of images, one folder for each class, or a configuration file
    #[arg(value_name = "DIR|CONFIG")]
    of: PathBuf,

    /// The folder (or file) that holds the dataset, for a configuration
    #[arg(long, value_name = "PATH")]
    data_dir: Option<PathBuf>,

    /// Threads to look with [default: as many as the machine runs at once]
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

fn part(name: &str) -> Result<Split, String> {
    match name {
        "train" => Ok(Split::Train),
        "test" => Ok(Split::Test),
        _ => Err("give train or test".to_owned()),
    }
}

impl Data {
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Download(download) => download.run(),
            Command::Lint(lint) => lint.run(),
            Command::Show(show) => show.run(),
            Command::Stats(stats) => stats.run(),
        }
    }
}

impl Source {
    /// A part as it is, or as training sees it, and the names of its classes.
    fn open(&self, split: Split, transformed: bool) -> Result<(Samples, Vec<String>)> {
        if self.of.is_dir() {
            let options = ImageFolderOptions { any_size: true, ..ImageFolderOptions::default() };
            let folder = ImageFolder::open(&self.of, split, options).map_err(|e| {
                let message = format!(
                    "{} (for data other than a folder of images, give a configuration file)",
                    e.message()
                );
                Error::new(e.kind(), message)
            })?;
            let classes = folder.classes().to_vec();
            return Ok((std::sync::Arc::new(Parts(folder)), classes));
        }
        if self.of.extension().is_some_and(|ending| ending != "toml") {
            let message = format!(
                "{} is neither a folder nor a configuration file; for such data, write a \
                 configuration with their `type` and `path` in [data], and give it",
                self.of.display()
            );
            return Err(Error::new(ErrorKind::Usage, message));
        }
        let mut config = options::config(Some(&self.of), self.data_dir.as_deref())?;
        config.check()?;
        if !transformed {
            config.transforms.clear();
            config.test_transforms = None;
            // One unreadable image must not keep the others from being looked at.
            for (key, value) in [("in_memory", false), ("any_size", true)] {
                // Only some datasets have these keys.
                let _ = config.set_data_key(key, Value::Bool(value), "gradus data");
            }
        }
        let data = config.open(split)?;
        let classes = match &data.spec().task {
            Task::Classification { classes } => classes.clone(),
            _ => Vec::new(),
        };
        Ok((data.samples().clone(), classes))
    }

    fn threads(&self) -> usize {
        self.threads.map_or_else(gradus::num_threads, usize::from)
    }
}

impl Lint {
    fn run(self) -> Result<()> {
        let (train, classes) = self.source.open(Split::Train, false)?;
        let (test, _) = self.source.open(Split::Test, false)?;
        let surveys = [&train, &test].map(|part| Survey::new(part, self.source.threads()));
        let parts = [(&train, &surveys[0]), (&test, &surveys[1])]
            .map(|(dataset, survey)| Surveyed { survey, dataset });
        let found = findings(&parts, &classes);
        found.iter().try_for_each(print)?;
        let serious = found.iter().filter(|finding| finding.serious).count();
        print_normalization(&surveys[0])?;
        if serious > 0 {
            let findings = if serious == 1 { "finding is" } else { "findings are" };
            let message = format!("{serious} {findings} serious; see above");
            return Err(Error::new(ErrorKind::Data, message));
        }
        let warnings = match found.len() {
            1 => "1 warning".to_owned(),
            count => format!("{count} warnings"),
        };
        print(format_args!(
            "{} + {} samples looked at, {warnings}",
            surveys[0].samples, surveys[1].samples
        ))
    }
}

impl Stats {
    fn run(self) -> Result<()> {
        for split in [Split::Train, Split::Test] {
            let (part, classes) = self.source.open(split, false)?;
            let survey = Survey::new(&part, self.source.threads());
            print(format_args!("{}: {} samples", part.name(), survey.samples))?;
            if !survey.unreadable.is_empty() {
                print(format_args!("  {:>9} cannot be read", survey.unreadable.len()))?;
            }
            for (shape, count) in &survey.shapes {
                print(format_args!("  {count:>9} of shape {shape:?}"))?;
            }
            for (label, count) in &survey.labels {
                let name = usize::try_from(*label).ok().and_then(|label| classes.get(label));
                let name = name.map_or("no class", String::as_str);
                print(format_args!("  {count:>9} of class {label}, {name}"))?;
            }
            if split == Split::Train {
                print_normalization(&survey)?;
            }
        }
        Ok(())
    }
}

/// Keys to paste into a configuration; nothing for data that are no images.
fn print_normalization(survey: &Survey) -> Result<()> {
    if survey.channels.is_empty() {
        return Ok(());
    }
    let list = |of: fn(&(f64, f64)) -> f64| {
        let numbers: Vec<String> =
            survey.channels.iter().map(|channel| format!("{:.4}", of(channel))).collect();
        numbers.join(", ")
    };
    print(format_args!("mean = [{}]\nstd = [{}]", list(|c| c.0), list(|c| c.1)))
}

impl Show {
    fn run(self) -> Result<()> {
        let (samples, classes) = self.source.open(self.part, true)?;
        let count = self.count.min(samples.len());
        // Evenly from the whole part: neighbours are often of one class.
        let chosen = (0..count).map(|at| at * samples.len() / count.max(1));
        let labelled = |index: usize| -> Result<(Image, String)> {
            let name = samples.describe(index);
            // Most readers of files have named theirs.
            let named = |e: Error| if e.message().contains(&name) { e } else { e.context(&name) };
            let (input, target) = samples.visit(index, self.epoch).map_err(named)?;
            let Part::Image(image) = input else {
                let message = format!(
                    "{}: the samples are no images, which alone are shown; `gradus data stats` counts \
                     them",
                    samples.name()
                );
                return Err(Error::new(ErrorKind::Usage, message));
            };
            let label = match target {
                Part::Label(label) => usize::try_from(label)
                    .ok()
                    .and_then(|label| classes.get(label).cloned())
                    .unwrap_or_else(|| label.to_string()),
                _ => String::new(),
            };
            Ok((image, label))
        };
        let images: Vec<(Image, String)> = chosen.map(labelled).collect::<Result<_>>()?;
        write_png(Path::new(&self.out), &contact_sheet(&images, self.columns)?)?;
        print(format_args!("{count} of {} in {}", samples.name(), self.out.display()))
    }
}
