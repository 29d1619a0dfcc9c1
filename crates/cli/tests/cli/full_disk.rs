//! A disk that fills up under a run: training goes on and warns, the checkpoints of before stay good,
//! and with room again the run goes on and ends with the bits of one that always had room.
//!
//! The disk is a small tmpfs, which only root may mount; elsewhere the test says that it is skipped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gradus::train::log::History;

use crate::command::{folder, gradus, succeeds};

const CONFIG: &str = r#"
[data]
type = "digits"

[model]
layers = ["Flatten", { type = "Linear", out_features = 128 }, "ReLU", "Linear"]

[optimizer]
type = "Adam"
lr = 0.001

[train]
epochs = 3
checkpoint_steps = 20
"#;

/// A file system of its own, as long as it lives.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(path: PathBuf, size: &str) -> Result<SmallDisk, String> {
        fs::create_dir(&path).unwrap();
        let options = format!("size={size}");
        match run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&path)) {
            Ok(()) => Ok(SmallDisk(path)),
            Err(error) => Err(error),
        }
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        run(Command::new("mount").args(["-o", &options]).arg(&self.0)).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = run(Command::new("umount").arg(&self.0));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(Output { status, .. }) if status.success() => Ok(()),
        Ok(Output { stderr, .. }) => Err(String::from_utf8_lossy(&stderr).trim().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Everything of a run that does not depend on time.
fn bits(run: &Path) -> (Vec<(u64, u64)>, Vec<u8>) {
    let history = History::read(run).unwrap();
    let steps = history.steps.iter().map(|step| (step.step, step.loss.to_bits())).collect();
    (steps, fs::read(run.join("model.safetensors")).unwrap())
}

#[test]
fn a_disk_that_fills_up_costs_nothing_but_time() {
    // What an interrupted test has left is still mounted.
    let before = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli/full-disk");
    for disk in ["100k", "200k", "280k"] {
        let _ = run(Command::new("umount").arg(before.join(disk)));
    }
    let dir = folder("full-disk");
    fs::write(dir.join("my.toml"), CONFIG).unwrap();
    succeeds(&dir, &["train", "my.toml", "--quiet", "--out", "room"]);
    let expected = bits(&dir.join("room"));
    assert_eq!(expected.0.len(), 135);

    // There is room for no checkpoint, for one, and for two.
    for (size, checkpoints) in [("100k", 0), ("200k", 1), ("280k", 2)] {
        let disk = match SmallDisk::mount(dir.join(size), size) {
            Ok(disk) => disk,
            Err(error) => return println!("skipped: no small disk can be mounted here: {error}"),
        };
        let out = format!("{size}/run");
        let outcome = gradus(&dir, &["train", "my.toml", "--out", &out]);
        // Training goes on to its end; then there is no room for what a run leaves.
        assert!(outcome.out.contains("\nepoch 3/3  loss "), "{size}: {}", outcome.out);
        assert_eq!(outcome.code, 1, "{size}: {}", outcome.err);
        let warnings: Vec<&str> =
            outcome.err.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(warnings.len() > 2, "{size}: {}", outcome.err);
        for warning in warnings {
            assert!(warning.contains("No space left"), "{warning}");
            assert!(warning.contains("training goes on"), "{warning}");
        }
        let error = outcome.err.lines().last().unwrap();
        assert!(error.starts_with("error: ") && error.contains("No space left"), "{error}");
        assert!(error.contains(&format!("gradus train --resume {out} goes on")), "{error}");
        let saved = fs::read_dir(dir.join(&out).join("checkpoints")).unwrap();
        let saved = saved.filter(|entry| {
            entry.as_ref().unwrap().file_name().to_str().unwrap().starts_with("step-")
        });
        assert_eq!(saved.count(), checkpoints, "{size}");

        disk.grow("8m");
        let resumed = gradus(&dir, &["train", "--resume", &out]);
        assert_eq!((resumed.code, resumed.err.as_str()), (0, ""), "{size}: {}", resumed.out);
        assert_eq!(resumed.out.contains("going on from step-"), checkpoints > 0, "{}", resumed.out);
        assert!(bits(&dir.join(&out)) == expected, "{size}: the run has other bits");
    }
}
