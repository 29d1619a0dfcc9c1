//! A run that is killed again and again, and resumed each time, ends with the bits of one that was
//! left alone.
//!
//! `GRADUS_KILLS` says how often to kill (50); the first 40% of the kills are made while a
//! checkpoint is being written.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::Value;

use crate::command::{fails, folder, gradus, succeeds};

/// Dropout, shuffling, accumulation over a ragged end, a schedule by step, averages, clipping,
/// validation and the best weights: all that a checkpoint must hold.
const CONFIG: &str = r#"
[data]
type = "digits"

[model]
layers = [
    "Flatten",
    { type = "Linear", out_features = 48 },
    "ReLU",
    { type = "Dropout", p = 0.2 },
    "Linear",
]

[optimizer]
type = "AdamW"
lr = 0.004

[schedule]
type = "OneCycleLR"

[train]
epochs = 3
batch_size = 20
seed = 5
accumulate = 3
clip_norm = 1.0
ema = 0.98
validation = 0.1
validate_steps = 8
restore_best = true
checkpoint_steps = 2
checkpoint_epochs = 1
"#;

/// What a run leaves that does not depend on time: hashes of bytes would not say where they differ.
#[derive(PartialEq)]
struct Left {
    model: Vec<u8>,
    training: Vec<u8>,
    state: Value,
    metrics: Value,
    weights: Value,
}

fn left(run: &Path) -> Left {
    let checkpoints = run.join("checkpoints");
    let newest = fs::read_dir(&checkpoints)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("step-"))
        .max()
        .unwrap();
    let json = |path: &Path| -> Value {
        timeless(serde_json::from_slice(&fs::read(path).unwrap()).unwrap())
    };
    Left {
        model: fs::read(run.join("model.safetensors")).unwrap(),
        training: fs::read(checkpoints.join(&newest).join("training.safetensors")).unwrap(),
        state: json(&checkpoints.join(&newest).join("state.json")),
        metrics: json(&run.join("metrics.json")),
        weights: json(&run.join("receipt.json"))["weights"].clone(),
    }
}

/// Without how long things took.
fn timeless(value: Value) -> Value {
    match value {
        Value::Object(map) => map
            .into_iter()
            .filter(|(key, _)| !(key.contains("seconds") || key == "samples_per_second"))
            .map(|(key, value)| (key, timeless(value)))
            .collect(),
        Value::Array(list) => list.into_iter().map(timeless).collect(),
        other => other,
    }
}

fn start(dir: &Path, run: &str, attempt: usize) -> Child {
    let threads = (1 + attempt % 3).to_string();
    let workers = (attempt % 4 % 3).to_string();
    Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["train", "config.toml", "--quiet", "--resume", "auto", "--out", run])
        .args(["--threads", &threads, "--workers", &workers])
        .current_dir(dir)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Whether a checkpoint is being written that was not begun before `since`: what an earlier kill has
