//! The trainer piece by piece: accumulation, resumption, callbacks.

use std::cell::{Cell, RefCell};
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use gradus_data::{Array, DataLoader, Dataset};
use gradus_nn::optim::lr_scheduler::{CosineAnnealingLR, LRScheduler};
use gradus_nn::optim::{Adam, Optimizer, SGD};
use gradus_nn::{Dropout, Layer, Linear, MSELoss, Module, ReLU, Sequential};
use gradus_tensor::{
    DType, Error, ErrorKind, Result, Tensor, evaluate, manual_seed, plan_stats, set_num_threads,
};
use gradus_train::checkpoint::{Checkpoint, CheckpointFolder};
use gradus_train::config::{Every, Scheduler};
use gradus_train::trainer::{
    Accumulator, Callback, Checkpoints, Control, EarlyStopping, Ema, Ended, EpochStart,
    EpochSummary, Fit, FitStart, Precision, StepEnd, Supervised, Trainer, Validation, find_lr,
};
use gradus_train::weight_hash;

fn loss(predictions: &Tensor, targets: &Tensor) -> Tensor {
    MSELoss::default().forward(predictions, targets)
}

fn network(dropout: f64) -> Sequential {
    Sequential::new()
        .add(Linear::new(4, 24))
        .add(ReLU)
        .add(Dropout::new(dropout))
        .add(Linear::new(24, 1))
}

/// Points in four dimensions, and a curved height.
struct Hills(usize);

impl Dataset for Hills {
    type Item = (Array<f32>, Array<f32>);

    fn len(&self) -> usize {
        self.0
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        let x: Vec<f32> = (0..4).map(|k| ((index * 7 + k * 13) % 17) as f32 / 17.0 - 0.5).collect();
        let y = x[0] * x[1] + x[2] - x[3] * x[3];
        Ok((Array::new([4], x)?, Array::new([1], vec![y])?))
    }
}

fn loader(samples: usize, batch: usize) -> DataLoader<Hills> {
    DataLoader::new(Hills(samples)).batch_size(batch).shuffle(3)
}

/// In f64, gradients accumulated over parts of unequal size are those of the whole, with dropout.
#[test]
fn accumulated_gradients_are_those_of_the_whole() {
    let step = |parts: &[usize], dropout: f64| -> Vec<f64> {
        manual_seed(1);
        let model = network(dropout);
        model.to_dtype(DType::F64).unwrap();
        let x = Tensor::randn([11, 4], DType::F64);
        let y = Tensor::randn([11, 1], DType::F64);
        let mut optimizer = SGD::new(model.parameters(), 0.5);
        let mut accumulator = Accumulator::default();
        let mut weights = Vec::new();
        for _ in 0..3 {
            let mut start = 0;
            for &size in parts {
                let part = |t: &Tensor| t.narrow(0, start, size);
                let cost = accumulator.record(size, || loss(&model.forward(&part(&x)), &part(&y)));
                accumulator.backward(&cost, size);
                evaluate().unwrap();
                start += size;
            }
            accumulator.finish(&optimizer.parameters());
            optimizer.step().unwrap();
            optimizer.zero_grad();
        }
        for parameter in model.parameters() {
            weights.extend(parameter.value().detach().to_vec::<f64>().unwrap());
        }
        weights
    };
    for dropout in [0.0, 0.4] {
        let whole = step(&[11], dropout);
        for parts in [&[4, 4, 3][..], &[10, 1], &[1, 2, 8]] {
            let difference = step(parts, dropout)
                .iter()
                .zip(&whole)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f64::max);
            assert!(difference < 1e-12, "dropout {dropout}, {parts:?}: {difference}");
        }
    }
    assert_ne!(step(&[11], 0.4), step(&[11], 0.0), "dropout drops nothing");
}

#[test]
fn the_loop_accumulates_as_well() {
    let trained = |batch, accumulate| -> Vec<f32> {
        manual_seed(2);
        let model = network(0.3);
        let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1).momentum(0.9))
            .epochs(3)
            .accumulate(accumulate);
        let fit = trainer.fit(&Supervised::new(&model, &loss), &loader(50, batch), None).unwrap();
        assert_eq!(fit.step, 12, "50 samples are 3 steps of 16 and one of 2");
        model.parameters()[0].value().detach().to_vec().unwrap()
    };
    let (whole, parts) = (trained(16, 1), trained(4, 4));
    let difference = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-5, "{difference}");
}

