//! What the dashboard shows, as text, at two sizes of the terminal: `snapshots/*.txt`.
//! `UPDATE_SNAPSHOTS=1` writes them again.

use std::fs;
use std::path::{Path, PathBuf};

use gradus::train::log::{Environment, EpochEnd, RunStart, StepEnd, StepSeconds};
use gradus::train::metrics::ScoreValue;
use gradus::train::trainer::Validation;
use gradus::train::{Config, EpochMetrics};
use gradus::train::{DataSpec, Input, Task};
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::state::{Checkpoint, Phase, State};
use super::view;

const STEPS: u64 = 400;

fn run(epochs: usize) -> RunStart {
    let classes = (0..10).map(|class| class.to_string()).collect();
    RunStart {
        folder: PathBuf::from("runs/mnist-1"),
        name: "mnist".to_owned(),
        config: Config::default().to_string(),
        data: DataSpec {
            input: Input::Columns { names: vec!["x".to_owned()] },
            task: Task::Classification { classes },
        },
        parameters: 101_770,
        train_samples: 51_200,
        test_samples: 10_000,
        epochs,
        steps_per_epoch: STEPS as usize,
        parameter_names: vec!["weight".to_owned()],
        environment: Environment {
            gradus: "0".to_owned(),
            system: "linux".to_owned(),
            processor: None,
            threads: 2,
            workers: 0,
            started: 0.0,
        },
        steps_done: 0,
        epochs_done: 0,
        validations_done: 0,
    }
}

fn step(step: u64) -> StepEnd {
    let x = step as f64 / STEPS as f64;
    // Falls, with noise that is always the same.
    let noise = 1.0 + 0.2 * (12.9898 * step as f64).sin();
    StepEnd {
        step,
        epoch: ((step - 1) / STEPS) as usize + 1,
        loss: 2.3 * (-x).exp() * noise + 0.05,
        lr: 1e-3 * (1.0 - x / 8.0),
        samples: 128,
        gradient_norms: step.is_multiple_of(10).then(|| vec![noise]),
        seconds: StepSeconds { data: 0.001, record: 0.001, compute: 0.008 },
    }
}

fn epoch(number: usize) -> EpochEnd {
    let x = number as f64;
    let accuracy = |x: f64| ScoreValue::Accuracy(1.0 - 0.3 * (-x).exp());
    EpochEnd {
        step: number as u64 * STEPS,
        metrics: EpochMetrics {
            epoch: number,
            loss: 2.5 * (-x).exp() + 0.05,
            score: accuracy(x - 0.5),
            seconds: 4.25,
            samples_per_second: 12_000.0,
            validation: Some(Validation {
                loss: 2.3 * (-x).exp() + 0.06,
                score: Some(accuracy(x)),
                samples: 5000,
            }),
        },
    }
}

/// A run of eight epochs after so many steps, a hundredth of a second each.
fn after(steps: u64) -> State {
    let mut state = State::new(&Config::default(), &run(8));
    for at in 1..=steps {
        state.now = at as f64 / 100.0;
        state.step_end(&step(at));
        if at.is_multiple_of(STEPS) {
            state.epoch_end(&epoch((at / STEPS) as usize));
            state.checkpoint_begins();
            state.checkpoint(&format!("step-{at:010}"));
        }
    }
    state
}

/// What a terminal of so many columns and rows shows.
fn picture(state: &State, columns: u16, rows: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal.draw(|frame| view::draw(frame, state)).unwrap();
    let cells = terminal.backend().buffer().content().chunks(columns.into());
    let line = |cells: &[ratatui::buffer::Cell]| {
        let line: String = cells.iter().map(|cell| cell.symbol()).collect();
        format!("{}\n", line.trim_end())
    };
    cells.map(line).collect()
}

fn is_snapshot(name: &str, picture: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/dashboard/snapshots");
    let path = folder.join(format!("{name}.txt"));
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, picture).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(picture == expected, "{name} looks different; is it better?\n{picture}");
}

