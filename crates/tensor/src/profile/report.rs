//! What a profile has found: the parts of a step, a table of kernels, a verdict.

use std::fmt;
use std::thread::available_parallelism;
use std::time::Duration;

use gradus_cpu::pool::{fork_join_latency, num_threads};
use gradus_cpu::{Times, peak_flops};
use gradus_ir::schedule::Plan;

use super::kernels::{Phase, labels};
use super::verdict::{Verdict, verdict};
use super::{Measured, Recording};

/// Rows of the table; kernels beyond them share one.
const ROWS: usize = 12;

/// Where the time of steps went. Times are means over the steps; the parts add up to the step.
///
/// What a *step* is follows from the plans: the plan that takes the most time runs once in each. Printed, a
/// report is a table of the kernels that take the most time, and the [`verdict`](ProfileReport::verdict).
#[derive(Clone, Debug)]
pub struct ProfileReport {
    /// How many steps were measured, without those whose plans were compiled.
    pub steps: usize,
    /// From the end of one step to the end of the next.
    pub step: Duration,
    /// Of it, waiting for the loader.
    pub waiting: Duration,
    /// Of it, running plans.
    pub computing: Duration,
    /// Of it, everything else: recording the step, finding its plan, the program's own code.
    pub recording: Duration,
    /// Plans that were compiled, and the time until they had first run. Not part of the steps.
    pub compiled: usize,
    /// See `compiled`.
    pub warm_up: Duration,
    /// Every kernel of a step, the one that takes longest first; kernels that are called the same are one.
    pub kernels: Vec<KernelProfile>,
    /// Threads that compute.
    pub threads: usize,
    /// Threads that the machine runs at once.
    pub processors: usize,
    /// Floating-point operations a second that these threads reach at best: fused multiply–adds in registers.
    pub peak_flops: f64,
    /// What a launch costs: to fork to every thread and to join them.
    pub fork_join: Duration,
    /// What the loader reads, and the threads that help it; if there was a loader.
    pub data: Option<(String, usize)>,
}

/// What a kernel takes in a step.
#[derive(Clone, Debug)]
pub struct KernelProfile {
    /// The path of the layer whose parameters it reads, or whose gradients it computes; otherwise empty.
    pub layer: String,
    /// The part of the step.
    pub phase: Phase,
    /// What it computes: `matmul [64, 784]·[784, 512]`.
    pub kernel: String,
    /// How often it runs in a step.
    pub count: f64,
    /// Its share of the clock. Kernels that run side by side share it by what they keep busy.
    pub time: Duration,
    /// What threads spent in it, summed over them.
    pub busy: Duration,
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written.
    pub bytes: f64,
}

impl ProfileReport {
    pub(super) fn new(recording: Recording) -> ProfileReport {
        let Recording { steady, warm_up, compiled, plans, source, .. } = recording;
        let longest = plans.iter().max_by_key(|plan| plan.computing);
        let steps = longest.map_or(0, |plan| plan.runs);
        let mean = |sum: Duration| sum.div_f64(steps.max(1) as f64);
        let mut kernels = Vec::new();
        for plan in &plans {
            add_kernels(&mut kernels, plan, steps);
        }
        kernels.sort_by_key(|kernel| std::cmp::Reverse(kernel.time));
        ProfileReport {
            steps,
            step: mean(steady.whole),
            waiting: mean(steady.waiting),
            computing: mean(steady.computing),
            recording: mean(steady.whole.saturating_sub(steady.waiting + steady.computing)),
            compiled,
            warm_up,
            kernels,
            threads: num_threads(),
            processors: available_parallelism().map_or(1, |n| n.get()),
            peak_flops: peak_flops(),
            fork_join: fork_join_latency(),
            data: source,
        }
    }

    /// What takes the most time that could be saved, and what to do about it.
    pub fn verdict(&self) -> Verdict {
        verdict(self)
    }

    /// Floating-point operations of a step.
    pub fn flops(&self) -> f64 {
        self.kernels.iter().map(|kernel| kernel.flops).sum()
    }

    /// What the kernels of a phase take.
    pub fn phase(&self, phase: Phase) -> Duration {
        self.kernels.iter().filter(|k| k.phase == phase).map(|k| k.time).sum()
    }

    /// A time as a share of the step.
    pub(super) fn share(&self, time: Duration) -> f64 {
        if self.step.is_zero() { 0.0 } else { time.div_duration_f64(self.step) }
    }
}

