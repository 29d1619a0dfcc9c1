//! The memory that `check` predicts is what training takes.
//!
//! Memory is the process's, and what a run has taken stays with it, so each configuration trains in a process of
//! its own: this test runs itself again, with the configuration in the environment.

use std::env;
use std::fs;
use std::process::Command;

use gradus_data::{Array, DataLoader, Dataset, Image, Part};
use gradus_tensor::manual_seed;
use gradus_train::{
    Config, Data, DataSpec, Input, Task, check, evaluate, peak_resident_memory, resident_memory,
};

/// Tells the second process which configuration it trains.
const CHOSEN: &str = "GRADUS_TEST_MEMORY";

/// Images of random bytes.
struct Noise {
    shape: [usize; 3],
    len: usize,
}

impl Dataset for Noise {
    type Item = (Part, Part);

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> gradus_tensor::Result<(Part, Part)> {
        let bytes = (0..self.shape.iter().product::<usize>()).map(|i| {
            let mixed = ((i + 7919 * index) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed >> 56) as u8
        });
        let image = Image::new(Array::new(self.shape, bytes.collect())?);
        Ok((image.into(), Part::Label(index as i64 % 10)))
    }
}

fn noise(shape: [usize; 3], len: usize) -> Data {
    let [channels, height, width] = shape;
    let input = Input::Image { channels, height, width, mean: Vec::new(), std: Vec::new() };
    let classes = (0..10).map(|class| class.to_string()).collect();
    Data::new(Noise { shape, len }, DataSpec { input, task: Task::Classification { classes } })
}

/// Configurations of the reference models, and the images that they are for.
const CASES: [(&str, [usize; 3]); 4] = [
    ("mnist_cnn", [1, 28, 28]),
    ("mnist_mlp", [1, 28, 28]),
    ("cifar_cnn", [3, 32, 32]),
    ("cifar_batchnorm", [3, 32, 32]),
];

#[test]
fn training_takes_what_was_predicted() {
    if let Ok(name) = env::var(CHOSEN) {
        let case = CASES.iter().find(|case| case.0 == name).unwrap();
        return train(case.0, case.1);
    }
    if resident_memory().is_none() {
        println!("skipped: this system does not say how much memory a process holds");
        return;
    }
    let mut wrong = Vec::new();
    for (name, _) in CASES {
        let test = "training_takes_what_was_predicted";
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHOSEN, name)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("bytes: ")).expect(&text).1;
        let numbers: Vec<f64> = line.split(" of ").map(|n| n.parse().unwrap()).collect();
        let (predicted, measured) = (numbers[0], numbers[1]);
        println!("{name}: predicted {:.2} MB, measured {:.2} MB", predicted / 1e6, measured / 1e6);
        if !(0.9..=1.1).contains(&(predicted / measured)) {
            wrong.push(format!("{name}: predicted {predicted}, measured {measured}\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Trains for some steps and evaluates, as `train` does, and prints how much memory that took.
fn train(name: &str, shape: [usize; 3]) {
    let path = format!("{}/../../configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let mut config = Config::parse(&fs::read_to_string(path).unwrap(), name).unwrap();
    let (data, test) = (noise(shape, 512), noise(shape, 512));
    let before = resident_memory().unwrap();
    let predicted = check(&config, &data, &test).unwrap().memory.unwrap();

    manual_seed(config.seed);
    let model = config.model(data.spec()).unwrap();
    let criterion = config.criterion(data.spec()).unwrap();
    let mut optimizer = config.optimizer(&model).unwrap();
    let loader = DataLoader::new(data.samples().clone()).batch_size(config.batch_size);
    gradus_nn::Module::train(&model, true);
    for batch in &loader {
        let (inputs, targets) = batch.unwrap();
        let loss = criterion(&gradus_nn::Layer::forward(&model, &inputs), &targets);
        optimizer.zero_grad();
        loss.backward();
        optimizer.step().unwrap();
    }
    evaluate(&model, &*criterion, &test, 0, config.device).unwrap();
    let measured = peak_resident_memory().unwrap() - before;
    println!("{predicted}");
    println!("bytes: {} of {measured}", predicted.total());
}
