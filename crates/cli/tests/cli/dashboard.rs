//! `--tui` on a real terminal: one that `script` makes. What the dashboard looks like is tested where
//! it is drawn.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{folder, succeeds};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// Runs the command in a terminal of 80 × 24, and presses keys once a checkpoint is there, if one is
/// named: the exit code and all that the terminal was told. None if no terminal can be had.
fn in_terminal(dir: &Path, arguments: &str, keys: Option<(&str, &str)>) -> Option<(i32, String)> {
    let command = format!("stty rows 24 cols 80; {} {arguments}", env!("CARGO_BIN_EXE_gradus"));
    let spawned = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .current_dir(dir)
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            println!("skipped: no terminal to test in: script: {error}");
            return None;
        }
    };
    let mut stdin = child.stdin.take().unwrap();
    if let Some((checkpoints, keys)) = keys {
        let (folder, since) = (dir.join(checkpoints), Instant::now());
        while std::fs::read_dir(&folder).map_or(0, Iterator::count) == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "no checkpoint was made");
            thread::sleep(Duration::from_millis(20));
        }
        stdin.write_all(keys.as_bytes()).unwrap();
    }
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let told = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    Some((output.status.code().unwrap(), told))
}

#[test]
fn the_summary_is_printed_when_the_terminal_was_given_back() {
    let dir = folder("dashboard");
    let train = "train --tui --epochs 2 --out run";
    let Some((code, told)) = in_terminal(&dir, train, None) else { return };
    assert_eq!(code, 0, "{told}");
    let (before, rest) = told.split_once(ENTER).expect("another screen");
    let (shown, after) = rest.split_once(LEAVE).expect("the screen of before");
    assert!(before.contains("to train on, "), "{before}");
    assert!(shown.contains("Loss") && shown.contains("Epochs"), "{shown}");
    assert!(!shown.contains("epoch 1/2  loss"), "{shown}");
    // Lines have waited until then.
    assert!(after.contains("epoch 1/2  loss ") && after.contains("epoch 2/2  loss "), "{after}");
    assert!(after.contains("\ntest accuracy ") && after.contains("saved in run"), "{after}");
    // The cursor is seen again.
    assert!(after.contains("\x1b[?25h"), "{after}");
}

#[test]
fn a_key_stops_and_saves_the_run() {
    let dir = folder("dashboard-keys");
    let config = "[data]\ntype = \"digits\"\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n\
                  [optimizer]\ntype = \"SGD\"\nlr = 0.01\n\
                  [train]\nepochs = 1000000\ncheckpoint_steps = 50\n";
    std::fs::write(dir.join("long.toml"), config).unwrap();
    for (run, key) in [("q", "q"), ("c", "\x03")] {
        let train = format!("train long.toml --tui --out {run}");
        let keys = (&*format!("{run}/checkpoints"), key);
        let Some((code, told)) = in_terminal(&dir, &train, Some(keys)) else { return };
        assert_eq!(code, 1, "{told}");
        let after = told.split_once(LEAVE).expect("the screen of before").1;
        let message = format!("error: stopped by SIGINT; gradus train --resume {run} goes on");
        assert!(after.contains(&message), "{after}");
    }
    // What was saved is gone on with.
    let done = std::fs::read_dir(dir.join("q/checkpoints")).unwrap().count();
    assert!(done > 0);
    let config = dir.join("q/config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    assert!(text.contains("epochs = 1000000"), "{text}");
    let out = succeeds(&dir, &["train", "--resume", "q", "--epochs", "1"]);
    assert!(out.contains("going on from step-"), "{out}");
}
