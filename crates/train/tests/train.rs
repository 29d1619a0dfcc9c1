//! The training job as a whole, on the built-in digits.

use std::fs;
use std::path::{Path, PathBuf};

use gradus_data::{Dataset, Part, Split};
use gradus_tensor::{Device, ErrorKind, no_grad, plan_stats, set_num_threads};
use gradus_train::config;
use gradus_train::{Config, Data, Progress, RunFolder, evaluate, predict, train};

/// A folder of this test's own that does not exist yet.
fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("train").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

fn short() -> Config {
    with_hidden(32, 2)
}

/// The default configuration with another hidden layer and number of epochs.
fn with_hidden(width: usize, epochs: usize) -> Config {
    let text = config::DEFAULT.replace("256", &width.to_string());
    Config { epochs, ..Config::parse(&text, "test").unwrap() }
}

fn with_lr(lr: f64) -> Config {
    let mut config = short();
    config.set_optimizer_key("lr", config::Value::Float(lr), "test").unwrap();
    config
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
    assert!(test.accuracy().unwrap() > 0.8, "{test}");

    let folder = RunFolder::open(&out).unwrap();
    let mut config = folder.config().unwrap();
    let data = config.open(Split::Test).unwrap();
    let spec = folder.data().unwrap();
    assert_eq!(&spec, data.spec());
    let model = folder.load_model(&mut config, &spec).unwrap();
    let criterion = config.criterion(&spec).unwrap();
    assert_eq!(evaluate(&model, &*criterion, &data, 0, config.device).unwrap(), test);

    // The resolved configuration is that of the run, and resolving it again changes nothing.
    assert_eq!(config, folder.config().unwrap());
    let text = fs::read_to_string(out.join("config.toml")).unwrap();
    assert!(text.contains("in_features = 64, out_features = 32"), "{text}");

    // The logits are those of the images, in order.
    let (inputs, logits) = predict(&model, &data, 2, config.device).unwrap();
    assert_eq!(inputs.shape()[..], [360, 1, 8, 8]);
    let predicted = no_grad(|| logits.argmax(1)).to_vec::<i64>().unwrap();
    let hits = (0..360).filter(|&i| predicted[i] == label(&data, i)).count();
    assert_eq!(hits as f64 / 360.0, test.accuracy().unwrap());

    // Before its end, a run has no model, and a path to check is not what is wrong.
    for file in ["receipt.json", "model.safetensors"] {
        fs::remove_file(out.join(file)).unwrap();
    }
    let error = folder.load_model(&mut config, &spec).err().unwrap();
    assert!(error.message().contains("its run is not finished; gradus train --resume"), "{error}");
}

fn label(data: &Data, index: usize) -> i64 {
    match data.samples().get(index).unwrap().1 {
        Part::Label(label) => label,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_resolved_configuration_repeats_the_run() {
    let (first, again) = (new_folder("first"), new_folder("repeated"));
    train(&short(), 0, Some(&first), &Progress::new(true)).unwrap();
    let config = Config::read(&first.join("config.toml")).unwrap();
    train(&config, 0, Some(&again), &Progress::new(true)).unwrap();
    for file in ["config.toml", "data.json", "model.safetensors"] {
        let bytes = |folder: &Path| fs::read(folder.join(file)).unwrap();
        assert!(bytes(&first) == bytes(&again), "{file} differs");
    }
}

#[test]
fn the_reference_device_agrees() {
    let accuracy = |device, name| {
        let config = Config { batch_size: 256, device, ..with_hidden(4, 1) };
        let (_, test) = train(&config, 0, Some(&new_folder(name)), &Progress::new(true)).unwrap();
        test
    };
    let (cpu, reference) = (accuracy(Device::Cpu, "cpu"), accuracy(Device::Reference, "reference"));
    assert!((cpu.average_loss() - reference.average_loss()).abs() < 1e-4, "{cpu}\n{reference}");
}

#[test]
fn a_run_that_diverges_says_where() {
    let config = with_lr(1e30);
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
    let mut config = short();
    config.set_data("mnist", "test").unwrap();
    config.set_data_key("path", config::Value::Text("nowhere".into()), "test").unwrap();
    let error = train(&config, 0, Some(&out), &Progress::new(true)).unwrap_err();
    assert!(error.message().contains("nowhere"), "{error}");
    assert!(!out.exists());
}

/// A scheduler that starts a run again before the one before has ended does no harm.
#[cfg(unix)]
#[test]
fn one_process_trains_in_a_folder() {
    let out = new_folder("claimed");
    fs::create_dir_all(&out).unwrap();
    let other = fs::File::open(&out).unwrap();
    other.lock().unwrap();
    let error = train(&short(), 0, Some(&out), &Progress::new(true)).unwrap_err();
    assert!(error.message().contains("another process trains in this folder"), "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
    other.unlock().unwrap();
    train(&short(), 0, Some(&out), &Progress::new(true)).unwrap();
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
fn sizes_are_refused_before_they_are_allocated() {
    let out = new_folder("sizes");
    let (folder, _) = train(&short(), 0, Some(&out), &Progress::new(true)).unwrap();
    let spec = folder.data().unwrap();
    let mut config = with_hidden(2_000_000_000, 1);
    let error = folder.load_model(&mut config, &spec).unwrap_err();
    assert!(error.message().contains("too large; 2³⁰ numbers at most"), "{error}");
    let mut config = with_hidden(33, 1);
    let error = folder.load_model(&mut config, &spec).unwrap_err();
    assert!(error.message().contains("model.safetensors"), "{error}");
}
