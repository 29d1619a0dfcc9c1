//! The plan cache: compiled plans by what they compute.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::panic::Location;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use gradus_cpu::buffer::Buffer;
use gradus_cpu::{Executable, Times};
use gradus_ir::graph::Graph;
use gradus_ir::ops::CheckFailure;
use gradus_ir::schedule::{self, Donation, Plan};
use gradus_ir::{Array, Scalar, interpret};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::device::{Device, Storage};

/// How many plans are kept; the one unused for longest goes first.
const CAPACITY: usize = 64;
/// A line whose computation is compiled this often in a row is named in a warning.
const SUSPICIOUS: u32 = 16;

/// What decides which plan runs. Scalars in the code are not part of it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Key {
    pub graph: Graph,
    pub donations: Vec<Donation>,
    pub device: Device,
}

/// A compiled computation.
pub(crate) enum Program {
    Cpu(Box<OnCpu>),
    Reference(Graph),
}

/// A plan for the processor.
pub(crate) struct OnCpu {
    /// What usually runs.
    quick: Executable,
    /// What decides when a check of a plan that presumes has failed.
    exact: Option<Exact>,
}

/// The plan with every check that was asked for, made when it is first needed.
struct Exact {
    graph: Graph,
    donations: Vec<Donation>,
    made: OnceLock<Executable>,
    /// Whether it has found all checks to hold: then it is what runs from now on.
    preferred: AtomicBool,
}

/// What one run of a plan costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanCost {
    /// Floating-point operations: two per multiply–add of a product, one per element and op of a
    /// fused loop.
    pub flops: usize,
    /// Bytes that kernels read and write.
    pub bytes: usize,
    /// Bytes of memory for what lives only while the plan runs.
    pub arena: usize,
    /// Bytes of memory for the results, without those that overwrite an input.
    pub outputs: usize,
}

#[derive(Default)]
pub(crate) struct PlanCache {
    plans: FxHashMap<u64, Vec<Entry>>,
    len: usize,
    clock: u64,
    /// Compilations in a row, by the line that asked; a line that has been named keeps its count, so that it is
    /// named once.
    streaks: HashMap<&'static Location<'static>, u32>,
}

struct Entry {
    key: Key,
    program: Arc<Program>,
    used: u64,
}

/// A plan from the cache.
pub(crate) struct Found {
    pub program: Arc<Program>,
    /// Whether it had to be compiled.
    pub compiled: bool,
}

impl PlanCache {
    /// The plan for a key, compiled if it is new. Takes the key's contents only then. `line` is what evaluates it,
    /// or nothing where a plan is only looked at: that is no sign of a loop that keeps recompiling.
    pub(crate) fn find(
        &mut self,
        key: &mut Key,
        line: Option<&'static Location<'static>>,
    ) -> Found {
        self.clock += 1;
        let hash = FxBuildHasher.hash_one(&*key);
        if let Some(entry) =
            self.plans.get_mut(&hash).and_then(|list| list.iter_mut().find(|e| e.key == *key))
        {
            entry.used = self.clock;
            if let Some(streak) = line.and_then(|line| self.streaks.get_mut(line)) {
                *streak = if *streak < SUSPICIOUS { 0 } else { *streak };
            }
            return Found { program: entry.program.clone(), compiled: false };
        }
        if let Some(line) = line {
            self.note_miss(line);
        }
        if self.len == CAPACITY {
            self.evict();
        }
        let key = std::mem::take(key);
        let program = Arc::new(Program::compile(&key));
        let entry = Entry { key, program: program.clone(), used: self.clock };
        self.plans.entry(hash).or_default().push(entry);
        self.len += 1;
        Found { program, compiled: true }
    }

    /// Forgets every plan.
    pub(crate) fn clear(&mut self) {
        *self = PlanCache::default();
    }

    fn evict(&mut self) {
        let entries =
            self.plans.iter().flat_map(|(hash, list)| list.iter().map(|e| (e.used, *hash)));
        let Some((used, hash)) = entries.min() else { return };
        if let Some(list) = self.plans.get_mut(&hash) {
            list.retain(|e| e.used != used);
            if list.is_empty() {
                self.plans.remove(&hash);
            }
            self.len -= 1;
        }
    }

