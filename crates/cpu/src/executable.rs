//! A compiled plan made ready to run: kernels with their sizes worked out, tasks listed wave by wave.

use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};

use gradus_ir::Scalar;
use gradus_ir::ops::CheckFailure;
use gradus_ir::schedule::{Place, Plan};

use crate::buffer::{ALIGN, Buffer};
use crate::kernels::{Kernel, Slice, prepare};
use crate::memory::{Address, Memory, Scratch, Workspace, lock};
use crate::pool::pool;
use crate::times::Times;

/// A plan ready to run, any number of times and from any thread.
///
/// A run allocates nothing but its outputs. Each wave is one launch of the pool; what its tasks are follows
/// from the plan alone, so that any number of threads gives the same bits.
pub struct Executable {
    plan: Plan,
    kernels: Vec<Box<dyn Kernel>>,
    waves: Vec<Wave>,
    /// Where the kernels' scratch memory starts in the arena, and where it ends.
    scratch: usize,
    arena: usize,
    counters: usize,
}

/// Kernels that run side by side, or what some of them do before.
struct Wave {
    /// Which of the plan's.
    number: usize,
    /// Whether every check must have passed before it.
    gate: bool,
    tasks: Vec<Task>,
    /// Whether it is too small to share out.
    inline: bool,
}

/// What a thread does in one go.
#[derive(Clone, Copy)]
enum Task {
    /// One task of a kernel.
    Kernel { kernel: u32, task: u32 },
    /// All kernels of a region on one slice of the batch.
    Region { region: u32, slice: u32 },
}

/// A task, and where it lies among those of its kernel: from 0 for the first to 1 for the last.
type Placed = (f64, Task);

fn placed(tasks: impl ExactSizeIterator<Item = Task>) -> impl Iterator<Item = Placed> {
    let all = tasks.len() as f64;
    tasks.enumerate().map(move |(i, task)| ((i as f64 + 0.5) / all, task))
}

/// The tasks of several kernels such that a thread, which gets a range of them, gets the same part of each kernel:
/// the part that it had of the kernels before and will have of those to come, and whose data its cache has.
fn in_order(mut tasks: Vec<Placed>) -> Vec<Task> {
    tasks.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    tasks.into_iter().map(|(_, task)| task).collect()
}

/// Waves that cost less run on the calling thread.
const SMALL: usize = 48 << 10;

impl Executable {
    /// Prepares a plan.
    pub fn new(plan: Plan) -> Executable {
        let mut scratch = Scratch::default();
        let mut kernels: Vec<Option<Box<dyn Kernel>>> = plan.kernels.iter().map(|_| None).collect();
        let mut waves = Vec::with_capacity(plan.waves.len());
        for (number, wave) in plan.waves.iter().enumerate() {
            scratch.next_wave();
            let (mut before, mut tasks): (Vec<Placed>, Vec<Placed>) = (Vec::new(), Vec::new());
            let mut cost = 0;
            for &k in wave {
                let kernel = prepare(&plan.kernels[k], &plan, &mut scratch);
                if !plan.regions.iter().any(|r| r.kernels.contains(&k)) {
                    let [first, all] = [kernel.before(), kernel.tasks()].map(|n| n as u32);
                    let task = |task| Task::Kernel { kernel: k as u32, task };
                    before.extend(placed((0..first).map(task)));
                    tasks.extend(placed((first..all).map(task)));
                }
                cost += kernel.cost();
                kernels[k] = Some(kernel);
            }
            for (r, region) in plan.regions.iter().enumerate() {
                if wave.contains(&region.kernels[0]) {
                    let slices = 0..Slice::count(region.batch) as u32;
                    tasks.extend(placed(
                        slices.map(|slice| Task::Region { region: r as u32, slice }),
                    ));
                }
            }
            let (inline, mut gate) = (cost < SMALL, number == plan.gate);
            if !before.is_empty() {
                waves.push(Wave { number, gate, tasks: in_order(before), inline });
                gate = false;
            }
            waves.push(Wave { number, gate, tasks: in_order(tasks), inline });
        }
        let start = plan.arena.next_multiple_of(ALIGN);
        Executable {
            kernels: kernels.into_iter().flatten().collect(),
            waves,
            scratch: start,
            arena: start + scratch.bytes,
            counters: scratch.counters,
            plan,
        }
    }

    /// What it runs.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Bytes of scratch memory that a run borrows from the process: the plan's arena, and the partial results
    /// of reductions and products.
    pub fn workspace_bytes(&self) -> usize {
        self.arena
    }

    /// Runs the plan on the graph's inputs, contiguous and row-major, and its slots.
    ///
    /// A donated input that nobody else holds is overwritten, otherwise it is replaced by a copy that is;
    /// either way it afterwards is the buffer of the output it became.
    ///
    /// # Errors
    /// The first check, in the order of the graph, that failed, with the first element that did. The inputs
    /// are then as they were, donated ones included.
    ///
    /// # Panics
    /// If an input or slot is missing, or an input has another size than the graph says.
    pub fn run(
        &self,
        inputs: &mut [Arc<Buffer>],
        slots: &[Scalar],
    ) -> Result<Vec<Arc<Buffer>>, CheckFailure> {
        self.run_with(inputs, slots, None)
    }

