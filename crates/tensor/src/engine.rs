//! Evaluation: collect what is pending, find or compile its plan, run it, settle.
//!
//! One evaluation runs at a time in a process, under one lock; the pool uses all cores anyway. Recording takes no
//! lock.

use std::cell::{Cell, RefCell};
use std::panic::Location;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use gradus_ir::ops::{CheckFailure, Op};

use crate::collect::{Collected, Root};
use crate::device::{Device, Storage};
use crate::error::{self, Error, ErrorKind, Result};
use crate::node::{Node, State};
use crate::plans::{PlanCache, PlanCost, Program};
use crate::profile::{self, Named};
use crate::record::{self, Recorder};
use crate::variable::{Contents, VariableCell};

#[derive(Default)]
pub(crate) struct Engine {
    plans: PlanCache,
    /// Numbers traversals, so that nodes can tell whether this one has met them.
    traversals: u64,
}

static ENGINE: LazyLock<Mutex<Engine>> = LazyLock::new(Mutex::default);

thread_local! {
    static STATS: Cell<PlanStats> = const { Cell::new(PlanStats { compiled: 0, run: 0 }) };
    static LAST: RefCell<Option<Arc<Program>>> = const { RefCell::new(None) };
}

/// How often this thread has compiled and run plans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanStats {
    /// Plans compiled: evaluations that were not in the cache.
    pub compiled: u64,
    /// Plans run.
    pub run: u64,
}

/// How often this thread has compiled and run plans since it started.
pub fn plan_stats() -> PlanStats {
    STATS.get()
}

/// Forgets every compiled plan of the process.
pub fn clear_plans() {
    lock().plans.clear();
}

/// The plan that this thread has run last: kernels, fused loops, FLOPs, bytes and arena size. After an optimizer's
/// step, that is the whole training step.
pub fn explain_last() -> Option<String> {
    LAST.with_borrow(|last| last.as_ref().map(|program| program.explain()))
}

/// Evaluates everything that is pending on this thread, as one plan per device: every tensor with a handle, every
/// check, every write to a variable.
///
/// # Errors
/// The first error that recording left, or the first check that fails. Pending writes are then dropped, and all
/// variables keep the values they had.
#[track_caller]
pub fn evaluate() -> Result<()> {
    evaluate_pending(&[], Location::caller())
}

/// A walk over the recorded graph. It holds the engine's lock, so that there is one at a time.
pub(crate) struct Traversal {
    pub number: u64,
    _engine: MutexGuard<'static, Engine>,
}

impl Traversal {
    pub(crate) fn begin() -> Traversal {
        let mut engine = lock();
        engine.traversals += 1;
        Traversal { number: engine.traversals, _engine: engine }
    }
}

fn lock() -> MutexGuard<'static, Engine> {
    ENGINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Evaluates `requested` and everything else that is pending on this thread.
pub(crate) fn evaluate_pending(
    requested: &[&Arc<Node>],
    location: &'static Location<'static>,
) -> Result<()> {
    if let Some(error) = error::take() {
        record::discard_writes();
        return Err(error);
    }
    let recorder = record::take();
    let mut variables: Vec<Arc<VariableCell>> =
        recorder.variables.iter().filter_map(std::sync::Weak::upgrade).collect();
    variables.sort_unstable_by_key(Arc::as_ptr);
    variables.dedup_by_key(|v| Arc::as_ptr(v));
    let mut engine = lock();
    let mut writes: Vec<Write<'_>> =
        variables.iter().map(|v| Write { cell: v, contents: v.lock() }).collect();
    let mut roots = roots(requested, &recorder);
    drop(recorder);
    // Overwriting one device's variables could not be undone if another device's plan failed.
    let first = roots.first().map(|r| r.node.device);
    let may_donate = roots.iter().all(|r| Some(r.node.device) == first);
    let result = Device::ALL.into_iter().try_for_each(|device| {
        let (mine, rest) =
            std::mem::take(&mut roots).into_iter().partition(|r| r.node.device == device);
        roots = rest;
        run(&mut engine, device, mine, &mut writes, may_donate, location)
    });
    if result.is_ok() {
        writes.iter_mut().for_each(|write| write.contents.settle(write.cell.grad()));
    } else {
        writes.iter_mut().for_each(|write| write.contents.pending = None);
        // The devices not reached are still wanted.
        roots.iter().for_each(|root| record::watch_again(&root.node));
    }
    result
}

/// The plan that evaluating `node` now would run.
pub(crate) fn explain_pending(node: &Arc<Node>) -> Result<String> {
    if !node.is_pending() {
        return Ok("already evaluated: nothing to run".to_owned());
    }
    Ok(pending_program(node).explain())
}

/// What the plan that evaluating `node` now would run costs.
pub(crate) fn cost_pending(node: &Arc<Node>) -> PlanCost {
    match node.is_pending() {
        true => pending_program(node).cost(),
        false => PlanCost::default(),
    }
}

fn pending_program(node: &Arc<Node>) -> Arc<Program> {
    let recorder = record::snapshot();
    let variables: Vec<Arc<VariableCell>> =
        recorder.variables.iter().filter_map(std::sync::Weak::upgrade).collect();
    let mut engine = lock();
    engine.traversals += 1;
    let mut mine = roots(&[node], &recorder);
    mine.retain(|r| r.node.device == node.device);
    drop(recorder);
    let pairs: Vec<_> = variables.iter().filter_map(|v| v.lock().pair()).collect();
    let mut collected = Collected::new(engine.traversals, node.device, mine, &pairs);
    engine.plans.find(&mut collected.key, None).program
}

