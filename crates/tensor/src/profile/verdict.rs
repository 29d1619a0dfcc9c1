//! The verdict of a profile: the part of a step that could be saved, and how.
//!
//! Each rule looks for one reason why a step is slower than it could be, and says which share of the step it
//! costs. The one that costs most is the verdict. A rule of another kind is one more function in [`RULES`].

use std::fmt;
use std::time::Duration;

use super::kernels::Phase;
use super::report::{ProfileReport, span};

/// What costs the most time that could be saved, and the remedy. Printed:
/// `62% waiting for photos: use 4 workers`.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The share of the step that goes there.
    pub share: f64,
    /// What takes it.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// The share of the step that the remedy would save at best.
    pub saves: f64,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.share > 0.0 {
            write!(f, "{:.0}% ", 100.0 * self.share)?;
        }
        write!(f, "{}: {}", self.reason, self.remedy)
    }
}

/// The reasons for a slow step.
const RULES: [fn(&ProfileReport) -> Option<Verdict>; 6] =
    [waiting, compiling, recording, threads, small_kernels, lone_thread];
/// Less is not worth a word.
const WORTH: f64 = 0.1;
/// Kernels that take no longer than this many launches are mostly launch.
const LAUNCHES: u32 = 4;

/// The verdict on a profile.
pub(super) fn verdict(report: &ProfileReport) -> Verdict {
    let reasons = RULES.iter().filter_map(|rule| rule(report)).filter(|v| v.saves >= WORTH);
    reasons.max_by(|a, b| a.saves.total_cmp(&b.saves)).unwrap_or_else(|| largest(report))
}

/// The loader does not keep up.
fn waiting(report: &ProfileReport) -> Option<Verdict> {
    let share = report.share(report.waiting);
    let (data, workers) = report.data.as_ref()?;
    let rest = report.step.saturating_sub(report.waiting).as_secs_f64();
    // Without workers the wait is the work of a batch; with them, they are busy for the whole step.
    let work = match workers {
        0 => report.waiting.as_secs_f64(),
        n => *n as f64 * report.step.as_secs_f64(),
    };
    let needed = (work / rest.max(f64::MIN_POSITIVE)).ceil().max(1.0);
    let enough = needed <= report.processors as f64 && needed as usize > *workers;
    let remedy = match enough {
        true if needed == 1.0 => "use 1 worker".to_owned(),
        true => format!("use {needed} workers"),
        false if *workers < report.processors => format!(
            "use {} workers, one for each processor, and keep in memory what they decode",
            report.processors
        ),
        false => "keep decoded samples in memory, or prepare smaller ones beforehand".to_owned(),
    };
    let reason = format!("waiting for data, {data}");
    Some(Verdict { share, reason, remedy, saves: share })
}

/// Nearly every step is compiled anew.
fn compiling(report: &ProfileReport) -> Option<Verdict> {
    let all = report.warm_up + report.step * u32::try_from(report.steps).unwrap_or(u32::MAX);
    let share = report.warm_up.as_secs_f64() / all.as_secs_f64().max(f64::MIN_POSITIVE);
    (report.compiled > report.steps.max(2)).then(|| Verdict {
        share,
        reason: format!("compiling {} plans", report.compiled),
        remedy: "shapes change from step to step; pad to a few fixed ones".to_owned(),
        saves: share,
    })
}

/// The loop's own thread does something else than computing.
fn recording(report: &ProfileReport) -> Option<Verdict> {
    let share = report.share(report.recording);
    (report.steps > 0).then(|| Verdict {
        share,
        reason: "recording the steps, and in the loop's own code".to_owned(),
        remedy: "a larger batch takes no longer to record".to_owned(),
        saves: share,
    })
}

/// There are more processors than threads.
fn threads(report: &ProfileReport) -> Option<Verdict> {
    let (threads, processors) = (report.threads as f64, report.processors as f64);
    let share = report.share(report.computing);
    // Kernels that are too small to share out gain nothing.
    let shared = report.kernels.iter().filter(|k| !is_small(report, k.time, k.count));
    let shared = report.share(shared.map(|k| k.time).sum());
    (threads < processors).then(|| Verdict {
        share,
        reason: format!("computing on {threads} of {processors} processors"),
        remedy: format!("use {processors} threads"),
        saves: shared * (1.0 - threads / processors),
    })
}

/// Kernels so short that they are mostly launch.
fn small_kernels(report: &ProfileReport) -> Option<Verdict> {
    let small = || report.kernels.iter().filter(|k| is_small(report, k.time, k.count));
    let share = report.share(small().map(|k| k.time).sum());
    let count: f64 = small().map(|k| k.count).sum();
    let each = small().map(|k| k.time).sum::<Duration>().div_f64(count.max(1.0));
    (count >= 1.0).then(|| Verdict {
        share,
        reason: format!("in {count:.0} kernels of {} each, mostly their launch", span(each)),
        remedy: "use a larger batch".to_owned(),
        saves: 0.5 * share,
    })
}

/// A kernel that one thread runs while the others wait.
fn lone_thread(report: &ProfileReport) -> Option<Verdict> {
    let large = report.kernels.iter().filter(|k| !is_small(report, k.time, k.count));
    let idle = |k: &super::KernelProfile| (1.0 - k.threads() / report.threads as f64).max(0.0);
    let cost = |k: &super::KernelProfile| idle(k) * k.time.as_secs_f64();
    let kernel = large.max_by(|a, b| cost(a).total_cmp(&cost(b)))?;
    let share = report.share(kernel.time);
    Some(Verdict {
        share,
        reason: format!(
            "in {}, which keeps {:.1} of {} threads busy",
            place(kernel),
            kernel.threads(),
            report.threads
        ),
        remedy: "a larger batch divides better".to_owned(),
        saves: share * idle(kernel),
    })
}

/// Nothing is in the way; what the step is made of.
fn largest(report: &ProfileReport) -> Verdict {
    let Some(kernel) = report.kernels.first().filter(|_| report.steps > 0) else {
        return Verdict {
            share: 0.0,
            reason: "nothing was measured".to_owned(),
            remedy: match report.compiled {
                0 => "no plan has run on this thread; put the profile around whole steps",
                _ => "every plan was compiled first; profile more steps",
            }
            .to_owned(),
            saves: 0.0,
        };
    };
    let peak = kernel.flops_per_second() / report.peak_flops;
    let remedy = match kernel.phase {
        Phase::Update => "an update takes as long for any batch; use a larger one".to_owned(),
        _ if peak >= 0.1 => format!(
            "it runs at {:.0}% of the peak; only a smaller layer or more processors help",
            100.0 * peak
        ),
        _ => format!(
            "it moves {:.1} GB/s and computes little; fewer or smaller activations help",
            kernel.bytes_per_second() / 1e9
        ),
    };
    let share = report.share(kernel.time);
    Verdict { share, reason: format!("in {}", place(kernel)), remedy, saves: 0.0 }
}

/// `layer 3, backward, matmul [64, 10]·[10, 512]`.
fn place(kernel: &super::KernelProfile) -> String {
    match kernel.layer.as_str() {
        "" => format!("{}, {}", kernel.phase, kernel.kernel),
        layer => format!("layer {layer}, {}, {}", kernel.phase, kernel.kernel),
    }
}

fn is_small(report: &ProfileReport, time: Duration, count: f64) -> bool {
    time.div_f64(count.max(1.0)) < report.fork_join * LAUNCHES
}
