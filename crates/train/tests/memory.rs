//! The memory that `check` predicts is what training takes.
//!
//! Memory is the process's, and what a run has taken stays with it, so each configuration trains in a process of
//! its own: this test runs itself again, with the configuration in the environment.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use gradus_data::Split;
use gradus_train::{
    Config, Progress, RunOptions, check, peak_resident_memory, resident_memory, run,
};

/// Tells the second process which configuration it trains.
const CHOSEN: &str = "GRADUS_TEST_MEMORY";

/// Samples to train on, and as many to test.
const SAMPLES: usize = 512;

/// Configurations of the reference models, the images that they are for, and workers.
const CASES: [(&str, [usize; 3], usize); 6] = [
    ("mnist_cnn", [1, 28, 28], 0),
    ("mnist_mlp", [1, 28, 28], 0),
    ("mnist_mlp", [1, 28, 28], 2),
    ("cifar_cnn", [3, 32, 32], 0),
    ("cifar_cnn", [3, 32, 32], 4),
    ("cifar_batchnorm", [3, 32, 32], 0),
];

#[test]
fn training_takes_what_was_predicted() {
    if let Ok(case) = env::var(CHOSEN) {
        return train(CASES[case.parse::<usize>().unwrap()]);
    }
    if resident_memory().is_none() {
        println!("skipped: this system does not say how much memory a process holds");
        return;
    }
    let mut wrong = Vec::new();
    for (case, (name, _, workers)) in CASES.iter().enumerate() {
        let test = "training_takes_what_was_predicted";
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env(CHOSEN, case.to_string())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.split_once("bytes: ")).expect(&text).1;
        let numbers: Vec<f64> = line.split(" of ").map(|n| n.parse().unwrap()).collect();
        let (predicted, measured) = (numbers[0] / 1e6, numbers[1] / 1e6);
        println!(
            "{name}, {workers} workers: predicted {predicted:.2} MB, measured {measured:.2} MB"
        );
        if !(0.9..=1.1).contains(&(predicted / measured)) {
            wrong.push(format!("{name}: predicted {predicted}, measured {measured}\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Trains for an epoch as `gradus train` does, and prints how much memory was predicted and taken.
fn train((name, shape, workers): (&str, [usize; 3], usize)) {
    let dir = env::temp_dir().join(format!("gradus-memory-{name}-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    for part in ["train", "test"] {
        write_noise(&dir, part, shape);
    }
    let path = format!("{}/../../configs/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(path).unwrap();
    let (_, rest) = text.split_once("[model]").unwrap();
    let data = format!("type = \"numpy-images\"\nlayout = \"chw\"\npath = {dir:?}");
    let mut config = Config::parse(&format!("[data]\n{data}\n[model]{rest}"), name).unwrap();
    config.epochs = 1;

    gradus_tensor::give_back_freed(check::GIVEN_BACK);
    let predicted = {
        let (train, test) = (config.open(Split::Train).unwrap(), config.open(Split::Test).unwrap());
        check(&config, &train, &test, workers).unwrap().memory.unwrap()
    };
    let out = Some(dir.join("run"));
    let options = RunOptions { workers, out, ..RunOptions::default() };
    run(&config, &options, &Progress::new(true)).unwrap();
    let measured = peak_resident_memory().unwrap();
    println!("{predicted}");
    println!("bytes: {} of {measured}", predicted.total());
    fs::remove_dir_all(dir).unwrap();
}

/// Images of random bytes and their labels, as NumPy's files.
fn write_noise(dir: &Path, part: &str, shape: [usize; 3]) {
    let [channels, height, width] = shape;
    let noise = |i: usize| ((i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8;
    let pixels: Vec<u8> = (0..SAMPLES * channels * height * width).map(noise).collect();
    let labels: Vec<u8> = (0..SAMPLES).map(|i| i as u8 % 10).collect();
    let save = |name: &str, shape: String, bytes: &[u8]| {
        let header = format!("{{'descr': '|u1', 'fortran_order': False, 'shape': ({shape}), }}\n");
        let file = [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..]].concat();
        let file = [&file, header.as_bytes(), bytes].concat();
        fs::write(dir.join(format!("{name}_{part}.npy")), file).unwrap();
    };
    save("x", format!("{SAMPLES}, {channels}, {height}, {width}"), &pixels);
    save("y", format!("{SAMPLES},"), &labels);
}