/// left does not count.
fn is_writing(checkpoints: &Path, since: SystemTime) -> bool {
    let Ok(entries) = fs::read_dir(checkpoints) else { return false };
    let unfinished = |entry: fs::DirEntry| {
        let changed = entry.metadata().and_then(|m| m.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
        entry.file_name().to_string_lossy().starts_with(".unfinished-") && changed >= since
    };
    entries.flatten().any(unfinished)
}

/// A number below `n`, from a sequence that is the same each time.
fn draw(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % n
}

#[test]
fn killed_at_any_moment_and_resumed_nothing_is_lost() {
    let kills: usize = std::env::var("GRADUS_KILLS").map_or(50, |n| n.parse().unwrap());
    let wanted_inside = kills * 2 / 5;
    let dir = folder("kills");
    fs::write(dir.join("config.toml"), CONFIG).unwrap();
    let began = Instant::now();
    succeeds(&dir, &["train", "config.toml", "--out", "alone"]);
    let length = began.elapsed().as_micros() as u64;
    let expected = left(&dir.join("alone"));

    let (mut killed, mut inside, mut finished, mut attempts) = (0, 0, 0, 0);
    let mut random = 1;
    while killed < kills || inside < wanted_inside {
        let run = format!("run-{finished}");
        let checkpoints = dir.join(&run).join("checkpoints");
        loop {
            let since = SystemTime::now();
            let mut child = start(&dir, &run, attempts);
            attempts += 1;
            let done = killed >= kills && inside >= wanted_inside;
            let aim_inside = inside < wanted_inside;
            if !done {
                if aim_inside {
                    // Not the first one it writes each time, or the run would hardly get on.
                    thread::sleep(Duration::from_micros(draw(&mut random, length / 2)));
                    while !is_writing(&checkpoints, since) && child.try_wait().unwrap().is_none() {
                        thread::sleep(Duration::from_micros(50));
                    }
                    thread::sleep(Duration::from_micros(draw(&mut random, 400)));
                } else {
                    thread::sleep(Duration::from_micros(draw(&mut random, length)));
                }
                child.kill().unwrap();
            }
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            assert_eq!(status.code(), None, "{run} failed by itself");
            killed += 1;
            inside += usize::from(is_writing(&checkpoints, since));
        }
        let found = left(&dir.join(&run));
        let [a, b] = [&found, &expected];
        assert!(a.model == b.model && a.weights == b.weights, "{run}: other weights");
        assert!(a.training == b.training, "{run}: another state of the optimizer");
        assert_eq!(a.state, b.state, "{run}");
        assert_eq!(a.metrics, b.metrics, "{run}");
        finished += 1;
    }
    println!("{killed} kills, {inside} of them in a checkpoint; {finished} runs, all the same");
}

#[cfg(unix)]
#[test]
fn a_signal_saves_and_stops() {
    let dir = folder("signals");
    // Nothing else saves, before the end.
    let every = ["validation", "validate_steps", "checkpoint_steps", "checkpoint_epochs"];
    let silent = |line: &&str| !every.iter().any(|key| line.starts_with(&format!("{key} = ")));
    let config: Vec<&str> = CONFIG.lines().filter(silent).collect();
    fs::write(dir.join("config.toml"), config.join("\n").replace("epochs = 3", "epochs = 12"))
        .unwrap();
    succeeds(&dir, &["train", "config.toml", "--out", "alone"]);
    let child = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["train", "config.toml", "--out", "run"])
        .current_dir(&dir)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id().to_string();
    let checkpoints = dir.join("run/checkpoints");
    let names = || {
        let entries = fs::read_dir(&checkpoints).into_iter().flatten().flatten();
        let name = |e: fs::DirEntry| e.file_name().to_string_lossy().into_owned();
        entries.map(name).filter(|name| name.starts_with("step-")).count()
    };
    // The model is there soon after the configuration.
    while !dir.join("run/data.json").exists() {
        thread::sleep(Duration::from_millis(1));
    }
    thread::sleep(Duration::from_millis(40));
    let signal = |name: &str| {
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-USR1");
    let deadline = Instant::now() + Duration::from_secs(20);
    while names() == 0 && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(names() > 0, "SIGUSR1 has saved nothing");
    signal("-TERM");
    let output = child.wait_with_output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        // It was faster than the signal.
        println!("the run had ended before SIGTERM came");
    } else {
        assert_eq!(output.status.code(), Some(1), "{message}");
        assert!(message.contains("stopped by SIGTERM"), "{message}");
        assert!(message.contains("gradus train --resume run"), "{message}");
        let resumed = succeeds(&dir, &["train", "--resume", "run"]);
        assert!(resumed.contains("going on from step-"), "{resumed}");
    }
    assert!(left(&dir.join("run")) == left(&dir.join("alone")));
}