/// Takes down the samples and the loss of each step.
#[derive(Clone, Default)]
struct Steps(Rc<RefCell<Vec<(usize, f32)>>>);

impl Callback for Steps {
    fn on_step_end(&mut self, step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        self.0.borrow_mut().push((step.samples, step.loss.item()?));
        Ok(())
    }
}

/// What a step says of itself is of all its batches, the smaller one at the end included.
#[test]
fn samples_and_loss_are_those_of_the_whole_step() {
    let steps = |batch, accumulate| {
        manual_seed(2);
        let model = network(0.3);
        let steps = Steps::default();
        let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1))
            .epochs(2)
            .accumulate(accumulate)
            .callback(steps.clone());
        trainer.fit(&Supervised::new(&model, &loss), &loader(50, batch), None).unwrap();
        drop(trainer);
        steps.0.take()
    };
    let whole = steps(20, 1);
    assert_eq!(whole.iter().map(|step| step.0).collect::<Vec<_>>(), [20, 20, 10, 20, 20, 10]);
    for (batch, accumulate) in [(5, 4), (10, 2)] {
        let parts = steps(batch, accumulate);
        assert_eq!(parts.len(), whole.len());
        for (part, whole) in parts.iter().zip(&whole) {
            assert_eq!(part.0, whole.0);
            assert!((part.1 - whole.1).abs() < 1e-6 * whole.1, "{part:?} {whole:?}");
        }
    }
    // 8, 8, 8; 8, 8, 8; 2: the last batch weighs what it has.
    let uneven = steps(8, 3);
    assert_eq!(uneven.iter().map(|step| step.0).collect::<Vec<_>>(), [24, 24, 2, 24, 24, 2]);
    // 16, 16, 16, 2 are one step.
    let (parts, whole) = (steps(16, 4), steps(50, 1));
    assert_eq!(parts[0].0, 50);
    assert!((parts[0].1 - whole[0].1).abs() < 1e-6 * whole[0].1, "{parts:?} {whole:?}");
}

/// Takes its time before each checkpoint and counts them, and takes down the time of each step.
struct Slow(Rc<RefCell<Vec<StepTimes>>>, Rc<Cell<u32>>);

/// In all, waiting and computing.
type StepTimes = [Duration; 3];

const SAVING: Duration = Duration::from_millis(40);

impl Callback for Slow {
    fn on_step_end(&mut self, step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        self.0.borrow_mut().push([step.took, step.waited, step.computed]);
        Ok(())
    }

    fn on_save(&mut self) -> Result<()> {
        std::thread::sleep(SAVING);
        self.1.set(self.1.get() + 1);
        Ok(())
    }
}

/// A checkpoint is no part of the step that comes after it; all batches of a step are part of it.
#[test]
fn a_step_takes_what_its_batches_take() {
    let (times, saves) = (Rc::new(RefCell::new(Vec::new())), Rc::new(Cell::new(0)));
    let model = network(0.0);
    let folder = CheckpointFolder::new(new_folder("slow"));
    let checkpoints = Checkpoints { every_steps: Some(1), ..Checkpoints::new(folder) };
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1))
        .epochs(1)
        .accumulate(2)
        .checkpoints(checkpoints)
        .callback(Slow(times.clone(), saves.clone()));
    let began = Instant::now();
    let fit = trainer.fit(&Supervised::new(&model, &loss), &loader(64, 4), None).unwrap();
    let all = began.elapsed();
    drop(trainer);
    let mut times = times.take();
    assert_eq!(times.len(), 8);
    // Those that come due while another is being written are put off.
    let saves = saves.get();
    assert!((2..=8).contains(&saves), "{saves}");
    assert!(all >= saves * SAVING && fit.paused >= (saves * SAVING).as_secs_f64(), "{fit:?}");
    for [took, waited, computed] in &times {
        assert!(*computed > Duration::ZERO && *took >= *waited + *computed, "{times:?}");
    }
    // One may be interrupted by whatever else the machine does.
    times.sort_unstable();
    assert!(times[4][0] < SAVING, "{times:?}");
}

/// A folder of this test's own that does not exist yet.
fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trainer").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

/// Ends the run with an error, as if the process had been killed there.
struct KilledAt(u64);

