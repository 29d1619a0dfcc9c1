//! What a run leaves behind to look at: its log, tables, report, and comparisons.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use gradus_data::Split;
use gradus_tensor::{Result, set_num_threads};
use gradus_train::log::{
    EpochEnd, EvaluationEnd, Flow, History, Observer, RunEnd, RunStart, StepEnd, TensorBoard,
};
use gradus_train::metrics::MetricValue;
use gradus_train::report::{Difference, compare, render};
use gradus_train::trainer::Ended;
use gradus_train::{
    Config, Progress, Resume, RunFolder, RunOptions, Task, config, run_observed, train,
};
use serde_json::Value;

fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("log").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

/// The default configuration with a smaller network, and metrics.
fn short(lr: &str, epochs: usize) -> Config {
    let text = config::DEFAULT.replace("256", "16").replace("0.003", lr)
        + "[metrics]\nevaluation = [\"LogLoss\", \"AUROC\", { type = \"F1Score\", average = \"per_class\" }]\n";
    Config { epochs, ..Config::parse(&text, "test").unwrap() }
}

fn run(name: &str, config: &Config, workers: usize) -> History {
    let out = new_folder(name);
    train(config, workers, Some(&out), &Progress::new(true)).unwrap();
    History::read(&out).unwrap()
}

/// The options of a run into a folder.
fn into(folder: &Path) -> RunOptions {
    RunOptions { out: Some(folder.to_owned()), ..RunOptions::default() }
}

/// The log without what depends on the machine and the moment.
fn timeless(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("log.jsonl")).unwrap();
    let lines = text.lines().map(|line| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let object = line.as_object_mut().unwrap();
        for key in ["seconds", "samples_per_second", "environment", "time", "bottleneck"] {
            object.remove(key);
        }
        line
    });
    lines.collect()
}

#[test]
fn the_log_follows_from_the_configuration() {
    let config = short("0.003", 2);
    let first = run("bits", &config, 0);
    assert_eq!(first.steps.len(), 90);
    assert_eq!(first.epochs.len(), 2);
    let expected = timeless(&new_folder("none").with_file_name("bits"));
    set_num_threads(3);
    let again = run("bits-again", &config, 2);
    assert_eq!(timeless(&again.start.folder), expected);

    // The epoch's loss is the mean of those of its steps.
    let (mut sum, mut samples) = (0.0, 0);
    for step in first.steps.iter().filter(|step| step.epoch == 2) {
        sum += step.loss * step.samples as f64;
        samples += step.samples;
    }
    assert_eq!(samples, 1437);
    assert!((sum / 1437.0 - first.epochs[1].metrics.loss).abs() < 1e-12);
    assert!(first.steps.iter().enumerate().all(|(at, step)| step.step == at as u64 + 1));

    // Norms stand at the first step of an epoch and every tenth after it, one per parameter.
    let with: Vec<u64> =
        first.steps.iter().filter(|s| s.gradient_norms.is_some()).map(|s| s.step).collect();
    assert_eq!(with, [1, 11, 21, 31, 41, 46, 56, 66, 76, 86]);
    assert_eq!(first.steps[0].gradient_norms.as_ref().unwrap().len(), 4);
    assert!(first.steps[0].gradient_norm().unwrap() > 0.1);

    let end = &first.evaluations[0];
    let names: Vec<&str> = end.metrics.iter().map(|metric| metric.name.as_str()).collect();
    assert_eq!(names, ["log_loss", "auroc_macro", "f1_per_class"]);
    let loss = end.metrics[0].value.number().unwrap();
    assert!((loss - end.evaluation.average_loss()).abs() < 1e-6, "{loss}");
    assert!(matches!(&end.metrics[2].value, MetricValue::Classes(all) if all.len() == 10));
    let counts = end.confusion.as_ref().unwrap();
    assert_eq!(counts.iter().flatten().sum::<u64>(), 360);
    let receipt = RunFolder::open(&first.start.folder).unwrap().receipt().unwrap();
    let end = first.end.unwrap();
    assert_eq!((end.weights_sha256, end.data_sha256), (receipt.weights, Some(receipt.train_data)));
}

