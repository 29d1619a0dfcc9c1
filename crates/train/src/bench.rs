//! How fast a configuration trains, and what keeps it from training faster: the job of `gradus bench`.

use std::fmt;
use std::time::{Duration, Instant};

use gradus_data::transforms::MixedParts;
use gradus_data::{Batches, DataLoader, Dataset, Split};
use gradus_nn::{Layer, Module, Sequential};
use gradus_tensor::{Device, Error, ErrorKind, Phase, ProfileReport, Result, manual_seed, profile};
use serde::Serialize;

use crate::config::{AnyLoss, AnyOptimizer};
use crate::data::{DataSpec, Samples};
use crate::metrics::{Mean, Score, thousands};
use crate::resident::{peak_resident_memory, resident_memory};
use crate::{Config, Data};

/// Steps before the clock starts, and for how long at least: plans are compiled, caches and memory filled.
const WARM_UP: (usize, Duration) = (3, Duration::from_millis(300));
/// Without a number of steps, as many as this takes, but at least so many.
const MEASURED: (usize, Duration) = (10, Duration::from_secs(3));
/// Steps that are timed kernel by kernel.
const PROFILED: (usize, Duration) = (5, Duration::from_secs(1));

/// What `gradus bench` has measured. Printed: a few numbers, the table of kernels, a verdict.
#[derive(Clone, Debug)]
pub struct BenchReport {
    /// The dataset's name in the configuration.
    pub data: String,
    /// Samples per step.
    pub batch_size: usize,
    /// Threads that prepare batches.
    pub workers: usize,
    /// What each step took, shortest first.
    pub steps: Vec<Duration>,
    /// The memory that the process held at most, in bytes, where the system says so.
    pub peak_memory: Option<usize>,
    /// Of it, what it held before the model was made: the data and the program.
    pub data_memory: Option<usize>,
    /// Where the time of a step goes.
    pub profile: ProfileReport,
}

/// Measures training steps of a configuration: a fixed number, or about three seconds of them. Nothing is
/// saved.
///
/// The times of `steps` are of steps as `gradus train` runs them, with the wait for their batches; the kernels
/// are timed in further steps, so that timing them costs nothing here.
///
/// # Errors
/// If the data cannot be read, the configuration does not fit them, or a step fails.
pub fn bench(config: &Config, workers: usize, steps: Option<usize>) -> Result<BenchReport> {
    let mut config = config.clone();
    config.check()?;
    let data = config.open(Split::Train)?;
    let data_memory = resident_memory();
    let mut run = Run::new(&mut config, &data, workers)?;
    run.steps(None, WARM_UP)?;
    let mut times = run.steps(steps, MEASURED)?;
    times.sort_unstable();
    let profile = profile();
    run.steps(steps.map(|n| n.clamp(PROFILED.0, 100)), PROFILED)?;
    let mut profile = profile.finish();
    for kernel in &mut profile.kernels {
        kernel.layer = config.layer_name(&kernel.layer);
    }
    Ok(BenchReport {
        data: config.data.name().to_owned(),
        batch_size: run.batch_size,
        workers,
        steps: times,
        peak_memory: peak_resident_memory(),
        data_memory,
        profile,
    })
}

/// What a step needs.
struct Run {
    spec: DataSpec,
    model: Sequential,
    criterion: AnyLoss,
    optimizer: AnyOptimizer,
    loader: DataLoader<MixedParts<Samples>>,
    batches: Batches<MixedParts<Samples>>,
    batch_size: usize,
    device: Device,
    average_loss: Mean,
    score: Score,
}

impl Run {
    fn new(config: &mut Config, data: &Data, workers: usize) -> Result<Run> {
        let spec = data.spec().clone();
        manual_seed(config.seed);
        let model = config.model(&spec)?;
        model.to(config.device)?;
        model.train(true);
        let criterion = config.criterion(&spec)?;
        let optimizer = config.optimizer(&model)?;
        // A last, smaller batch is another plan: it is rare in training, and would be frequent here.
        let batch_size = config.batch_size.min(data.samples().len());
        config.batch_size = batch_size;
        config.drop_last = true;
        let loader = config.loader(data, workers)?;
        Ok(Run {
            device: config.device,
            average_loss: Mean::new(config.device),
            score: Score::new(&spec.task, config.device),
            batches: (&loader).into_iter(),
            spec,
            model,
            criterion,
            optimizer,
            loader,
            batch_size,
        })
    }

    /// Makes so many steps, or else as many as `least` says; what each took.
    fn steps(&mut self, exactly: Option<usize>, least: (usize, Duration)) -> Result<Vec<Duration>> {
        let more = |made: usize, elapsed: Duration| match exactly {
            Some(steps) => made < steps,
            None => made < least.0 || elapsed < least.1,
        };
        let mut times = Vec::new();
        let start = Instant::now();
        let mut last = start;
        while more(times.len(), last - start) {
            self.step()?;
            let now = Instant::now();
            times.push(now - last);
            last = now;
        }
        Ok(times)
    }

    /// A step as in training; epoch follows epoch.
    fn step(&mut self) -> Result<()> {
        let batch = match self.batches.next() {
            Some(batch) => batch,
            None => {
                self.batches = (&self.loader).into_iter();
                let none = || Error::new(ErrorKind::Data, "bench: an epoch has no batches");
                self.batches.next().ok_or_else(none)?
            }
        };
        let (inputs, targets) = batch?;
        let (inputs, targets) = (inputs.to(self.device), targets.to(self.device));
        let (predictions, targets) = self.spec.task.align(self.model.forward(&inputs), targets);
        let loss = (self.criterion)(&predictions, &targets).checked_finite("loss");
        self.optimizer.zero_grad();
        loss.backward();
        self.average_loss.update(&loss, targets.numel());
        self.score.update(&predictions, &targets);
        self.optimizer.step()
    }
}

