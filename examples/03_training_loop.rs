//! Lesson 3: the training loop, written by hand.
//!
//!     cargo run --release --example 03_training_loop
//!     cargo run --release --example 03_training_loop -- --data DIR --optimizer adam --epochs 3
//!
//! Every training run is this loop: take a batch, compare the network's answer with the truth, and
//! move the parameters a little to where the loss is smaller. Here a network learns to read digits:
//! the small ones that come with Gradus, or MNIST, whose four files `--data` finds in DIR. The
//! small ones are few, so that SGD has only begun after 5 epochs of them: try `--optimizer adam`.

use std::str::FromStr;
use std::time::Instant;

use gradus::data::{DataLoader, Dataset, LabelledImages, Split, datasets};
use gradus::prelude::*;

fn main() -> Result<()> {
    let options = Options::from_command_line()?;

    // 1. Data.
    //
    // A dataset knows its samples by number. The loader puts them into batches: images
    // [64, 1, height, width] between 0 and 1, and their labels [64]. For training it shuffles them,
    // each epoch anew.
    let (train, test) = (options.open(Split::Train)?, options.open(Split::Test)?);
    let (pixels, classes) = (train.image_shape().numel(), train.classes().len());
    println!("{train:?}\n{test:?}\n");
    let train = DataLoader::new(train).batch_size(64).shuffle(options.seed);
    let test = DataLoader::new(test).batch_size(64);

    // 2. A network.
    //
    // Three layers. Each multiplies its input with a matrix of weights and adds a bias; ReLU
    // between them sets what is negative to 0. What comes out are the logits, one number for each
    // class: the greatest is the network's answer. The seed decides the weights it starts from.
    manual_seed(options.seed);
    let model = Sequential::new()
        .add(Flatten::default())
        .add(Linear::new(pixels, 512))
        .add(ReLU)
        .add(Linear::new(512, 512))
        .add(ReLU)
        .add(Linear::new(512, classes));

    // 3. What to make smaller, and how.
    //
    // Cross-entropy is small where the logit of the right class is far above the others. The
    // optimizer knows the parameters, and how to move them once their gradients are known.
    let criterion = CrossEntropyLoss::default();
    let mut optimizer: Box<dyn Optimizer> = match options.optimizer {
        Choice::Sgd => Box::new(SGD::new(model.parameters(), options.lr).momentum(0.9)),
        Choice::Adam => Box::new(Adam::new(model.parameters(), options.lr)),
    };

    for epoch in 1..=options.epochs {
        println!("Epoch {epoch}\n-------------------------------");
        let start = Instant::now();
        train_epoch(&model, &criterion, &mut *optimizer, &train)?;
        println!("{:.1} s", start.elapsed().as_secs_f64());
        test_epoch(&model, &criterion, &test)?;
    }
    Ok(())
}

/// Shows the network every training sample once.
fn train_epoch(
    model: &Sequential,
    criterion: &CrossEntropyLoss,
    optimizer: &mut dyn Optimizer,
    loader: &DataLoader<LabelledImages>,
) -> Result<()> {
    // Some layers behave differently in training. Not these; it is a good habit.
    model.train(true);
    let mut seen = 0;
    let mut loss_sum = Tensor::from_slice(&[0.0f64], []);
    for (number, batch) in loader.into_iter().enumerate() {
        let (images, labels) = batch?;

        // Forward: what does the network say, and how wrong is it?
        let logits = model.forward(&images);
        let loss = criterion.forward(&logits, &labels);

        // Backward: in which direction is it less wrong? Gradients add up, so forget the old ones.
        optimizer.zero_grad();
        loss.backward();
        loss_sum = &loss_sum + loss.detach().cast(DType::F64) * labels.numel() as f64;

        // Up to here nothing has been computed, only recorded. The step runs all of it at once, and
        // moves the parameters.
        optimizer.step()?;

        seen += labels.numel();
        if number % 100 == 0 {
            // The loss has been computed with the step; reading it costs nothing.
            let loss: f32 = loss.item()?;
            println!("loss: {loss:>7.4}  [{seen:>5}/{:>5}]", loader.dataset().len());
        }
    }
    println!("average loss over the epoch: {:.4}", loss_sum.item::<f64>()? / seen as f64);
    Ok(())
}

/// Counts right answers on samples that the network has not been trained on.
fn test_epoch(
    model: &Sequential,
    criterion: &CrossEntropyLoss,
    loader: &DataLoader<LabelledImages>,
) -> Result<()> {
    model.eval();
    let (mut correct, mut loss_sum, mut seen) = (0, 0.0, 0);
    // There will be no `backward`, so nothing needs to be remembered for one.
    no_grad(|| {
        for batch in loader {
            let (images, labels) = batch?;
            let logits = model.forward(&images);
            // Both are recorded before the first is read, so that one plan computes both.
            let loss = criterion.forward(&logits, &labels);
            let hits = logits.argmax(1).eq(&labels).sum();
            correct += hits.item::<i64>()?;
            loss_sum += loss.item::<f64>()? * labels.numel() as f64;
            seen += labels.numel();
        }
        let (accuracy, loss) = (100.0 * correct as f64 / seen as f64, loss_sum / seen as f64);
        println!("test: accuracy {accuracy:.1}%, average loss {loss:.4}\n");
        Ok(())
    })
}

/// What can be said on the command line.
struct Options {
    /// The folder with MNIST's files; without it, the built-in digits.
    data: Option<String>,
    optimizer: Choice,
    lr: f64,
    epochs: usize,
    seed: u64,
}

enum Choice {
    Sgd,
    Adam,
}

impl FromStr for Choice {
    type Err = ();

    fn from_str(name: &str) -> Result<Choice, ()> {
        match name {
            "sgd" => Ok(Choice::Sgd),
            "adam" => Ok(Choice::Adam),
            _ => Err(()),
        }
    }
}

impl Options {
    fn from_command_line() -> Result<Options> {
        let mut options =
            Options { data: None, optimizer: Choice::Sgd, lr: 1e-3, epochs: 5, seed: 0 };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match option.as_str() {
                "--data" => options.data = Some(value),
                "--optimizer" => options.optimizer = parse(&option, &value)?,
                "--lr" => options.lr = parse(&option, &value)?,
                "--epochs" => options.epochs = parse(&option, &value)?,
                "--seed" => options.seed = parse(&option, &value)?,
                _ => return Err(usage(&option, &value)),
            }
        }
        Ok(options)
    }

    fn open(&self, split: Split) -> Result<LabelledImages> {
        match &self.data {
            Some(dir) => datasets::mnist(dir, split),
            None => Ok(datasets::digits(split)),
        }
    }
}

fn parse<T: FromStr>(option: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| usage(option, value))
}

fn usage(option: &str, value: &str) -> Error {
    let message = format!(
        "cannot make sense of `{option} {value}`; the options are --data DIR, \
         --optimizer sgd|adam, --lr RATE, --epochs N and --seed N"
    );
    Error::new(ErrorKind::Usage, message)
}