    fn note_miss(&mut self, line: &'static Location<'static>) {
        let streak = self.streaks.entry(line).or_default();
        *streak = streak.saturating_add(1);
        if *streak == SUSPICIOUS {
            eprintln!(
                "gradus: warning: what is evaluated at {line} has been compiled {SUSPICIOUS} times in a row: \
                 its shapes or its structure change every time. Pad to a few fixed shapes, or keep sizes that \
                 change out of slices and reshapes."
            );
        }
    }
}

impl Program {
    fn compile(key: &Key) -> Program {
        match key.device {
            Device::Cpu => {
                let plan = schedule::compile(&key.graph, &key.donations, &gradus_cpu::BACKEND);
                let exact = plan.presumes.then(|| Exact {
                    graph: key.graph.clone(),
                    donations: key.donations.clone(),
                    made: OnceLock::new(),
                    preferred: AtomicBool::new(false),
                });
                Program::Cpu(Box::new(OnCpu { quick: Executable::new(plan), exact }))
            }
            Device::Reference => Program::Reference(key.graph.clone()),
        }
    }

    /// Runs it, and adds what its kernels took to `times`. Buffers that it overwrites must have no other owner;
    /// after a failed check they are unchanged.
    pub(crate) fn run(
        &self,
        inputs: &mut Vec<Storage>,
        slots: &[Scalar],
        times: Option<&mut Times>,
    ) -> Result<Vec<Storage>, CheckFailure> {
        match self {
            Program::Cpu(program) => {
                let mut buffers: Vec<Arc<Buffer>> = inputs
                    .drain(..)
                    .map(|s| match s {
                        Storage::Cpu(b) => b,
                        Storage::Reference(_) => unreachable!("plans have one device"),
                    })
                    .collect();
                let outputs = program.run(&mut buffers, slots, times);
                inputs.extend(buffers.into_iter().map(Storage::Cpu));
                Ok(outputs?.into_iter().map(Storage::Cpu).collect())
            }
            Program::Reference(graph) => {
                let arrays: Vec<Array> = inputs
                    .iter()
                    .map(|s| match s {
                        Storage::Reference(a) => (**a).clone(),
                        Storage::Cpu(_) => unreachable!("plans have one device"),
                    })
                    .collect();
                let outputs = interpret(graph, &arrays, slots)?;
                Ok(outputs.into_iter().map(|a| Storage::Reference(Arc::new(a))).collect())
            }
        }
    }

    /// The plan, on a device that has plans.
    pub(crate) fn plan(&self) -> Option<&Plan> {
        match self {
            Program::Cpu(program) => Some(program.quick.plan()),
            Program::Reference(_) => None,
        }
    }

    /// What a run costs.
    pub(crate) fn cost(&self) -> PlanCost {
        match self {
            Program::Cpu(program) => {
                let plan = program.quick.plan();
                PlanCost {
                    flops: plan.flops(),
                    bytes: plan.bytes(),
                    arena: program.quick.workspace_bytes(),
                    outputs: plan.output_bytes(),
                }
            }
            Program::Reference(_) => PlanCost::default(),
        }
    }

    /// The plan as a table.
    pub(crate) fn explain(&self) -> String {
        match self {
            Program::Cpu(program) => program.quick.plan().to_string(),
            Program::Reference(graph) => format!("interpreted node by node:\n{graph}"),
        }
    }
}

impl OnCpu {
    fn run(
        &self,
        buffers: &mut [Arc<Buffer>],
        slots: &[Scalar],
        times: Option<&mut Times>,
    ) -> Result<Vec<Arc<Buffer>>, CheckFailure> {
        let Some(exact) = &self.exact else { return self.quick.run_with(buffers, slots, times) };
        if !exact.preferred.load(Ordering::Relaxed) {
            let outcome = self.quick.run_with(buffers, slots, times);
            if outcome.is_ok() {
                return outcome;
            }
        }
        let executable = exact.made.get_or_init(|| {
            let (graph, donations) = (&exact.graph, &exact.donations);
            Executable::new(schedule::compile_exact(graph, donations, &gradus_cpu::BACKEND))
        });
        // The times are those of the other plan's kernels.
        let outcome = executable.run(buffers, slots);
        exact.preferred.store(outcome.is_ok(), Ordering::Relaxed);
        outcome
    }
}