/// A variable with a pending write, locked until it is settled, so that no other thread sees it in between.
struct Write<'a> {
    cell: &'a VariableCell,
    contents: MutexGuard<'a, Contents>,
}

fn roots(requested: &[&Arc<Node>], recorder: &Recorder) -> Vec<Root> {
    let mut roots: Vec<Root> = requested
        .iter()
        .filter(|n| n.is_pending())
        .map(|n| Root { node: Arc::clone(n), wanted: true })
        .collect();
    let live = recorder.nodes.iter().filter_map(std::sync::Weak::upgrade);
    let live = live.filter(|n| n.handles() > 0 && n.is_pending());
    roots.extend(live.map(|node| Root { node, wanted: true }));
    let checks = recorder.checks.iter().filter(|n| n.is_pending());
    roots.extend(checks.map(|n| Root { node: n.clone(), wanted: false }));
    roots
}

fn run(
    engine: &mut Engine,
    device: Device,
    roots: Vec<Root>,
    writes: &mut [Write<'_>],
    may_donate: bool,
    location: &'static Location<'static>,
) -> Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    engine.traversals += 1;
    let mut pairs: Vec<_> = writes.iter().filter_map(|w| w.contents.pair()).collect();
    pairs.retain(|_| may_donate);
    let mut collected = Collected::new(engine.traversals, device, roots, &pairs);
    drop(pairs);
    let failed = writes.iter().find_map(|w| w.contents.pending.as_ref()?.node().error());
    if let Some(error) = failed {
        collected.nodes.iter().for_each(|entry| record::watch_again(&entry.node));
        return Err(error);
    }
    let donated: Vec<u32> = collected.key.donations.iter().map(|d| d.input).collect();
    let found = engine.plans.find(&mut collected.key, Some(location));
    STATS.set(PlanStats {
        compiled: STATS.get().compiled + u64::from(found.compiled),
        run: STATS.get().run + 1,
    });

    // From here to the settling, the plan is the only owner of what it may overwrite.
    for &input in &donated {
        collected.leaves[input as usize].node.set_state(State::Donated);
    }
    let mut inputs: Vec<Storage> =
        collected.leaves.iter_mut().filter_map(|l| l.storage.take()).collect();
    let names = || collected.leaves.iter().map(|leaf| name_of(&leaf.node, writes)).collect();
    let outcome = profile::run(&found, &mut inputs, &collected.slots, names);
    LAST.set(Some(found.program));
    match outcome {
        Ok(outputs) => {
            settle(collected, outputs);
            Ok(())
        }
        Err(failure) => {
            for &input in &donated {
                let storage = inputs[input as usize].clone();
                let node = &collected.leaves[input as usize].node;
                node.set_state(State::Ready { storage, history: None });
            }
            let error = fail(&collected, &failure);
            // What did not fail is still wanted.
            collected.nodes.iter().for_each(|entry| record::watch_again(&entry.node));
            Err(error)
        }
    }
}

/// Which of the variables that are written holds a leaf as its old value.
fn name_of(leaf: &Arc<Node>, writes: &[Write<'_>]) -> Option<Named> {
    let owner = writes.iter().find(|w| Arc::ptr_eq(w.contents.committed.node(), leaf))?.cell;
    Some(Named { name: owner.name(), trained: owner.grad().is_some() })
        .filter(|named| !named.name.is_empty())
}

/// Evaluated nodes become leaves. Those that require grad keep their history until backward has passed.
fn settle(collected: Collected, outputs: Vec<Storage>) {
    let Collected { nodes, outputs: indices, .. } = collected;
    for (i, storage) in indices.into_iter().zip(outputs) {
        let node = &nodes[i].node;
        let mut state = node.state();
        let old = std::mem::replace(&mut *state, State::Ready { storage, history: None });
        let mut old = Some(old);
        if nodes[i].keeps_history
            && let Some(State::Pending(kept)) = old.take()
            && let State::Ready { history, .. } = &mut *state
        {
            *history = Some(kept);
        }
        drop(state);
        node.note_ready();
    }
}

/// Marks what depends on the failed check, and says what failed.
fn fail(collected: &Collected, failure: &CheckFailure) -> Error {
    let mut errors: Vec<Option<Error>> = vec![None; collected.nodes.len()];
    let mut checks = 0;
    let mut first = None;
    for (i, entry) in collected.nodes.iter().enumerate() {
        let state = entry.node.state();
        let State::Pending(history) = &*state else { continue };
        if let Op::Check(check) = &history.op {
            if checks == failure.check {
                let message = check.explain(failure);
                let error = Error::located(ErrorKind::Value, message, entry.node.location);
                errors[i] = Some(error.clone());
                first = Some(error);
            }
            checks += 1;
        }
        let inherited = entry.operands.iter().find_map(|&o| errors[o as usize].clone());
        drop(state);
        if let Some(error) = errors[i].clone().or(inherited) {
            errors[i] = Some(error.clone());
            entry.node.set_state(State::Failed(error));
        }
    }
    first.unwrap_or_else(|| Error::new(ErrorKind::Value, format!("a check failed: {failure:?}")))
}