#[test]
fn what_can_be_resumed() {
    let dir = folder("resume");
    let short = ["train", "--epochs", "2", "--resume", "auto"];
    let first = succeeds(&dir, &short);
    assert!(first.contains("saved in runs/digits-1"), "{first}");
    // That one is finished: `auto` begins another, and finds none in a folder of one's own.
    let second = succeeds(&dir, &short);
    assert!(second.contains("saved in runs/digits-2"), "{second}");
    let again = succeeds(&dir, &[&short[..], &["--out", "runs/digits-2"]].concat());
    assert!(again.contains("finished already"), "{again}");
    // Nor is anything of a finished one written anew.
    let report = || fs::read(dir.join("runs/digits-1/report.html")).unwrap();
    let before = report();
    let again = succeeds(&dir, &["train", "--resume", "runs/digits-1"]);
    assert!(again.contains("finished already") && report() == before, "{again}");

    // A finished run goes on for longer, as if it had been longer from the start.
    let longer = succeeds(&dir, &["train", "--resume", "runs/digits-1", "--epochs", "4"]);
    assert!(longer.contains("epoch 3/4") && !longer.contains("epoch 2/4"), "{longer}");
    succeeds(&dir, &["train", "--epochs", "4", "--out", "whole"]);
    let model = |run: &str| fs::read(dir.join(run).join("model.safetensors")).unwrap();
    assert!(model("runs/digits-1") == model("whole"));
    // What it has done is not undone, and its configuration stays as it was.
    let shorter = fails(&dir, &["train", "--resume", "runs/digits-1", "--epochs", "3"], 2);
    assert!(shorter.contains("is in epoch 4 already, and should end after 3"), "{shorter}");
    succeeds(&dir, &["verify", "runs/digits-1"]);

    let other = fails(&dir, &["train", "--resume", "runs/digits-1", "--lr", "0.1"], 2);
    assert!(other.contains("leave out --lr"), "{other}");
    let other = fails(
        &dir,
        &["train", "--resume", "auto", "--out", "whole", "--seed", "9", "--epochs", "4"],
        2,
    );
    assert!(other.contains("another configuration"), "{other}");
    let nothing = fails(&dir, &["train", "--resume", "nowhere"], 1);
    assert!(nothing.contains("nowhere: not the folder of a run"), "{nothing}");
}