impl KernelProfile {
    /// Floating-point operations a second.
    pub fn flops_per_second(&self) -> f64 {
        self.flops / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Bytes read and written in a second.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// How many threads it keeps busy, on average.
    pub fn threads(&self) -> f64 {
        self.busy.as_secs_f64() / self.time.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}

/// Adds what the kernels of a plan take in a step.
fn add_kernels(kernels: &mut Vec<KernelProfile>, measured: &Measured, steps: usize) {
    let (Some(plan), Some(times)) = (measured.program.plan(), &measured.times) else { return };
    let (runs, steps) = (measured.runs as f64, steps.max(1) as f64);
    for ((k, label), time) in
        labels(plan, &measured.names).into_iter().enumerate().zip(on_clock(plan, times))
    {
        let kernel = &plan.kernels[k];
        let what = plan.describe(kernel);
        // The updates of all parameters are one line.
        let layer = if plan.overwrites(kernel) { String::new() } else { label.layer };
        let same = |known: &KernelProfile| {
            known.phase == label.phase && known.layer == layer && known.kernel == what
        };
        let at = kernels.iter().position(same).unwrap_or_else(|| {
            kernels.push(KernelProfile {
                layer: layer.clone(),
                phase: label.phase,
                kernel: what.clone(),
                count: 0.0,
                time: Duration::ZERO,
                busy: Duration::ZERO,
                flops: 0.0,
                bytes: 0.0,
            });
            kernels.len() - 1
        });
        let row = &mut kernels[at];
        row.count += runs / steps;
        row.time += time.div_f64(steps);
        row.busy += times.busy(k).div_f64(steps);
        row.flops += plan.kernel_flops(kernel) as f64 * runs / steps;
        row.bytes += plan.kernel_bytes(kernel) as f64 * runs / steps;
    }
}

/// What each kernel took on the clock: its part of its wave, by what it kept busy.
fn on_clock(plan: &Plan, times: &Times) -> Vec<Duration> {
    let mut clock = vec![Duration::ZERO; plan.kernels.len()];
    for (w, wave) in plan.waves.iter().enumerate() {
        let busy: Duration = wave.iter().map(|&k| times.busy(k)).sum();
        for &k in wave {
            let part = times.busy(k).as_secs_f64() / busy.as_secs_f64().max(f64::MIN_POSITIVE);
            clock[k] = times.elapsed(w).mul_f64(part);
        }
    }
    clock
}

/// The parts of the step, the table, the verdict.
impl fmt::Display for ProfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.steps == 0 {
            return write!(f, "{}", self.verdict());
        }
        let percent = |time| format!("{:.0}%", 100.0 * self.share(time));
        let rate = self.flops() / self.step.as_secs_f64().max(f64::MIN_POSITIVE);
        writeln!(
            f,
            "{} steps of {} with {} of {} threads: {} waiting for data, {} recording, {} computing",
            self.steps,
            span(self.step),
            self.threads,
            self.processors,
            percent(self.waiting),
            percent(self.recording),
            percent(self.computing),
        )?;
        write!(
            f,
            "{:.2} GFLOP/s, {:.0}% of the peak of {:.0}",
            rate / 1e9,
            100.0 * rate / self.peak_flops,
            self.peak_flops / 1e9
        )?;
        let phases = Phase::ALL.map(|phase| format!("{} {phase}", percent(self.phase(phase))));
        writeln!(f, "; {}\n", phases.join(", "))?;
        self.table(f)?;
        write!(f, "\n{}", self.verdict())
    }
}

impl ProfileReport {
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, rest) = self.kernels.split_at(self.kernels.len().min(ROWS));
        let width = |least: &str, of: fn(&KernelProfile) -> usize| {
            shown.iter().map(of).max().unwrap_or(0).max(least.len())
        };
        let layer = width("layer", |k| k.layer.chars().count());
        let kernel = width("kernel", |k| title(k).chars().count());
        writeln!(
            f,
            "{:>9}  {:>5}  {:<layer$}  {:<8}  {:<kernel$}  {:>7}  {:>4}  {:>6}  {:>7}",
            "time", "share", "layer", "phase", "kernel", "GFLOP/s", "peak", "GB/s", "threads"
        )?;
        for k in shown {
            writeln!(
                f,
                "{:>9}  {:>4.0}%  {:<layer$}  {:<8}  {:<kernel$}  {:>7.1}  {:>3.0}%  {:>6.1}  {:>7.1}",
                span(k.time),
                100.0 * self.share(k.time),
                k.layer,
                k.phase,
                title(k),
                k.flops_per_second() / 1e9,
                100.0 * k.flops_per_second() / self.peak_flops,
                k.bytes_per_second() / 1e9,
                k.threads(),
            )?;
        }
        let mut remainder = |time: Duration, what: String| {
            writeln!(f, "{:>9}  {:>4.0}%  {what}", span(time), 100.0 * self.share(time))
        };
        if !rest.is_empty() {
            remainder(rest.iter().map(|k| k.time).sum(), format!("{} others", rest.len()))?;
        }
        let kernels: Duration = self.kernels.iter().map(|k| k.time).sum();
        remainder(self.computing.saturating_sub(kernels), "between the kernels".to_owned())
    }
}

/// A kernel, and how often it runs if that is more than once.
fn title(kernel: &KernelProfile) -> String {
    match kernel.count.round() {
        ..=1.0 => kernel.kernel.clone(),
        n => format!("{n} × {}", kernel.kernel),
    }
}

/// A time to three places: `1.23 ms`.
pub(super) fn span(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (number, unit) = match seconds {
        ..1e-3 => (1e6 * seconds, "µs"),
        ..1.0 => (1e3 * seconds, "ms"),
        _ => (seconds, "s"),
    };
    let digits = match number {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{number:.digits$} {unit}")
}