impl BenchReport {
    /// The time within which a share of the steps were done, such as half of them: the median.
    pub fn quantile(&self, share: f64) -> Duration {
        let last = self.steps.len().saturating_sub(1);
        let at = (share * last as f64).round() as usize;
        self.steps.get(at.min(last)).copied().unwrap_or_default()
    }

    /// Samples a second, by the median step.
    pub fn samples_per_second(&self) -> f64 {
        self.batch_size as f64 / self.quantile(0.5).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Floating-point operations a second, by the median step.
    pub fn flops_per_second(&self) -> f64 {
        self.profile.flops() / self.quantile(0.5).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// The report as JSON, on one line. Times are in milliseconds, memory in bytes.
    pub fn to_json(&self) -> String {
        let json = Json::new(self);
        serde_json::to_string(&json).expect("numbers and texts can be written")
    }
}

/// Steps, rates, memory; the profile.
impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profile = &self.profile;
        let ms = |share| format!("{:.3}", milliseconds(self.quantile(share)));
        let workers = match self.workers {
            0 => "no workers".to_owned(),
            1 => "1 worker".to_owned(),
            n => format!("{n} workers"),
        };
        writeln!(
            f,
            "{}, batches of {}, {} of {} threads, {workers}\n",
            self.data, self.batch_size, profile.threads, profile.processors
        )?;
        writeln!(
            f,
            "step        {} ms, the median of {}; 10% took at most {} ms, 90% {} ms",
            ms(0.5),
            self.steps.len(),
            ms(0.1),
            ms(0.9)
        )?;
        writeln!(f, "samples     {} a second", thousands(self.samples_per_second() as u64))?;
        writeln!(
            f,
            "arithmetic  {:.1} GFLOP/s, {:.0}% of the {:.0} that these threads reach at best",
            self.flops_per_second() / 1e9,
            100.0 * self.flops_per_second() / profile.peak_flops,
            profile.peak_flops / 1e9
        )?;
        writeln!(f, "fork–join   {:.2} µs", 1e6 * profile.fork_join.as_secs_f64())?;
        if let (Some(peak), Some(data)) = (self.peak_memory, self.data_memory) {
            let megabytes = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
            writeln!(
                f,
                "memory      {} at most; {} before training, with the data",
                megabytes(peak),
                megabytes(data)
            )?;
        }
        write!(f, "\n{profile}")
    }
}

fn milliseconds(time: Duration) -> f64 {
    1e3 * time.as_secs_f64()
}

/// The report as it is written.
#[derive(Serialize)]
struct Json<'a> {
    data: &'a str,
    batch_size: usize,
    threads: usize,
    processors: usize,
    workers: usize,
    steps: usize,
    step_ms: f64,
    step_ms_p10: f64,
    step_ms_p90: f64,
    samples_per_second: f64,
    gflops: f64,
    peak_gflops: f64,
    fork_join_us: f64,
    peak_memory: Option<usize>,
    data_memory: Option<usize>,
    waiting_ms: f64,
    recording_ms: f64,
    computing_ms: f64,
    forward_ms: f64,
    backward_ms: f64,
    update_ms: f64,
    kernels: Vec<JsonKernel<'a>>,
    verdict: JsonVerdict,
}

#[derive(Serialize)]
struct JsonKernel<'a> {
    layer: &'a str,
    phase: String,
    kernel: &'a str,
    count: f64,
    ms: f64,
    busy_ms: f64,
    flops: f64,
    bytes: f64,
}

#[derive(Serialize)]
struct JsonVerdict {
    share: f64,
    reason: String,
    remedy: String,
}

impl<'a> Json<'a> {
    fn new(report: &'a BenchReport) -> Json<'a> {
        let profile = &report.profile;
        let verdict = profile.verdict();
        Json {
            data: &report.data,
            batch_size: report.batch_size,
            threads: profile.threads,
            processors: profile.processors,
            workers: report.workers,
            steps: report.steps.len(),
            step_ms: milliseconds(report.quantile(0.5)),
            step_ms_p10: milliseconds(report.quantile(0.1)),
            step_ms_p90: milliseconds(report.quantile(0.9)),
            samples_per_second: report.samples_per_second(),
            gflops: report.flops_per_second() / 1e9,
            peak_gflops: profile.peak_flops / 1e9,
            fork_join_us: 1e6 * profile.fork_join.as_secs_f64(),
            peak_memory: report.peak_memory,
            data_memory: report.data_memory,
            waiting_ms: milliseconds(profile.waiting),
            recording_ms: milliseconds(profile.recording),
            computing_ms: milliseconds(profile.computing),
            forward_ms: milliseconds(profile.phase(Phase::Forward)),
            backward_ms: milliseconds(profile.phase(Phase::Backward)),
            update_ms: milliseconds(profile.phase(Phase::Update)),
            kernels: profile
                .kernels
                .iter()
                .map(|k| JsonKernel {
                    layer: &k.layer,
                    phase: k.phase.to_string(),
                    kernel: &k.kernel,
                    count: k.count,
                    ms: milliseconds(k.time),
                    busy_ms: milliseconds(k.busy),
                    flops: k.flops,
                    bytes: k.bytes,
                })
                .collect(),
            verdict: JsonVerdict {
                share: verdict.share,
                reason: verdict.reason,
                remedy: verdict.remedy,
            },
        }
    }
}