/// The tables without times: `seconds` is the last column of the steps, and the last but one of
/// the epochs.
fn timeless_tables(folder: &Path) -> Vec<String> {
    let rows = |name: &str, times: usize| -> Vec<String> {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        let row = |line: &str| line.rsplitn(times + 1, ',').last().unwrap().to_owned();
        text.lines().map(row).collect()
    };
    [rows("steps.csv", 1), rows("epochs.csv", 2)].concat()
}

#[test]
fn logs_of_a_run_that_goes_on_are_those_of_one_left_alone() {
    let (config, progress) = (short("0.003", 3), Progress::new(true));
    let alone = new_folder("alone");
    train(&config, 0, Some(&alone), &progress).unwrap();

    // Cut at a step in the second epoch: its summary, the evaluation and the end are of a future
    // that is lost. Then in the middle of a line that was being written.
    let parts = new_folder("in-parts");
    let until = |steps| RunOptions { stop_after: Some(steps), ..into(&parts) };
    gradus_train::run(&config, &until(60), &progress).unwrap();
    let path = parts.join("log.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text + "{\"event\":\"st").unwrap();
    assert_ne!(timeless_tables(&parts), timeless_tables(&alone));
    let resumed = RunOptions { resume: Resume::Folder(parts.clone()), out: None, ..until(90) };
    gradus_train::run(&config, &resumed, &progress).unwrap();
    let resumed = RunOptions { stop_after: None, ..resumed };
    gradus_train::run(&config, &resumed, &progress).unwrap();

    assert_eq!(timeless(&parts), timeless(&alone));
    assert_eq!(timeless_tables(&parts), timeless_tables(&alone));
}

#[test]
fn tables_hold_the_same_numbers() {
    let history = run("tables", &short("0.003", 1), 0);
    let read = |name: &str| fs::read_to_string(history.start.folder.join(name)).unwrap();
    let (steps, epochs) = (read("steps.csv"), read("epochs.csv"));
    let rows: Vec<Vec<&str>> = steps.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0], ["step", "epoch", "loss", "lr", "gradient_norm", "samples", "seconds"]);
    assert_eq!(rows.len(), 46);
    for (row, step) in rows[1..].iter().zip(&history.steps) {
        assert_eq!(row[2].parse::<f64>().unwrap().to_bits(), step.loss.to_bits());
        assert_eq!(row[4].parse::<f64>().ok(), step.gradient_norm());
    }
    let header = "epoch,step,loss,accuracy,validation_loss,validation_accuracy,seconds,\
                  samples_per_second\n1,45,";
    assert!(epochs.starts_with(header), "{epochs}");
}