#[test]
fn damaged_checkpoints_are_passed_over() {
    let dir = folder("damaged");
    let config = CONFIG;
    fs::write(dir.join("config.toml"), config).unwrap();
    succeeds(&dir, &["train", "config.toml", "--out", "alone"]);
    succeeds(&dir, &["train", "config.toml", "--out", "run"]);
    for file in ["receipt.json", "model.safetensors"] {
        fs::remove_file(dir.join("run").join(file)).unwrap();
    }
    let mut names: Vec<_> = fs::read_dir(dir.join("run/checkpoints"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    names.sort();
    let newest = names.last().unwrap().join("model.safetensors");
    let mut bytes = fs::read(&newest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&newest, bytes).unwrap();

    let outcome = gradus(&dir, &["train", "--resume", "run"]);
    assert_eq!(outcome.code, 0, "{}", outcome.err);
    let warning = &outcome.err;
    assert!(warning.starts_with("warning: the checkpoint "), "{warning}");
    assert!(
        warning.contains("model.safetensors is not as MANIFEST says; trying step-"),
        "{warning}"
    );
    assert!(left(&dir.join("run")) == left(&dir.join("alone")));
}

#[test]
fn receipts_are_verified() {
    let dir = folder("verify");
    fs::write(dir.join("config.toml"), CONFIG).unwrap();
    succeeds(&dir, &["train", "config.toml", "--epochs", "1", "--out", "run"]);
    let verified =
        succeeds(&dir, &["verify", "run", "--quiet", "--threads", "3", "--workers", "1"]);
    for line in [
        "training data: ",
        "step of the best weights: ",
        "weights: ",
        "1 epochs: the same",
        "verified: run",
    ] {
        assert!(verified.contains(line), "{verified}");
    }
    let path = dir.join("run/receipt.json");
    let mut receipt: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(receipt["seed"], 5);
    assert_eq!(receipt["steps"], 22);
    assert_eq!(receipt["restored"], 16, "the last look of two is the best");
    receipt["weights"] = "0123456789abcdef".into();
    fs::write(&path, receipt.to_string()).unwrap();
    let message = fails(&dir, &["verify", "run", "--quiet"], 1);
    assert!(message.contains("weights: 0123456789abcdef then, "), "{message}");
    fs::remove_file(&path).unwrap();
    let message = fails(&dir, &["verify", "run"], 2);
    assert!(message.contains("is not finished"), "{message}");
}

#[test]
fn data_that_have_changed_are_noticed() {
    let dir = folder("changed");
    let table = |slope: usize| {
        let rows = (0..80).map(|i| format!("{i},{},{}\n", i * 7 % 11, slope * i + 3));
        fs::write(dir.join("table.csv"), "a,b,y\n".to_owned() + &rows.collect::<String>()).unwrap();
    };
    table(2);
    let config = "[data]\ntype = \"table-regression\"\npath = \"table.csv\"\ntarget = \"y\"\n\n\
                  [model]\nlayers = [\"Linear\"]\n";
    fs::write(dir.join("config.toml"), config).unwrap();
    succeeds(&dir, &["train", "config.toml", "--quiet", "--epochs", "1", "--out", "run"]);
    let longer = ["train", "--resume", "run", "--epochs", "2", "--quiet"];
    succeeds(&dir, &longer);

    table(4);
    let longer = ["train", "--resume", "run", "--epochs", "3", "--quiet"];
    let message = fails(&dir, &longer, 1);
    let expected =
        "run: the training data are not those that the run began with: 64 samples with SHA-256 ";
    assert!(message.contains(expected), "{message}");
    assert!(message.contains(" then, 64 with ") && message.contains("--changed-data"), "{message}");
    // Nothing of it has changed.
    let config = fs::read_to_string(dir.join("run/config.toml")).unwrap();
    assert!(config.contains("epochs = 2"), "{config}");
    // Before the hash of all samples is known, some stand for all.
    let hashes = dir.join("run/data_hashes.json");
    let mut some: Value = serde_json::from_slice(&fs::read(&hashes).unwrap()).unwrap();
    (some["train"]["all"], some["test"]["all"]) = (Value::Null, Value::Null);
    fs::write(&hashes, some.to_string()).unwrap();
    assert!(fails(&dir, &longer, 1).contains(expected));

    let all_the_same = gradus(&dir, &[&longer[..], &["--changed-data"]].concat());
    assert_eq!(all_the_same.code, 0, "{}", all_the_same.err);
    let warning = "warning: the training data are not those that the run began with";
    assert!(all_the_same.err.starts_with(warning), "{}", all_the_same.err);
    // From then on, these are its data.
    succeeds(&dir, &["train", "--resume", "run", "--epochs", "4", "--quiet"]);
}

#[test]
fn runs_that_only_try_out_save_nothing() {
    let dir = folder("tried");
    let fast = succeeds(&dir, &["train", "--fast-dev-run"]);
    assert!(fast.contains("everything fits: ") && fast.ends_with("nothing was saved\n"), "{fast}");
    // A table of classes would say nothing.
    assert_eq!(fast.lines().count(), 5, "{fast}");
    let one = succeeds(&dir, &["train", "--overfit-one-batch", "--epochs", "6"]);
    let last = one.lines().rfind(|line| line.starts_with("epoch 200/200")).unwrap();
    assert!(last.contains("accuracy 100.00%"), "{last}");
    assert_eq!(one.lines().filter(|line| line.starts_with("epoch ")).count(), 11, "{one}");
    assert!(one.contains("\nlearned by heart: 32 samples in 200 steps, loss "), "{one}");
    let one = succeeds(&dir, &["train", "--overfit-one-batch", "--lr", "1e-9"]);
    assert!(one.contains("\nnot learned by heart: ") && one.contains("--find-lr"), "{one}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "a folder was made");

    let message = fails(&dir, &["train", "--find-lr", "lr.png"], 2);
    assert!(message.contains("such as lr.svg"), "{message}");
    let message = fails(&dir, &["train", "--find-lr", "nowhere/lr.svg"], 2);
    assert!(message.contains("there is no folder nowhere"), "{message}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "a file was made");
    let found = succeeds(&dir, &["train", "--find-lr", "lr.svg"]);
    assert!(found.contains("falls most steeply at "), "{found}");
    assert!(fs::read_to_string(dir.join("lr.svg")).unwrap().starts_with("<svg "));
    assert!(fs::read_to_string(dir.join("lr.csv")).unwrap().starts_with("lr,loss,"));
}