impl Callback for KilledAt {
    fn on_step_end(&mut self, step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        match step.step == self.0 {
            true => Err(Error::new(ErrorKind::Usage, "killed")),
            false => Ok(()),
        }
    }
}

/// Counts steps over interruptions.
#[derive(Default)]
struct Counter(Rc<Cell<u64>>);

impl Callback for Counter {
    fn on_step_end(&mut self, _step: &StepEnd<'_>, _control: &mut Control) -> Result<()> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    fn state(&self) -> Option<(&'static str, serde_json::Value)> {
        Some(("counter", self.0.get().into()))
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.0.set(state.as_u64().unwrap_or(0));
        Ok(())
    }
}

/// Trains on hills with everything on; the hash of the weights, the epochs and the state.
fn run_everything(
    folder: &Path,
    killed_at: Option<u64>,
    workers: usize,
) -> Result<(String, Fit, Checkpoint)> {
    manual_seed(11);
    let model = network(0.2);
    let mut optimizer = Adam::new(model.parameters(), 0.01);
    let schedule = LRScheduler::new(&mut optimizer, CosineAnnealingLR::new(60))?;
    let checkpoints = Checkpoints {
        every_steps: Some(3),
        keep_last: 1,
        keep_best: true,
        every: None,
        ..Checkpoints::new(CheckpointFolder::new(folder))
    };
    let counted = Rc::new(Cell::new(0));
    let mut trainer = Trainer::new(optimizer)
        .epochs(5)
        .accumulate(3)
        .clip_norm(0.5)
        .ema(0.9)
        .validate_every_steps(4)
        .early_stopping(EarlyStopping::new(50))
        .schedule(Scheduler::Planned(schedule, Every::Step))
        .checkpoints(checkpoints)
        .callback(Counter(counted.clone()));
    if let Some(step) = killed_at {
        trainer = trainer.callback(KilledAt(step));
    }
    let objective = Supervised::new(&model, &loss);
    let (train, validation) = (loader(100, 8).workers(workers), loader(30, 16));
    let fit = trainer.fit(&objective, &train, Some(&validation))?;
    drop(trainer);
    assert_eq!(counted.get(), fit.step);
    let newest = CheckpointFolder::new(folder).load_newest(Checkpoint::from_files, |_| ())?;
    Ok((weight_hash(&model)?, fit, newest.expect("the last is saved").1))
}

/// Without how long it took.
fn epochs(fit: &Fit) -> Vec<EpochSummary> {
    fit.epochs.iter().map(|epoch| EpochSummary { seconds: 0.0, ..epoch.clone() }).collect()
}

#[test]
fn a_run_that_is_killed_anywhere_ends_with_the_same_bits() {
    let (weights, fit, last) = run_everything(&new_folder("alone"), None, 0).unwrap();
    // 13 batches of an epoch are 5 steps: the last of one batch.
    assert_eq!((fit.step, fit.epochs.len()), (25, 5));
    for (case, kills) in
        [vec![1], vec![2, 5, 9], vec![3, 4, 12, 13, 24], vec![25]].iter().enumerate()
    {
        let folder = new_folder(&format!("killed-{case}"));
        for (i, step) in kills.iter().enumerate() {
            set_num_threads(1 + i % 3);
            let error = run_everything(&folder, Some(*step), i % 3).unwrap_err();
            assert_eq!(error.message(), "killed");
        }
        set_num_threads(2);
        let (again, resumed, state) = run_everything(&folder, None, 1).unwrap();
        assert_eq!(again, weights, "{kills:?}");
        assert_eq!(epochs(&resumed), epochs(&fit), "{kills:?}");
        assert_eq!(state.training.names(), last.training.names());
        let files = |c: &Checkpoint| c.to_files().unwrap();
        let (a, b) = (files(&state), files(&last));
        assert!(a[0] == b[0] && a[1] == b[1], "{kills:?}: another state");
    }
}