#[test]
fn a_log_that_is_being_written_can_be_read() {
    let history = run("unfinished", &short("0.003", 1), 0);
    let path = history.start.folder.join("log.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    fs::write(&path, lines[..11].concat() + &lines[11][..20]).unwrap();
    let part = History::read(&history.start.folder).unwrap();
    assert_eq!(part.steps, history.steps[..10]);
    assert!(part.epochs.is_empty() && part.end.is_none());
    assert!(render(&part, None).unwrap().contains("unfinished"));

    fs::write(&path, lines[..3].concat() + "{\"event\":\"step\"}\n").unwrap();
    let error = History::read(&history.start.folder).unwrap_err();
    assert!(error.message().contains("log.jsonl, line 4: missing field"), "{error}");
}

/// Notes what it is told, and stops after a step.
#[derive(Default)]
struct Notes {
    told: Rc<RefCell<Vec<&'static str>>>,
    steps: u64,
}

impl Observer for Notes {
    fn run_start(&mut self, _: &RunStart) -> Result<()> {
        self.told.borrow_mut().push("start");
        Ok(())
    }
    fn step_end(&mut self, step: &StepEnd) -> Result<Flow> {
        assert!(step.step <= self.steps, "a step after the last");
        self.told.borrow_mut().push("step");
        Ok(if step.step == self.steps { Flow::Stop } else { Flow::Continue })
    }
    fn epoch_end(&mut self, _: &EpochEnd) -> Result<()> {
        self.told.borrow_mut().push("epoch");
        Ok(())
    }
    fn evaluation_end(&mut self, _: &EvaluationEnd) -> Result<()> {
        self.told.borrow_mut().push("evaluation");
        Ok(())
    }
    fn run_end(&mut self, _: &RunEnd) -> Result<()> {
        self.told.borrow_mut().push("end");
        Ok(())
    }
}

#[test]
fn an_observer_can_stop_a_run() {
    let told = Rc::new(RefCell::new(Vec::new()));
    let notes = Notes { told: told.clone(), steps: 3 };
    let out = new_folder("stopped");
    let (config, progress) = (short("0.003", 2), Progress::new(true));
    run_observed(&config, &into(&out), &progress, vec![Box::new(notes)]).unwrap();
    assert_eq!(*told.borrow(), ["start", "step", "step", "step", "epoch", "evaluation", "end"]);
    assert!(out.join("model.safetensors").is_file() && out.join("report.html").is_file());
}

#[test]
fn observing_changes_no_bit() {
    let (config, progress) = (short("0.003", 1), Progress::new(true));
    let (plain, watched) = (new_folder("plain"), new_folder("watched"));
    train(&config, 0, Some(&plain), &progress).unwrap();
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(TensorBoard::new())];
    run_observed(&config, &into(&watched), &progress, observers).unwrap();
    assert_eq!(timeless(&plain), timeless(&watched));
    let events = fs::read_dir(&watched).unwrap().filter_map(|entry| {
        let path = entry.unwrap().path();
        path.file_name()?.to_str()?.starts_with("events.out.tfevents.").then_some(path)
    });
    let events: Vec<PathBuf> = events.collect();
    assert_eq!(events.len(), 1);
    // Eight bytes of length, four of checksum, then the payload.
    let bytes = fs::read(&events[0]).unwrap();
    let (mut at, mut records) = (0, 0);
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        at += 16 + length as usize;
        records += 1;
    }
    assert_eq!((at, records), (bytes.len(), 1 + 45 + 1 + 1));
}

#[test]
fn the_report_stands_alone_and_escapes_names() {
    let mut history = run("report", &short("0.003", 1), 0);
    let html = fs::read_to_string(history.start.folder.join("report.html")).unwrap();
    for part in
        ["Learning curves", "Gradient norms", "Confusion", "Worst mistakes", "Configuration"]
    {
        assert!(html.contains(part), "{part}");
    }
    assert!(html.contains(&history.end.as_ref().unwrap().weights_sha256));
    let mistakes = history.evaluations[0].mistakes.len();
    assert!(mistakes > 3);
    assert_eq!(html.matches("<img src=\"data:image/png;base64,").count(), mistakes);
    for foreign in ["http:", "https:", "<script", "url(", "@import"] {
        assert!(!html.contains(foreign), "{foreign} is in the report");
    }

    let nasty = "<img src=x onerror='alert(1)'>";
    if let Task::Classification { classes } = &mut history.start.data.task {
        classes[3] = nasty.to_owned();
    }
    history.start.name = nasty.to_owned();
    history.start.folder = nasty.into();
    history.start.config = nasty.to_owned();
    history.start.parameter_names[0] = nasty.to_owned();
    let data = short("0.003", 1).open(Split::Test).unwrap();
    let html = render(&history, Some(&data)).unwrap();
    assert!(!html.contains("<img src=x") && html.contains("&lt;img src=x onerror=&#39;alert"));
    let page = compare(vec![(nasty.to_owned(), history.clone()), (nasty.to_owned(), history)]);
    assert!(!page.html().contains("<img src=x"));
}

