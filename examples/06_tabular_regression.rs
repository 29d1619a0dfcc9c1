//! Lesson 6: numbers from a table (`tabular_regression`).
//!
//!     cargo run --release --example 06_tabular_regression
//!     cargo run --release --example 06_tabular_regression -- --data FILE.csv --target COLUMN
//!
//! A network predicts a number from the other columns of a CSV file. It is trained for as long as it gets
//! better on rows it has not seen, and the best state is kept. Without `--data`, a table is made up:
//! Friedman's function of five numbers, with noise, and five more numbers that have nothing to do with it
//! (Friedman, "Multivariate adaptive regression splines", 1991).

use std::fmt::Write;
use std::path::PathBuf;
use std::str::FromStr;

use gradus::data::datasets::{Table, TableOptions, Target};
use gradus::data::{DataLoader, Split};
use gradus::prelude::*;

/// How many epochs without progress are too many.
const PATIENCE: usize = 20;

fn main() -> Result<()> {
    let options = Options::from_command_line()?;
    let path = match &options.data {
        Some(path) => PathBuf::from(path),
        None => friedman()?,
    };
    // Each column is shifted and scaled to mean 0 and deviation 1, as measured on the rows to train on; a
    // fifth of the rows is kept for validation.
    let table = TableOptions::new(&options.target, Target::Number);
    let (train, valid) =
        (Table::open(&path, Split::Train, &table)?, Table::open(&path, Split::Test, &table)?);
    let columns = train.columns().len();
    println!("{train:?}\n{valid:?}\n");
    let train = DataLoader::new(train).batch_size(32).shuffle(options.seed);
    let valid = DataLoader::new(valid).batch_size(1000);

    manual_seed(options.seed);
    let model = Sequential::new()
        .add(Linear::new(columns, 64))
        .add(ReLU)
        .add(Dropout::new(0.1))
        .add(Linear::new(64, 64))
        .add(ReLU)
        .add(Linear::new(64, 1));
    // The mean of squared differences. It refuses shapes that would broadcast: [32, 1] against [32] is a
    // mistake that other systems let pass.
    let criterion = MSELoss::default();
    let mut optimizer = Adam::new(model.parameters(), 3e-3);

    let mut best = (f64::INFINITY, 0, model.state_dict());
    for epoch in 1..=options.epochs {
        model.train(true); // Dropout is on.
        for batch in &train {
            let (inputs, targets) = batch?;
            let loss = criterion.forward(&model.forward(&inputs), &targets);
            optimizer.zero_grad();
            loss.backward();
            optimizer.step()?;
        }
        model.eval(); // Dropout is off.
        let error = root_mean_square_error(&model, &valid)?;
        if epoch % 10 == 1 {
            println!("epoch {epoch:>3}: validation error {error:.3}");
        }
        if error < best.0 {
            best = (error, epoch, model.state_dict());
        } else if epoch - best.1 >= PATIENCE {
            println!("epoch {epoch:>3}: no progress for {PATIENCE} epochs, so that is it");
            break;
        }
    }
    let (error, epoch, state) = best;
    model.load_state_dict(&state)?;
    println!("best after epoch {epoch}: validation error {error:.3} (root mean square)");
    Ok(())
}

fn root_mean_square_error(model: &Sequential, loader: &DataLoader<Table>) -> Result<f64> {
    no_grad(|| {
        let (mut sum, mut rows) = (0.0, 0);
        for batch in loader {
            let (inputs, targets) = batch?;
            sum += (model.forward(&inputs) - &targets).square().sum().item::<f64>()?;
            rows += targets.numel();
        }
        Ok((sum / rows as f64).sqrt())
    })
}

/// A table of 2,000 rows: ten numbers between 0 and 1, and `y`, which the first five decide up to noise of
/// deviation 1; no prediction is better than that.
fn friedman() -> Result<PathBuf> {
    manual_seed(7);
    let x = Tensor::rand([2000, 10], DType::F64);
    let column = |i: usize| x.select(1, i);
    let y = (column(0) * column(1) * std::f64::consts::PI).sin() * 10.0
        + (column(2) - 0.5).square() * 20.0
        + column(3) * 10.0
        + column(4) * 5.0
        + Tensor::randn([2000], DType::F64);
    let (x, y) = (x.to_vec::<f64>()?, y.to_vec::<f64>()?);
    let mut text = String::new();
    (1..=10).for_each(|i| text += &format!("x{i},"));
    text += "y\n";
    for (row, y) in x.chunks(10).zip(y) {
        row.iter().for_each(|x| text += &format!("{x:.4},"));
        writeln!(text, "{y:.4}").expect("text takes what is written");
    }
    let path = std::env::temp_dir().join(format!("gradus-friedman-{}.csv", std::process::id()));
    std::fs::write(&path, text)
        .map_err(|e| Error::new(ErrorKind::Io, format!("{}: {e}", path.display())))?;
    Ok(path)
}

/// What can be said on the command line.
struct Options {
    data: Option<String>,
    target: String,
    epochs: usize,
    seed: u64,
}

impl Options {
    fn from_command_line() -> Result<Options> {
        let mut options = Options { data: None, target: "y".into(), epochs: 200, seed: 0 };
        let mut arguments = std::env::args().skip(1);
        while let Some(option) = arguments.next() {
            let value = arguments.next().unwrap_or_default();
            match option.as_str() {
                "--data" => options.data = Some(value),
                "--target" => options.target = value,
                "--epochs" => options.epochs = parse(&option, &value)?,
                "--seed" => options.seed = parse(&option, &value)?,
                _ => return Err(usage(&option, &value)),
            }
        }
        Ok(options)
    }
}

fn parse<T: FromStr>(option: &str, value: &str) -> Result<T> {
    value.parse().map_err(|_| usage(option, value))
}

fn usage(option: &str, value: &str) -> Error {
    let message = format!(
        "cannot make sense of `{option} {value}`; the options are --data FILE, --target COLUMN, \
         --epochs N and --seed N"
    );
    Error::new(ErrorKind::Usage, message)
}