/// A signal comes between the batches of a step: the gradients so far are saved.
#[cfg(unix)]
#[test]
fn a_step_that_is_half_accumulated_goes_on() {
    let run = |folder: &Path, signal_at: Option<u64>| {
        manual_seed(4);
        let model = network(0.3);
        let objective =
            Signalling { inner: Supervised::new(&model, &loss), seen: Cell::new(0), signal_at };
        let checkpoints =
            Checkpoints { signals: true, ..Checkpoints::new(CheckpointFolder::new(folder)) };
        let steps = Steps::default();
        let mut trainer = Trainer::new(Adam::new(model.parameters(), 0.01))
            .epochs(2)
            .accumulate(4)
            .checkpoints(checkpoints)
            .callback(steps.clone());
        let fit = trainer.fit(&objective, &loader(60, 5), None).unwrap();
        drop(trainer);
        (weight_hash(&model).unwrap(), fit, steps.0.take())
    };
    let (weights, fit, steps) = run(&new_folder("whole-step"), None);
    assert_eq!(fit.step, 6);
    let folder = new_folder("half-step");
    let (_, half, first) = run(&folder, Some(7));
    assert_eq!(half.ended, Ended::Interrupted("SIGTERM"));
    let names = CheckpointFolder::new(&folder).names().unwrap();
    assert_eq!(names, ["step-0000000001.000003"]);
    let (resumed, whole, rest) = run(&folder, None);
    assert_eq!((resumed, epochs(&whole)), (weights, epochs(&fit)));
    // The step that was interrupted says the same of itself, to the bit.
    assert_eq!([first, rest].concat(), steps);
}

#[cfg(unix)]
struct Signalling<'a> {
    inner: Supervised<'a>,
    seen: Cell<u64>,
    signal_at: Option<u64>,
}

#[cfg(unix)]
impl gradus_train::trainer::Objective for Signalling<'_> {
    type Batch = (Tensor, Tensor);
    fn module(&self) -> &dyn Module {
        self.inner.module()
    }
    fn samples(&self, batch: &(Tensor, Tensor)) -> usize {
        self.inner.samples(batch)
    }
    fn cost(&self, batch: &(Tensor, Tensor)) -> gradus_train::trainer::Cost {
        self.seen.set(self.seen.get() + 1);
        if Some(self.seen.get()) == self.signal_at {
            signal_hook::low_level::raise(signal_hook::consts::SIGTERM).unwrap();
        }
        self.inner.cost(batch)
    }
}

/// Hills, one of which cannot be had.
struct Panicking(usize);

impl Dataset for Panicking {
    type Item = (Array<f32>, Array<f32>);

    fn len(&self) -> usize {
        4000
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        assert_ne!(index, self.0, "the decoder is broken");
        Hills(4000).get(index)
    }

    fn describe(&self, index: usize) -> String {
        format!("hill-{index}.png")
    }

    fn name(&self) -> String {
        "hills".to_owned()
    }
}

/// A worker that panics ends the run, with the name of the sample and at once, although other
/// workers go on.
#[test]
fn a_sample_that_panics_is_named_within_a_second() {
    for workers in [0, 3] {
        let model = network(0.0);
        let objective = Supervised::new(&model, &loss);
        let train = DataLoader::new(Panicking(37)).batch_size(8).workers(workers);
        let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).epochs(1);
        let began = Instant::now();
        let error = trainer.fit(&objective, &train, None).unwrap_err();
        let message = error.message();
        for part in ["hills", "hill-37.png", "the decoder is broken"] {
            assert!(message.contains(part), "{workers} workers: {message}");
        }
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "{workers} workers: {:?}",
            began.elapsed()
        );
    }
}

