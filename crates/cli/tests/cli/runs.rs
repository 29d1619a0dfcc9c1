//! Training and evaluating: what is printed, what is left behind, how it ends.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use gradus::io::{load_safetensors, save_safetensors};
use serde_json::Value;

use crate::command::{fails, folder, gradus, succeeds};

fn json(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

/// From the line of the accuracy to the end of the table.
fn table(out: &str) -> &str {
    let start = out.find("test accuracy").unwrap();
    let end = start + out[start..].find("\nmean").unwrap();
    &out[start..end + 1 + out[end + 1..].find('\n').unwrap()]
}

#[test]
fn what_was_trained_can_be_evaluated_again() {
    let dir = folder("round-trip");
    let trained = succeeds(&dir, &["train", "--epochs", "2", "--out", "run"]);
    assert!(trained.contains("\nepoch 1/2  loss "), "{trained}");
    assert!(trained.contains("\nepoch 2/2  loss "), "{trained}");
    assert!(trained.contains("gradus eval run\n"), "{trained}");
    // Where the time went, and what would save some of it.
    let time = trained.lines().find_map(|line| line.strip_prefix("time: ")).unwrap();
    let parts: Vec<&str> = time.split(", ").map(|part| part.split_once("% ").unwrap().1).collect();
    assert_eq!(parts, ["data", "recording", "forward", "backward", "update"], "{time}");
    assert_eq!(table(&trained).lines().count(), 14, "{trained}");

    let evaluated = succeeds(&dir, &["eval", "run", "--logits", "logits.safetensors"]);
    assert_eq!(table(&evaluated), table(&trained));

    let metrics = json(&dir.join("run/metrics.json"));
    assert_eq!(metrics["epochs"].as_array().unwrap().len(), 2);
    let accuracy = metrics["test"]["accuracy"].as_f64().unwrap();
    assert!(accuracy > 0.8 && accuracy <= 1.0, "{metrics}");
    let line = format!("test accuracy {:.2}%, average loss ", 100.0 * accuracy);
    assert!(trained.contains(&line), "{trained}");

    let names: Vec<String> = ["1.weight", "1.bias", "3.weight", "3.bias"].map(String::from).into();
    let mut saved: Vec<String> = load_safetensors(dir.join("run/model.safetensors"))
        .unwrap()
        .into_iter()
        .map(|t| t.0)
        .collect();
    saved.sort_by_key(|name| names.iter().position(|n| n == name));
    assert_eq!(saved, names);
    let mut probe = load_safetensors(dir.join("logits.safetensors")).unwrap();
    probe.sort_by(|a, b| a.0.cmp(&b.0));
    let shapes: Vec<_> = probe.iter().map(|(name, t)| (name.as_str(), t.shape().dims())).collect();
    assert_eq!(shapes, [("inputs", &[360, 1, 8, 8][..]), ("logits", &[360, 10])]);
}

#[test]
fn the_model_follows_from_the_seed() {
    let dir = folder("seed");
    let model = |out: &str, options: &[&str]| {
        let arguments = [&["train", "--epochs", "1", "--out", out], options].concat();
        succeeds(&dir, &arguments);
        fs::read(dir.join(out).join("model.safetensors")).unwrap()
    };
    let expected = model("a", &["--seed", "3", "--threads", "1"]);
    assert!(model("b", &["--seed", "3", "--threads", "4", "--workers", "2"]) == expected);
    assert!(model("c", &["--seed", "4"]) != expected);
}

#[test]
fn quiet_prints_the_folder_alone() {
    let dir = folder("quiet");
    for expected in ["runs/digits-1\n", "runs/digits-2\n"] {
        assert_eq!(succeeds(&dir, &["train", "--quiet", "--epochs", "1"]), expected);
    }
    assert!(dir.join("runs/digits-2/metrics.json").is_file());
}

#[test]
fn usage_that_makes_no_sense_ends_with_2() {
    let dir = folder("usage");
    let cases: &[(&[&str], &str)] = &[
        (&["train", "--lr", "0"], "give a number above 0"),
        (&["train", "--lr", "-1e-3"], "'-1e-3' for '--lr <RATE>'"),
        (&["train", "--lr", "NaN"], "give a number above 0"),
        (&["train", "--lr", "inf"], "give a number above 0"),
        (&["train", "--batch-size", "0"], "'--batch-size <N>': give a whole number, 1 or more"),
        (&["train", "--epochs", "two"], "'--epochs <N>': give a whole number, 1 or more"),
        (&["train", "--threads", "0"], "0 is not in 1..=1024"),
        (&["train", "--workers", "-1"], "'-1'"),
        (&["train", "--seed", "1.5"], "'--seed <N>'"),
        (&["train", "--device", "tpu"], "no device `tpu`; this build has: cpu, reference"),
        (&["train", "--data", "cifar"], "[possible values: digits, mnist, fashion-mnist, kmnist,"),
        (&["train", "--data", "mnist"], "--data-dir"),
        (&["train", "--data-dir", "."], "built in"),
        (&["train", "--epoch", "3"], "'--epochs'"),
        // The standard output of a test is no terminal.
        (&["train", "--tui"], "leave out --tui, or do not redirect the output"),
        (&["train", "--tui", "--quiet"], "'--quiet'"),
        (&["eval"], "<RUN>"),
        (&["evaluate"], "'evaluate'"),
    ];
    for (arguments, expected) in cases {
        let message = fails(&dir, arguments, 2);
        assert!(message.contains(expected), "gradus {arguments:?}: {message}");
    }
    assert_eq!(gradus(&dir, &[]).code, 2);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "a folder was made");
}