#[test]
fn runs_are_compared_to_the_bit() {
    let named = |name: &str, lr, epochs| (name.to_owned(), run(name, &short(lr, epochs), 0));
    let (one, same) = (named("one", "0.003", 1), named("same", "0.003", 1));
    let (longer, other) = (named("longer", "0.003", 2), named("other", "0.004", 1));
    let comparison = compare(vec![one, same, longer, other]);
    let Difference::Step(pair) = &comparison.differences[2] else {
        panic!("{:?}", comparison.differences)
    };
    // The first loss is that of the initial weights; the rate differs at once.
    assert_eq!((pair.0.step, pair.0.lr, pair.1.lr), (1, 0.003, 0.004));
    assert_eq!(pair.0.loss.to_bits(), pair.1.loss.to_bits());
    assert_eq!(comparison.differences[..2], [Difference::Nowhere, Difference::Length(45)]);

    let text = comparison.to_string();
    let widths: Vec<usize> = text.lines().take(5).map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    for part in [
        "same and one have the same steps; their models are the same, to the bit",
        "longer and one are equal to step 45, where one ends\n  --- one\n  +++ longer\n  - epochs = 1\n",
        "other and one first differ at step 1 (epoch 1): the learning rate is 0.004 and 0.003",
        "  --- one\n  +++ other\n  - lr = 0.003\n  + lr = 0.004",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    assert!(comparison.html().contains("first differ at step 1"));
}

/// Validations in mid-epoch are rows of the log, decide which checkpoint is the best and when to
/// stop, and are the same rows after an interruption.
#[test]
fn validations_in_mid_epoch_are_logged_and_decide() {
    // At this rate no weight changes: the first validation stays the best.
    let mut config = short("1e-30", 9);
    let count = |n: usize| std::num::NonZeroUsize::new(n);
    config.training.validation = config::Probability(0.1);
    config.training.validate_steps = count(20);
    config.training.early_stopping = count(3);
    config.training.restore_best = true;
    let progress = Progress::new(true);
    let alone = new_folder("validated");
    let observers: Vec<Box<dyn Observer>> = vec![Box::new(TensorBoard::new())];
    let outcome = run_observed(&config, &into(&alone), &progress, observers).unwrap();
    assert!(matches!(outcome.ended, Ended::Stopped(why) if why.starts_with("early stopping")));

    let mut history = History::read(&alone).unwrap();
    let rows: Vec<_> = history.validations.iter().map(|v| (v.step, v.epoch)).collect();
    // An epoch has 41 steps; the run stops with the fourth look, and the rest of its epoch is looked at no more.
    assert_eq!(rows, [(20, 1), (40, 1), (60, 2), (80, 2)]);
    assert!(history.validations.iter().all(|v| v.validation == history.validations[0].validation));
    assert_eq!(history.validations[0].validation.samples, 144);
    let of_epochs: Vec<_> = history.epochs.iter().map(|e| e.metrics.validation).collect();
    assert_eq!(of_epochs, [Some(history.validations[1].validation); 2]);
    let names = RunFolder::open(&alone).unwrap().checkpoints().names().unwrap();
    assert_eq!(names.first().unwrap(), "step-0000000020", "the best is kept");

    // Without those of mid-epoch, the curve would be a point for each epoch.
    let curve = |history: &History| render(history, None).unwrap();
    let drawn = curve(&history);
    assert!(drawn.contains("those after step 20, the best"));
    history.validations.remove(0);
    assert_ne!(curve(&history), drawn, "the report draws validations in mid-epoch");

    let table = fs::read_to_string(alone.join("validations.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!((lines[0], lines.len()), ("step,epoch,loss,accuracy,samples", 5));
    assert!(lines[3].starts_with("60,2,") && lines[3].ends_with(",144"), "{table}");
    let events = fs::read_dir(&alone).unwrap().flatten();
    let events = events.map(|e| e.path()).find(|p| p.to_string_lossy().contains("tfevents"));
    let events = fs::read(events.unwrap()).unwrap();
    for tag in ["validation/loss", "validation/accuracy"] {
        let times = events.windows(tag.len()).filter(|w| *w == tag.as_bytes()).count();
        assert_eq!(times, 4, "{tag}");
    }

    let parts = new_folder("validated-in-parts");
    for steps in [50, 60, 100] {
        let until = RunOptions { stop_after: Some(steps), ..into(&parts) };
        let options = match steps {
            50 => until,
            _ => RunOptions { resume: Resume::Folder(parts.clone()), out: None, ..until },
        };
        gradus_train::run(&config, &options, &progress).unwrap();
    }
    assert_eq!(timeless(&parts), timeless(&alone));
    let again = fs::read_to_string(parts.join("validations.csv")).unwrap();
    assert_eq!(again, table);
}