/// After each validation that is worse the best weights come back, also where the run was
/// interrupted after it; with averages, those that were validated.
#[test]
fn the_best_weights_come_back() {
    for ema in [None, Some(0.5)] {
        let run = |folder: Option<&Path>, killed_at, restore| -> Result<(String, Fit)> {
            manual_seed(3);
            let model = network(0.0);
            // At this rate the loss soon rises.
            let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.9).momentum(0.97))
                .epochs(6)
                .validate_every_steps(2)
                .restore_best(restore);
            if let Some(decay) = ema {
                trainer = trainer.ema(decay);
            }
            if let Some(folder) = folder {
                let checkpoints = Checkpoints {
                    every_steps: Some(1),
                    ..Checkpoints::new(CheckpointFolder::new(folder))
                };
                trainer = trainer.checkpoints(checkpoints);
            }
            if let Some(step) = killed_at {
                trainer = trainer.callback(KilledAt(step));
            }
            let seen = Rc::new(RefCell::new(Vec::new()));
            trainer = trainer.callback(Looks(seen.clone()));
            let objective = Supervised::new(&model, &loss);
            let validation = loader(30, 16);
            let fit = trainer.fit(&objective, &loader(40, 8), Some(&validation))?;
            let last = trainer.validate(&objective, &validation)?.loss;
            if restore {
                let looks = seen.borrow();
                if killed_at.is_none() && folder.is_none() {
                    let best = looks.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
                    assert_eq!((fit.restored, last), (Some(best.0), best.1), "{looks:?}");
                    assert!(best.0 < 28, "the best is the last: {looks:?}");
                }
            } else {
                assert_eq!(fit.restored, None);
            }
            Ok((weight_hash(&model)?, fit))
        };
        let (best, fit) = run(None, None, true).unwrap();
        let (last, _) = run(None, None, false).unwrap();
        assert_ne!(best, last);
        let folder = new_folder(&format!("best-{}", ema.is_some()));
        for step in [fit.restored.unwrap() + 3, fit.restored.unwrap() + 5] {
            assert_eq!(run(Some(&folder), Some(step), true).unwrap_err().message(), "killed");
        }
        let (again, resumed) = run(Some(&folder), None, true).unwrap();
        assert_eq!((again, resumed.restored), (best, fit.restored));
    }
}

/// The validations of a run.
struct Looks(Rc<RefCell<Vec<(u64, f64)>>>);

impl Callback for Looks {
    fn on_validation_end(&mut self, v: &Validation, step: u64, _: &mut Control) -> Result<()> {
        self.0.borrow_mut().push((step, v.loss));
        Ok(())
    }
}

#[derive(Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl Log {
    fn add(&self, text: String) -> Result<()> {
        self.0.borrow_mut().push(text);
        Ok(())
    }
}

impl Callback for Log {
    fn on_fit_start(&mut self, start: &FitStart<'_>) -> Result<()> {
        self.add(format!("start {}", start.step))
    }
    fn on_epoch_start(&mut self, epoch: &EpochStart) -> Result<()> {
        self.add(format!("epoch {} of {} batches", epoch.epoch, epoch.batches))
    }
    fn on_step_end(&mut self, step: &StepEnd<'_>, control: &mut Control) -> Result<()> {
        assert!(step.loss.is_evaluated(), "reading the loss would compute it again");
        if step.step == 5 {
            control.stop("enough");
        }
        self.add(format!("step {} batch {} lr {}", step.step, step.batch, step.lr))
    }
    fn on_validation_end(&mut self, v: &Validation, step: u64, _: &mut Control) -> Result<()> {
        self.add(format!("validation at {step} of {}", v.samples))
    }
    fn on_epoch_end(&mut self, epoch: &EpochSummary, _: &mut Control) -> Result<()> {
        self.add(format!("end of epoch {}, {} samples", epoch.epoch, epoch.samples))
    }
    fn on_fit_end(&mut self, fit: &Fit) -> Result<()> {
        self.add(format!("end after {}", fit.step))
    }
}

#[test]
fn callbacks_see_everything_in_order() {
    let model = network(0.0);
    let log = Rc::new(RefCell::new(Vec::new()));
    let mut trainer =
        Trainer::new(SGD::new(model.parameters(), 0.25)).epochs(9).callback(Log(log.clone()));
    let objective = Supervised::new(&model, &loss);
    let fit = trainer.fit(&objective, &loader(12, 4), Some(&loader(6, 6))).unwrap();
    drop(trainer);
    assert_eq!(fit.ended, Ended::Stopped("enough".into()));
    let expected = [
        "start 0",
        "epoch 1 of 3 batches",
        "step 1 batch 1 lr 0.25",
        "step 2 batch 2 lr 0.25",
        "step 3 batch 3 lr 0.25",
        "validation at 3 of 6",
        "end of epoch 1, 12 samples",
        "epoch 2 of 3 batches",
        "step 4 batch 1 lr 0.25",
        "step 5 batch 2 lr 0.25",
        "validation at 5 of 6",
        "end of epoch 2, 8 samples",
        "end after 5",
    ];
    assert_eq!(*log.borrow(), expected);
}