#[test]
fn a_run_in_the_middle_looks_as_it_did() {
    let state = after(4 * STEPS + 150);
    is_snapshot("middle_80x24", &picture(&state, 80, 24));
    is_snapshot("middle_200x50", &picture(&state, 200, 50));
}

#[test]
fn a_run_that_begins_looks_as_it_did() {
    is_snapshot("first_80x24", &picture(&after(0), 80, 24));
    is_snapshot("first_200x50", &picture(&after(1), 200, 50));
}

#[test]
fn whatever_the_size_nothing_breaks() {
    let states = [after(0), after(1), after(STEPS), after(8 * STEPS)];
    for state in &states {
        for (columns, rows) in [(1, 1), (59, 17), (60, 18), (80, 24), (119, 60), (300, 100)] {
            let picture = picture(state, columns, rows);
            assert_eq!(picture.lines().count(), usize::from(rows));
            if columns >= 59 {
                assert!(picture.contains("epoch "), "{columns} × {rows}: {picture}");
            }
        }
    }
    assert!(picture(&states[0], 59, 17).contains("needs 60 × 18"));
}

#[test]
fn what_happens_is_said() {
    let mut state = after(STEPS);
    let shown = |state: &State| picture(state, 100, 30);
    assert!(shown(&state).contains("step 400, 0 s ago"), "{}", shown(&state));
    // 7 of 8 epochs of 4 s are left.
    assert!(shown(&state).contains("28 s left"), "{}", shown(&state));

    state.checkpoint_begins();
    assert!(shown(&state).contains("writing …"));
    state.warning("cannot save the checkpoint: No space left on device");
    state.now += 3.0;
    assert_eq!(state.checkpoint, Checkpoint::Failed { at: 4.0 });
    let after = shown(&state);
    assert!(after.contains("failed 3 s ago") && after.contains("warning: cannot save"), "{after}");

    state.phase = Phase::Stopping;
    assert!(shown(&state).contains("stopping: saving a checkpoint"));
    state.phase = Phase::Testing;
    assert!(shown(&state).contains("evaluating on the test data"));
}

#[test]
fn limits_of_the_configuration_end_the_run() {
    let mut config = Config::default();
    config.training.max_steps = std::num::NonZeroUsize::new(500);
    let mut state = State::new(&config, &run(8));
    state.now = 10.0;
    state.step_end(&step(100));
    assert_eq!((state.steps, state.left()), (500, Some(40.0)));
    state.time = 15.0;
    assert_eq!(state.left(), Some(5.0));
}

#[test]
fn numbers_that_cannot_be_drawn_do_no_harm() {
    let mut state = after(STEPS);
    for loss in [f64::NAN, f64::INFINITY, 0.0, -1.0, 1e300] {
        state.step_end(&StepEnd { loss, ..step(STEPS + 1) });
        picture(&state, 80, 24);
    }
}

/// No test: the one below runs it in a terminal.
#[test]
#[ignore = "takes the terminal, and panics"]
fn panics_while_it_draws() {
    super::screen::enter().unwrap();
    let _ = super::screen::draw(|| panic!("a bug"));
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let child = "dashboard::tests::panics_while_it_draws --exact --ignored --nocapture";
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new("script")
        .args(["--quiet", "--return", "--command"])
        .arg(format!("{} {child}; stty -a", program.display()))
        .arg("/dev/null")
        .env("TERM", "xterm-256color")
        .output();
    let output = match output {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: no terminal to test in: script: {error}");
            return;
        }
    };
    let told = String::from_utf8_lossy(&output.stdout);
    let shown = told.split_once("\x1b[?1049h").expect("another screen").1;
    let after = shown.split_once("\x1b[?1049l").expect("the screen of before").1;
    // The cursor, the message, and lines that are lines.
    assert!(after.contains("\x1b[?25h") && after.contains("a bug"), "{after}");
    for mode in ["icanon", "echo", "isig", "opost"] {
        assert!(after.split_whitespace().any(|word| word == mode), "not {mode}: {after}");
    }
}
