//! The training job as a whole, on the built-in digits.

use std::fs;
use std::path::{Path, PathBuf};

use gradus_data::{Dataset, LabelledImages, Split};
use gradus_tensor::{Device, ErrorKind, no_grad, plan_stats, set_num_threads};
use gradus_train::{Config, Progress, RunFolder, evaluate, predict, train};

/// A folder of this test's own that does not exist yet.
fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("train").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

fn short() -> Config {
    Config { epochs: 2, hidden: vec![32], ..Config::default() }
}

#[test]
fn the_same_bits_for_any_threads_and_workers() {
    let model = |name: &str, config: &Config, workers| {
        let out = new_folder(name);
        train(config, workers, Some(&out), &Progress::new(true)).unwrap();
        fs::read(out.join("model.safetensors")).unwrap()
    };
    let expected = model("bits", &short(), 0);
    for threads in 1..=4 {
        set_num_threads(threads);
        for workers in 0..=2 {
            let bits = model(&format!("bits-{threads}-{workers}"), &short(), workers);
            assert!(bits == expected, "{threads} threads and {workers} workers: other bits");
        }
    }
    let other = Config { seed: 1, ..short() };
    assert!(model("bits-seed", &other, 0) != expected, "the seed changes nothing");
}

#[test]
fn every_epoch_runs_the_plans_of_the_first() {
    let compiled = |epochs| {
        let before = plan_stats().compiled;
        let config = Config { epochs, batch_size: 48, ..short() };
        train(&config, 0, Some(&new_folder("plans")), &Progress::new(true)).unwrap();
        plan_stats().compiled - before
    };
    assert!(compiled(1) > 0);
    assert_eq!(compiled(4), 0);
}

#[test]
fn a_run_can_be_evaluated_again() {
    let out = new_folder("again");
    let (folder, test) = train(&short(), 1, Some(&out), &Progress::new(true)).unwrap();
    assert_eq!(folder.path(), out);
    assert!(test.accuracy > 0.8, "{test}");

    let folder = RunFolder::open(&out).unwrap();
    let config = folder.config().unwrap();
    assert_eq!(config, short());
    let images = config.open(Split::Test).unwrap();
    let model = folder.load_network(&config.widths(&images)).unwrap();
    assert_eq!(evaluate(&model, images.clone(), 0, config.device).unwrap(), test);

    // The logits are those of the images, in order.
    let (inputs, logits) = predict(&model, images.clone(), 2, config.device).unwrap();
    assert_eq!(inputs.shape()[..], [360, 1, 8, 8]);
    let predicted = no_grad(|| logits.argmax(1)).to_vec::<i64>().unwrap();
    let hits = (0..images.len()).filter(|&i| predicted[i] == label(&images, i)).count();
    assert_eq!(hits as f64 / 360.0, test.accuracy);
}

fn label(images: &LabelledImages, index: usize) -> i64 {
    images.get(index).unwrap().1
}

#[test]
fn the_reference_device_agrees() {
    let accuracy = |device, name| {
        let config = Config { epochs: 1, hidden: vec![4], batch_size: 256, device, ..short() };
        let (_, test) = train(&config, 0, Some(&new_folder(name)), &Progress::new(true)).unwrap();
        test
    };
    let (cpu, reference) = (accuracy(Device::Cpu, "cpu"), accuracy(Device::Reference, "reference"));
    assert!((cpu.average_loss - reference.average_loss).abs() < 1e-4, "{cpu}\n{reference}");
}

#[test]
fn a_run_that_diverges_says_where() {
    let config = Config { lr: 1e30, ..short() };
    let out = new_folder("diverges");
    let error = train(&config, 0, Some(&out), &Progress::new(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Value);
    let message = error.message();
    assert!(message.starts_with("epoch 1, batch 2 of 45: loss is NaN"), "{message}");
    assert!(message.contains("lower learning rate"), "{message}");
    assert!(!out.join("model.safetensors").exists());
}

#[test]
fn without_data_no_folder_is_made() {
    let out = new_folder("no-data");
    let config = Config { dataset: "mnist".into(), data_dir: Some("nowhere".into()), ..short() };
    let error = train(&config, 0, Some(&out), &Progress::new(true)).unwrap_err();
    assert!(error.message().contains("nowhere"), "{error}");
    assert!(!out.exists());
}

#[test]
fn numbered_folders_do_not_collide() {
    let parent = new_folder("numbered");
    let name = |folder: RunFolder| folder.path().file_name().unwrap().to_owned();
    for expected in ["digits-1", "digits-2"] {
        assert_eq!(name(RunFolder::create_numbered(&parent, "digits").unwrap()), expected);
    }
    assert_eq!(name(RunFolder::create_numbered(&parent, "mnist").unwrap()), "mnist-1");
}

#[test]
fn widths_that_do_not_fit_the_model_are_refused_before_they_are_allocated() {
    let out = new_folder("widths");
    let (folder, _) = train(&short(), 0, Some(&out), &Progress::new(true)).unwrap();
    for hidden in [1 << 40, usize::MAX] {
        let error = folder.load_network(&[64, hidden, 10]).unwrap_err();
        assert!(error.message().contains("model.safetensors"), "{error}");
    }
}