#[test]
fn a_folder_with_something_in_it_is_not_used() {
    let dir = folder("occupied");
    fs::write(dir.join("thesis.tex"), "").unwrap();
    let message = fails(&dir, &["train", "--out", "."], 2);
    assert!(message.contains("not empty") && message.contains("give another folder"), "{message}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);

    // Nor is a place where there cannot be a folder.
    let message = fails(&dir, &["train", "--out", "thesis.tex/run"], 1);
    assert!(message.contains("cannot make the folder thesis.tex/run"), "{message}");
}

#[test]
fn a_broken_run_is_named() {
    let dir = folder("broken");
    succeeds(&dir, &["train", "--quiet", "--epochs", "1", "--out", "run"]);
    let (config, model) = (dir.join("run/config.toml"), dir.join("run/model.safetensors"));
    let (good_config, good_model) = (fs::read(&config).unwrap(), fs::read(&model).unwrap());
    let eval = || fails(&dir, &["eval", "run"], 1);

    let message = fails(&dir, &["eval", "nowhere"], 1);
    assert!(message.contains("nowhere") && message.contains("gradus train"), "{message}");

    fs::remove_file(&model).unwrap();
    assert!(eval().contains("run/model.safetensors"), "{}", eval());

    for length in [0, 7, 100, good_model.len() - 1] {
        fs::write(&model, &good_model[..length]).unwrap();
        assert!(eval().contains("run/model.safetensors"), "{length} bytes: {}", eval());
    }

    // The right number of numbers under the right names, but in other shapes.
    fs::write(&model, &good_model).unwrap();
    let tensors = load_safetensors(&model).unwrap();
    let turned: Vec<_> = tensors
        .iter()
        .map(|(name, t)| (name.clone(), if name == "3.weight" { t.t() } else { t.clone() }))
        .collect();
    save_safetensors(&model, &turned, &[]).unwrap();
    let message = eval();
    assert!(message.contains("run/model.safetensors"), "{message}");
    assert!(message.contains("3.weight") && message.contains("[256, 10]"), "{message}");

    save_safetensors(&model, &tensors[1..], &[]).unwrap();
    assert!(eval().contains("run/model.safetensors"), "{}", eval());
    fs::write(&model, &good_model).unwrap();

    let text = String::from_utf8(good_config).unwrap();
    for (old, new) in [
        ("\"digits\"", "\"didgits\""),
        ("256", "99999999999999"),
        ("256", "-1"),
        ("out_features = 256", "out_features = 255"),
        ("\"cpu\"", "\"tpu\""),
        ("seed", "sead"),
        ("]", ""),
    ] {
        let broken = text.replacen(old, new, 1);
        assert_ne!(broken, text, "{old} is not in {text}");
        fs::write(&config, broken).unwrap();
        let message = eval();
        assert!(message.contains("config.toml"), "{message}");
    }
    fs::write(&config, text).unwrap();
    succeeds(&dir, &["eval", "run"]);
}

#[test]
fn a_run_that_fails_ends_with_1() {
    let dir = folder("fails");
    let message = fails(&dir, &["train", "--lr", "1e30", "--out", "run"], 1);
    assert!(
        message.contains("epoch 1, batch 2 of ") && message.contains("learning rate"),
        "{message}"
    );
    assert!(!dir.join("run/model.safetensors").exists());
    let first = "first not finite: forward, the output of layer ";
    assert!(message.contains(first), "{message}");

    // The step can be computed again, and comes to the same.
    let dump = "run/dumps/step-0000000001";
    assert!(message.contains(&format!("gradus replay {dump} computes it again")), "{message}");
    let found = message.lines().find_map(|line| line.trim().strip_prefix("first not finite: "));
    let replayed = gradus(&dir, &["replay", dump]);
    assert_eq!(replayed.code, 1, "{}", replayed.err);
    assert_eq!(replayed.err, format!("error: first not finite: {}\n", found.unwrap()));
    assert!(replayed.out.contains("step 2, epoch 1, batch 2, of gradus "), "{}", replayed.out);
    assert!(
        replayed.out.contains("  the gradient of the parameter `1.weight`"),
        "{}",
        replayed.out
    );
    // The update that was not made would have been wrong too.
    assert!(
        replayed.out.contains("\nupdate ")
            && replayed.out.contains("  the change of the parameter `1.weight`"),
        "{}",
        replayed.out
    );
    let message = fails(&dir, &["replay", "run/dumps/step-0000000002"], 1);
    assert!(message.contains("MANIFEST cannot be read"), "{message}");

    let message = fails(&dir, &["train", "--data", "mnist", "--data-dir", "nowhere"], 1);
    assert!(
        message.contains("nowhere") && message.contains("train-images-idx3-ubyte"),
        "{message}"
    );

    succeeds(&dir, &["train", "--quiet", "--epochs", "1", "--out", "good"]);
    let message = fails(&dir, &["eval", "good", "--logits", "nowhere/logits.safetensors"], 1);
    assert!(message.contains("nowhere/logits.safetensors"), "{message}");
}

/// Whoever trains without the guard gets a run like any other, with logs that say NaN.
#[test]
fn a_run_that_is_not_finite_is_finished_resumed_and_verified() {
    let dir = folder("not-finite");
    let config = "[data]\ntype = \"digits\"\n[model]\nlayers = [\"Flatten\", \
                  { type = \"Linear\", out_features = 16 }, \"ReLU\", \"Linear\"]\n\
                  [optimizer]\ntype = \"SGD\"\nlr = 1e25\n\
                  [train]\nepochs = 2\nguard = false\nvalidation = 0.2\naccumulate = 2\n";
    fs::write(dir.join("config.toml"), config).unwrap();
    let out = succeeds(&dir, &["train", "config.toml", "--epochs", "1", "--out", "run"]);
    assert!(out.contains("loss NaN"), "{out}");
    let out = succeeds(&dir, &["train", "--resume", "run", "--epochs", "2"]);
    assert!(out.contains("going on from step-"), "{out}");
    succeeds(&dir, &["train", "config.toml", "--out", "alone"]);
    succeeds(&dir, &["verify", "run"]);
    let out = succeeds(&dir, &["compare", "run", "alone"]);
    assert!(out.contains("their models are the same, to the bit"), "{out}");
    let log = fs::read_to_string(dir.join("run/log.jsonl")).unwrap();
    assert!(log.contains("\"loss\":\"NaN\"") && !log.contains("\"loss\":null"), "{log}");
}

#[test]
fn a_reader_that_goes_away_does_not_stop_a_run() {
    let dir = folder("pipe");
    let mut child = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["train", "--epochs", "1", "--out", "run"])
        .current_dir(&dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(dir.join("run/model.safetensors").is_file());
}

#[test]
fn help_and_version() {
    let dir = folder("help");
    let version = succeeds(&dir, &["--version"]);
    assert_eq!(version, format!("gradus {}\n", env!("CARGO_PKG_VERSION")));
    let help = succeeds(&dir, &["train", "--help"]);
    let options = [
        "--data",
        "--data-dir",
        "--epochs",
        "--batch-size",
        "--lr",
        "--seed",
        "--threads",
        "--workers",
        "--device",
        "--out",
        "--quiet",
    ];
    for option in options {
        assert!(help.contains(option), "{option} is not in {help}");
    }
    assert!(help.contains("Fashion-MNIST"), "the datasets are not explained in {help}");
    assert!(succeeds(&dir, &["eval", "--help"]).contains("--logits"));
}
