//! `gradus predict`.

use std::path::{Path, PathBuf};

use clap::Args;
use gradus::data::datasets::{ImageSize, read_image};
use gradus::data::{Collate, Normalization};
use gradus::nn::{Layer, Module};
use gradus::train::{Input, RunFolder, Task};
use gradus::{Device, Error, ErrorKind, Result, Tensor, no_grad};

use crate::options;
use crate::print;

/// Say what is in images, with the model of a run
///
/// Images are PNG, JPEG, WebP or BMP files of the size that the model was trained on; they become grey or
/// coloured as its images were.
#[derive(Args)]
#[command(after_help = "Examples:
  gradus predict runs/mnist-1 seven.png
  gradus predict runs/pets-1 photos/*.jpg --top 1 --resize")]
pub struct Predict {
    /// The folder of the run
    run: PathBuf,

    /// The images
    #[arg(value_name = "IMAGE", required = true)]
    images: Vec<PathBuf>,

    /// How many classes to name, the most probable first
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = options::count)]
    top: usize,

    /// Scale images to the size that the model was trained on
    #[arg(long)]
    resize: bool,

    /// Where to compute: cpu or reference [default: where the run did]
    #[arg(long, value_name = "NAME", value_parser = options::device)]
    device: Option<Device>,
}

impl Predict {
    pub fn run(self) -> Result<()> {
        let folder = RunFolder::open(&self.run)?;
        let (mut config, spec) = (folder.config()?, folder.data()?);
        let (Input::Image { .. }, Task::Classification { classes }) = (&spec.input, &spec.task)
        else {
            let message = format!(
                "{}: its model does not tell classes of images ({}); predict is for those that do",
                self.run.display(),
                spec.task
            );
            return Err(Error::new(ErrorKind::Usage, message));
        };
        let device = self.device.unwrap_or(config.device);
        let model = folder.load_model(&mut config, &spec)?;
        model.to(device)?;
        // All are read before anything is printed: a wrong one among many shows at once.
        let inputs: Vec<Tensor> =
            self.images.iter().map(|path| self.read(path, &spec.input)).collect::<Result<_>>()?;
        for (at, (path, input)) in self.images.iter().zip(inputs).enumerate() {
            let logits = no_grad(|| model.forward(&input.to(device))).to_vec::<f64>()?;
            let blank = if at == 0 { "" } else { "\n" };
            print(format_args!("{blank}{}", path.display()))?;
            for (class, probability) in ranked(&logits).into_iter().take(self.top) {
                let name = classes.get(class).map_or("?", String::as_str);
                print(format_args!("  {:>7.2}%  {name}", 100.0 * probability))?;
            }
        }
        Ok(())
    }

    /// An image as a batch of one.
    fn read(&self, path: &Path, input: &Input) -> Result<Tensor> {
        let Input::Image { channels, height, width, mean, std } = input else {
            return Err(Error::new(ErrorKind::Usage, "the model's input is no image"));
        };
        let wanted = ImageSize { height: *height, width: *width };
        let image = read_image(path, *channels, self.resize.then_some(wanted))?;
        let shape = image.pixels().shape();
        let size = ImageSize { height: shape[1], width: shape[2] };
        if size != wanted {
            let message = format!(
                "{}: the image is {size}, but the model was trained on {wanted} (height × width); \
                 give an image of that size, or --resize to scale it",
                path.display()
            );
            return Err(Error::new(ErrorKind::Data, message));
        }
        let normalization = match mean.is_empty() {
            true => None,
            false => Some(Normalization::new(mean, std)?.into()),
        };
        Collate::collate(vec![image.with_normalization(normalization)], &[0])
    }
}

/// Classes and their probabilities, the softmax of logits, the most probable first.
fn ranked(logits: &[f64]) -> Vec<(usize, f64)> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - highest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut ranked: Vec<(usize, f64)> =
        weights.into_iter().map(|weight| weight / total).enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranked
}
