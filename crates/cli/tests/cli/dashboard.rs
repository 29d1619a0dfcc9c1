//! `--tui` on a real terminal: one that `script` makes. What the dashboard looks like is tested where
//! it is drawn.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::command::{fails, folder, succeeds};

const ENTER: &str = "\x1b[?1049h";
const LEAVE: &str = "\x1b[?1049l";

/// What is done to a command that draws.
#[derive(Clone, Copy)]
enum Act {
    Press(&'static str),
    /// A signal by its name.
    Send(&'static str),
}

/// Runs the command in a terminal of 80 × 24, and does something once a file, or something in a
/// folder, is there, if one is named: the exit code and all that the terminal was told. None if no
/// terminal can be had. Whatever happened, lines and what is typed are shown afterwards as before.
fn in_terminal(dir: &Path, arguments: &str, act: Option<(&str, Act)>) -> Option<(i32, String)> {
    let gradus = env!("CARGO_BIN_EXE_gradus");
    let command = format!(
        "stty rows 24 cols 80; sh -c 'echo $$ > pid; exec {gradus} {arguments}'; \
         code=$?; stty -a; exit $code"
    );
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
    if let Some((path, act)) = act {
        let (path, since) = (dir.join(path), Instant::now());
        while !path.is_file() && std::fs::read_dir(&path).map_or(0, Iterator::count) == 0 {
            assert!(since.elapsed() < Duration::from_secs(60), "there is no {}", path.display());
            thread::sleep(Duration::from_millis(20));
        }
        match act {
            Act::Press(keys) => stdin.write_all(keys.as_bytes()).unwrap(),
            Act::Send(signal) => {
                let pid = std::fs::read_to_string(dir.join("pid")).unwrap();
                let kill = Command::new("kill").args(["-s", signal, pid.trim()]).status();
                assert!(kill.unwrap().success());
            }
        }
    }
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    let told = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
    if let Some((_, shown)) = told.split_once(ENTER) {
        let after = shown.split_once(LEAVE).expect("the screen of before").1;
        assert!(after.contains("\x1b[?25h"), "no cursor: {after}");
        for mode in ["icanon", "echo", "isig", "opost"] {
            assert!(after.split_whitespace().any(|word| word == mode), "not {mode}: {after}");
        }
    }
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
        let act = (&*format!("{run}/checkpoints"), Act::Press(key));
        let Some((code, told)) = in_terminal(&dir, &train, Some(act)) else { return };
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
    // The first checkpoint is one of the second epoch, and the run says where it is.
    let refused = fails(&dir, &["train", "--resume", "q", "--epochs", "1"], 2);
    let (_, epochs) = refused.split_once("give --epochs ").expect(&refused);
    let (epochs, _) = epochs.split_once(' ').expect(&refused);
    let out = succeeds(&dir, &["train", "--resume", "q", "--epochs", epochs]);
    assert!(out.contains("going on from step-"), "{out}");
}

/// Signals stop and save the run while there is something to save, and end the process where there
/// is not, here while the model is tested: in either case the terminal is given back.
#[test]
fn a_signal_gives_the_terminal_back() {
    let dir = folder("dashboard-signals");
    let config = |layers: &str, train: &str| {
        format!(
            "[data]\ntype = \"digits\"\n[model]\nlayers = [{layers}\"Flatten\", \"Linear\"]\n\
             [optimizer]\ntype = \"SGD\"\nlr = 0.01\n[train]\n{train}\n"
        )
    };
    let conv = "{ type = \"Conv2d\", out_channels = 256, kernel_size = 3 }, \"ReLU\", ";
    let slow = config(&conv.repeat(3), "epochs = 1\nmax_steps = 1\nbatch_size = 2");
    std::fs::write(dir.join("slow.toml"), slow).unwrap();
    let long = config("", "epochs = 1000000\ncheckpoint_steps = 50");
    std::fs::write(dir.join("long.toml"), long).unwrap();
    for (signal, number) in [("TERM", 15), ("INT", 2)] {
        for (config, path) in [("long", "checkpoints"), ("slow", "model.safetensors")] {
            let run = format!("{config}-{signal}");
            let train = format!("train {config}.toml --tui --out {run}");
            let act = (&*format!("{run}/{path}"), Act::Send(signal));
            let Some((code, told)) = in_terminal(&dir, &train, Some(act)) else { return };
            assert_eq!(code, if config == "long" { 1 } else { 128 + number }, "{run}: {told}");
            let message = format!("error: stopped by SIG{signal}; gradus train --resume");
            assert_eq!(told.contains(&message), config == "long", "{run}: {told}");
        }
    }
}

/// An error in mid-run, here a loss that is not finite.
#[test]
fn an_error_gives_the_terminal_back() {
    let dir = folder("dashboard-error");
    let train = "train --tui --lr 1e30 --out run";
    let Some((code, told)) = in_terminal(&dir, train, None) else { return };
    assert_eq!(code, 1, "{told}");
    let after = told.split_once(LEAVE).expect("the screen of before").1;
    assert!(after.contains("error: epoch 1, batch 2 of "), "{after}");
}