#[test]
fn observing_changes_no_bits_and_compiles_nothing_again() {
    let trained = |validate: Option<u64>| {
        manual_seed(8);
        let model = network(0.5);
        let mut trainer = Trainer::new(Adam::new(model.parameters(), 0.01)).epochs(2);
        if let Some(steps) = validate {
            trainer = trainer.validate_every_steps(steps).callback(Log::default());
        }
        trainer = trainer.steps(4);
        let objective = Supervised::new(&model, &loss);
        trainer.fit(&objective, &loader(16, 8), Some(&loader(7, 7))).unwrap();
        weight_hash(&model).unwrap()
    };
    assert_eq!(trained(None), trained(Some(1)));
    let compiled = plan_stats().compiled;
    trained(Some(1));
    assert_eq!(plan_stats().compiled, compiled);
}

#[test]
fn averages_are_those_of_the_formula() {
    let model = Linear::new(1, 1).bias(false);
    let set = |w: f32| model.weight.set(&Tensor::from_slice(&[w], [1, 1]));
    let get = || model.weight.value().detach().to_vec::<f32>().unwrap()[0];
    set(1.0);
    let mut ema = Ema::new(model.parameters(), 0.5);
    let mut expected = 1.0f64;
    for (t, w) in [2.0, 4.0, 8.0, 3.0, 5.0, 7.0, 9.0, 2.0, 1.0, 6.0].into_iter().enumerate() {
        set(w);
        ema.update().unwrap();
        let decay = f64::min(0.5, (1.0 + t as f64) / (10.0 + t as f64));
        expected = decay * expected + (1.0 - decay) * f64::from(w);
    }
    let state = ema.state_dict();
    ema.swap().unwrap();
    assert!((f64::from(get()) - expected).abs() < 1e-6, "{} {expected}", get());
    ema.swap().unwrap();
    assert_eq!(get(), 6.0);

    let mut again = Ema::new(model.parameters(), 0.5);
    again.load_state_dict(&state).unwrap();
    set(2.0);
    ema.update().unwrap();
    again.update().unwrap();
    assert_eq!(
        ema.state_dict()["0"].to_vec::<f32>().unwrap(),
        again.state_dict()["0"].to_vec::<f32>().unwrap()
    );
}

#[test]
fn runs_end_when_they_should() {
    let model = network(0.0);
    let objective = Supervised::new(&model, &loss);
    let fit = |trainer: Trainer<'_>| {
        let mut trainer = trainer;
        trainer.fit(&objective, &loader(20, 4), Some(&loader(8, 8))).unwrap()
    };
    let new = |lr: f64| Trainer::new(SGD::new(model.parameters(), lr));
    assert_eq!(fit(new(0.1).epochs(3).steps(7)).step, 7);
    assert_eq!(fit(new(0.1).epochs(1).steps(70)).step, 5);
    assert_eq!(fit(new(0.1).epochs(100).fast_dev_run(true)).step, 1);
    assert_eq!(fit(new(0.1).epochs(4).overfit_one_batch(true)).step, 4);
    let timed = fit(new(0.1).time(Duration::from_millis(30)));
    assert!(timed.step > 0 && timed.ended == Ended::Finished);
    // At rate 0 nothing improves: the first look is the best, and two more are waited for.
    let stopped = fit(new(0.0).epochs(10).early_stopping(EarlyStopping::new(2)));
    assert_eq!(stopped.epochs.len(), 3);
    assert!(matches!(stopped.ended, Ended::Stopped(why) if why.starts_with("early stopping")));

    let error = new(0.1).fit(&objective, &loader(8, 4), None).unwrap_err();
    assert!(error.message().contains("say how long to train"), "{error}");
    let mixed = new(0.1).epochs(1).precision(Precision::BF16);
    let error = { mixed }.fit(&objective, &loader(8, 4), None).unwrap_err();
    assert!(error.message().contains("the device cpu offers f32"), "{error}");
}

#[test]
fn the_learning_rate_finder_leaves_no_trace() {
    manual_seed(5);
    let model = network(0.1);
    let mut optimizer = Adam::new(model.parameters(), 0.125);
    let before = weight_hash(&model).unwrap();
    let objective = Supervised::new(&model, &loss);
    let curve = find_lr(&objective, &loader(64, 16), &mut optimizer, 1e-6..100.0, 60).unwrap();
    assert!(curve.rates.len() > 20 && curve.rates.is_sorted());
    assert!(curve.suggestion().is_some());
    assert_eq!(weight_hash(&model).unwrap(), before);
    assert_eq!(optimizer.lr(), 0.125);
    assert!(optimizer.state_dict().is_empty());
}
