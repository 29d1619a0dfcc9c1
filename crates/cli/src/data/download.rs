//! `gradus data download`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use gradus::Result;
use gradus::data::{DOWNLOADS, DownloadProgress, Fetched, download};
use indicatif::{ProgressBar, ProgressStyle};

use crate::print;

/// Fetch the official files of a dataset, and check them
///
/// What is there already is checked and kept; what was interrupted goes on.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus data download mnist
  gradus data download cifar10 ~/datasets/cifar10")]
pub struct Download {
    /// The dataset
    #[arg(value_name = "NAME", value_parser = names())]
    name: String,

    /// Where to put the files [default: data/NAME]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,

    /// Another place that has the files under their names, to be asked first
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
}

fn names() -> clap::builder::PossibleValuesParser {
    DOWNLOADS.iter().map(|dataset| dataset.name).collect::<Vec<_>>().into()
}

impl Download {
    pub fn run(self) -> Result<()> {
        let known = DOWNLOADS.iter().find(|dataset| dataset.name == self.name);
        let known = known.expect("only these names are accepted");
        let folder = self.folder.unwrap_or_else(|| PathBuf::from("data").join(&self.name));
        let own = self.mirror.map(|url| format!("{}/", url.trim_end_matches('/')));
        let mirrors: Vec<&str> =
            own.iter().map(String::as_str).chain(known.mirrors.iter().copied()).collect();
        let dataset = gradus::data::Download { mirrors: &mirrors, ..known.clone() };
        let bar = Bar::new();
        let outcome = download(&dataset, &folder, |progress| bar.show(progress));
        bar.bar.finish_and_clear();
        for (file, fetched) in known.files.iter().zip(outcome?) {
            let what = match fetched {
                Fetched::New => "fetched and checked",
                Fetched::Present => "was there already, and is right",
            };
            print(format_args!("{}: {what}", folder.join(file.name).display()))?;
        }
        let (name, folder) = (&self.name, folder.display());
        print(format_args!("Use it with: type = \"{name}\", path = \"{folder}\""))
    }
}

/// Shown where the standard error is a terminal; it leaves nothing behind.
struct Bar {
    bar: ProgressBar,
}

impl Bar {
    fn new() -> Bar {
        let bar = ProgressBar::no_length();
        let style = "{msg} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left {wide_bar}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Bar { bar }
    }

    fn show(&self, progress: DownloadProgress<'_>) {
        if self.bar.message() != progress.file {
            self.bar.set_message(progress.file.to_owned());
            self.bar.set_position(progress.done);
            self.bar.reset_eta();
        }
        if let Some(total) = progress.total {
            self.bar.set_length(total);
        }
        self.bar.set_position(progress.done);
    }
}