    /// As [`run`](Executable::run), and adds what each kernel took to `times`, which must be those of this plan.
    ///
    /// # Errors
    /// As [`run`](Executable::run).
    pub fn run_with(
        &self,
        inputs: &mut [Arc<Buffer>],
        slots: &[Scalar],
        mut times: Option<&mut Times>,
    ) -> Result<Vec<Arc<Buffer>>, CheckFailure> {
        let mut workspace = Workspace::take();
        let arena = workspace.arena.ensure(self.arena);
        let mut fresh: Vec<(usize, Arc<Buffer>)> = Vec::new();
        let mut copies: Vec<(usize, Arc<Buffer>)> = Vec::new();
        workspace.values.clear();
        for (v, value) in self.plan.values.iter().enumerate() {
            let address = match value.place {
                Place::Arena(offset) => arena.wrapping_add(offset),
                Place::Nowhere => std::ptr::null_mut(),
                Place::Output => {
                    let mut buffer = Arc::new(Buffer::stale(value.ty.bytes()));
                    let address = unique(&mut buffer);
                    fresh.push((v, buffer));
                    address
                }
                Place::Input(i) => {
                    let given = &inputs[i as usize];
                    assert_eq!(given.len(), value.ty.bytes(), "bytes of input {i}, {}", value.ty);
                    given.as_ptr().cast_mut()
                }
                Place::Donated(i) => {
                    let given = &mut inputs[i as usize];
                    assert_eq!(given.len(), value.ty.bytes(), "bytes of input {i}, {}", value.ty);
                    match Arc::get_mut(given) {
                        Some(buffer) => buffer.as_mut_ptr(),
                        None => {
                            let copy = Buffer::from_slice(given.as_slice::<u8>());
                            copies.push((i as usize, Arc::new(copy)));
                            let (_, copy) = copies.last_mut().expect("just pushed");
                            unique(copy)
                        }
                    }
                }
            };
            workspace.values.push(Address(address));
        }
        if workspace.counters.len() < self.counters {
            workspace.counters.resize_with(self.counters, AtomicU32::default);
        }
        let failure = Mutex::new(None);
        let memory = Memory {
            values: &workspace.values,
            scratch: arena.wrapping_add(self.scratch),
            counters: &workspace.counters,
            slots,
            failure: &failure,
        };
        for wave in &self.waves {
            if wave.gate && lock(&failure).is_some() {
                break;
            }
            self.run_wave(wave, &memory, times.as_deref_mut().map(|times| (wave.number, times)));
        }
        workspace.give_back();
        if let Some(failure) = lock(&failure).take() {
            return Err(failure);
        }
        for (i, copy) in copies {
            inputs[i] = copy;
        }
        let output = |v: usize| match self.plan.values[v].place {
            Place::Input(i) | Place::Donated(i) => inputs[i as usize].clone(),
            Place::Output | Place::Arena(_) | Place::Nowhere => {
                let found = fresh.binary_search_by_key(&v, |&(v, _)| v);
                fresh[found.expect("an output has a buffer of its own")].1.clone()
            }
        };
        Ok(self.plan.outputs.iter().map(|v| output(v.index())).collect())
    }

    fn run_wave(&self, wave: &Wave, memory: &Memory<'_>, times: Option<(usize, &mut Times)>) {
        match times {
            None => wave.launch(|i| self.run_task(wave.tasks[i], memory, |_, run| run())),
            Some((w, times)) => times.wave(w, |times| {
                wave.launch(|i| {
                    let timed = |kernel: usize, run: &dyn Fn()| times.kernel(kernel, run);
                    self.run_task(wave.tasks[i], memory, timed);
                });
            }),
        }
    }

    /// Runs a task; `each` is given every kernel of it and what runs it.
    #[inline(always)]
    fn run_task(&self, task: Task, memory: &Memory<'_>, each: impl Fn(usize, &dyn Fn())) {
        // SAFETY, for both: every task of the wave runs once; values are as large as the plan says, and the plan
        // lets no kernel of a wave write what another reads or writes, but the kernels of a region, which follow
        // each other on every slice.
        match task {
            Task::Kernel { kernel, task } => {
                // SAFETY: see above.
                let run = || unsafe { self.kernels[kernel as usize].run(task as usize, memory) };
                each(kernel as usize, &run);
            }
            Task::Region { region, slice } => {
                let region = &self.plan.regions[region as usize];
                let slice = Slice { slice: slice as usize, of: Slice::count(region.batch) };
                for &kernel in &region.kernels {
                    // SAFETY: see above.
                    each(kernel, &|| unsafe { self.kernels[kernel].run_slice(slice, memory) });
                }
            }
        }
    }
}

impl Wave {
    fn launch(&self, task: impl Fn(usize) + Sync) {
        if self.inline {
            (0..self.tasks.len()).for_each(task);
        } else {
            pool().run(self.tasks.len(), &task);
        }
    }
}

/// The address of a buffer that was just made.
fn unique(buffer: &mut Arc<Buffer>) -> *mut u8 {
    Arc::get_mut(buffer).expect("nobody else holds it yet").as_mut_ptr()
}
