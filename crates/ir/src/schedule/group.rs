//! Fusion: which nodes run together.
//!
//! Element-wise nodes of one shape that feed each other directly become one loop; a reduction joins the loop of
//! its operand. Two loops join only if nothing outside lies between them, so that units never wait for each
//! other in a circle. The sets of ancestors that this needs are kept as bitsets over units.

use super::base_of;
use super::view::is_movement;
use crate::graph::{Graph, NodeId};
use crate::ops::Op;
use crate::{Axes, Shape};

/// Nodes that run together.
pub(super) struct Unit {
    /// The nodes, in topological order.
    pub members: Vec<NodeId>,
    /// The iteration space and the reduced axes, if this is a loop.
    pub looped: Option<(Shape, Axes)>,
}

/// A partition of the nodes that compute something. Inputs, scalars, counting and movement belong to none.
pub(super) struct Units {
    /// The units, in topological order.
    pub units: Vec<Unit>,
    /// The unit of each node.
    pub of: Vec<Option<usize>>,
}

/// Longer loops would spill registers out of the first-level cache.
const MAX_STEPS: usize = 96;

pub(super) fn group(graph: &Graph) -> Units {
    let base = base_of(graph);
    let mut g = Grouping { units: Vec::new(), of: vec![None; graph.len()] };
    for id in graph.ids() {
        let node = graph.node(id);
        if !computes(&node.op) {
            continue;
        }
        // The units that this node waits for, and among them the loops that it could run in.
        let mut waits: Vec<usize> = Vec::new();
        let mut joins: Vec<usize> = Vec::new();
        let fits = |u: &Building| match (&u.looped, &node.op) {
            (Some((shape, _)), op) if is_map(op) => *shape == node.ty.shape,
            (Some((_, axes)), Op::Reduce(r)) => axes.is_empty() || *axes == r.axes,
            _ => false,
        };
        let fusable = is_map(&node.op) || matches!(node.op, Op::Reduce(_));
        for &x in &node.inputs {
            let Some(unit) = g.of[base[x.index()].index()] else { continue };
            let direct = fusable && base[x.index()] == x && is_map(&graph.node(x).op);
            let same_space = matches!(node.op, Op::Reduce(_)) || graph.ty(x).shape == node.ty.shape;
            if direct && same_space && fits(&g.units[unit]) {
                joins.push(unit);
            } else {
                waits.push(unit);
            }
        }
        let looped = match &node.op {
            op if is_map(op) => Some((node.ty.shape.clone(), Axes::new())),
            Op::Reduce(r) => Some((graph.ty(node.inputs[0]).shape.clone(), r.axes.clone())),
            _ => None,
        };
        g.insert(id, looped, &waits, &joins);
    }
    g.finish(graph.len())
}

/// Whether an op is computed element by element.
pub(super) fn is_map(op: &Op) -> bool {
    matches!(op, Op::Scalar(_) | Op::Cast(_) | Op::Random(_))
}

fn computes(op: &Op) -> bool {
    let given = matches!(op, Op::Input(_) | Op::Slot(_) | Op::Const(_) | Op::Iota(_));
    !given && (!is_movement(op))
}

struct Building {
    members: Vec<NodeId>,
    looped: Option<(Shape, Axes)>,
    /// The units that this one waits for, directly or not.
    ancestors: Bits,
    /// Those among them whose results it reads otherwise than index by index: never one loop with them.
    apart: Bits,
    merged: bool,
}

struct Grouping {
    units: Vec<Building>,
    of: Vec<Option<usize>>,
}

impl Grouping {
    fn insert(
        &mut self,
        id: NodeId,
        looped: Option<(Shape, Axes)>,
        waits: &[usize],
        joins: &[usize],
    ) {
        let home = joins.iter().copied().find(|&home| self.can_host(home, waits, joins));
        let unit = match home {
            Some(home) => home,
            None => {
                self.units.push(Building {
                    members: Vec::new(),
                    looped: looped.clone(),
                    ancestors: Bits::default(),
                    apart: Bits::default(),
                    merged: false,
                });
                self.units.len() - 1
            }
        };
        if let (Some((_, axes)), Some((_, new))) = (&mut self.units[unit].looped, looped)
            && axes.is_empty()
        {
            *axes = new;
        }
        self.units[unit].members.push(id);
        self.of[id.index()] = Some(unit);
        for &other in waits.iter().chain(joins).filter(|&&u| u != unit) {
            self.wait_for(unit, other);
        }
        waits.iter().for_each(|&other| self.units[unit].apart.add(other));
        if home.is_some() {
            for &other in joins {
                let other = self.resolve(other);
                if other != unit && self.can_merge(unit, other) {
                    self.merge(unit, other);
                }
            }
        }
    }

    /// The unit that a unit's members are in by now.
    fn resolve(&self, unit: usize) -> usize {
        self.of[self.units[unit].members[0].index()].unwrap_or(unit)
    }

    /// Whether a node with these needs can run inside `home`: nothing it waits for waits for `home`.
    fn can_host(&self, home: usize, waits: &[usize], joins: &[usize]) -> bool {
        self.units[home].members.len() < MAX_STEPS
            && !waits.contains(&home)
            && waits.iter().chain(joins).all(|&u| u == home || !self.units[u].ancestors.has(home))
    }

    fn wait_for(&mut self, unit: usize, other: usize) {
        let mut gained = self.units[other].ancestors.clone();
        gained.add(other);
        if self.units[unit].ancestors.contains_all(&gained) {
            return;
        }
        if self.units[unit].members.len() == 1 {
            // Just made: nobody waits for it yet.
            return self.units[unit].ancestors.unite(&gained);
        }
        for (i, u) in self.units.iter_mut().enumerate() {
            if i == unit || u.ancestors.has(unit) {
                u.ancestors.unite(&gained);
            }
        }
    }

    /// Whether `a`, which waits for `b`, can take it in: it reads `b` index by index only, and no third unit lies
    /// between them.
    fn can_merge(&self, a: usize, b: usize) -> bool {
        let (ua, ub) = (&self.units[a], &self.units[b]);
        let (Some((shape_a, axes_a)), Some((shape_b, axes_b))) = (&ua.looped, &ub.looped) else {
            return false;
        };
        let between = |i: usize| i != b && self.units[i].ancestors.has(b);
        shape_a == shape_b
            && (axes_a.is_empty() || axes_b.is_empty() || axes_a == axes_b)
            && ua.members.len() + ub.members.len() <= MAX_STEPS
            && !ua.apart.has(b)
            && !ub.ancestors.has(a)
            && !ua.ancestors.iter().any(between)
    }

    fn merge(&mut self, a: usize, b: usize) {
        let members = self.units[b].members.clone();
        let looped = self.units[b].looped.take();
        let gained = self.units[b].ancestors.clone();
        let apart = std::mem::take(&mut self.units[b].apart);
        self.units[a].apart.unite(&apart);
        self.units[b].merged = true;
        for m in &members {
            self.of[m.index()] = Some(a);
        }
        self.units[a].members.extend(members);
        if let (Some((_, axes)), Some((_, other))) = (&mut self.units[a].looped, looped)
            && axes.is_empty()
        {
            *axes = other;
        }
        for (i, u) in self.units.iter_mut().enumerate() {
            let waits_for_b = u.ancestors.has(b);
            u.ancestors.remove(b);
            if u.apart.has(b) {
                u.apart.remove(b);
                u.apart.add(a);
            }
            if i == a || u.ancestors.has(a) {
                u.ancestors.unite(&gained);
            }
            // Whoever waited for b now waits for a, and so for all that a waits for.
            if waits_for_b && i != a {
                u.ancestors.add(a);
            }
        }
        let gained = self.units[a].ancestors.clone();
        for u in &mut self.units {
            if u.ancestors.has(a) {
                u.ancestors.unite(&gained);
            }
        }
    }

    fn finish(self, n: usize) -> Units {
        // Every unit has more ancestors than each of them, so that counting sorts topologically.
        let mut order: Vec<usize> =
            (0..self.units.len()).filter(|&u| !self.units[u].merged).collect();
        order.sort_by_key(|&u| (self.units[u].ancestors.count(), u));
        let mut of = vec![None; n];
        let mut buildings: Vec<Option<Building>> = self.units.into_iter().map(Some).collect();
        let mut units = Vec::with_capacity(order.len());
        for u in order {
            let Some(building) = buildings[u].take() else { continue };
            let mut members = building.members;
            members.sort_unstable();
            for m in &members {
                of[m.index()] = Some(units.len());
            }
            units.push(Unit { members, looped: building.looped });
        }
        Units { units, of }
    }
}

/// A set of small numbers.
#[derive(Clone, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn has(&self, i: usize) -> bool {
        self.0.get(i / 64).is_some_and(|w| w >> (i % 64) & 1 == 1)
    }

    fn add(&mut self, i: usize) {
        if self.0.len() <= i / 64 {
            self.0.resize(i / 64 + 1, 0);
        }
        self.0[i / 64] |= 1 << (i % 64);
    }

    fn remove(&mut self, i: usize) {
        if let Some(w) = self.0.get_mut(i / 64) {
            *w &= !(1 << (i % 64));
        }
    }

    fn unite(&mut self, other: &Bits) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (a, b) in self.0.iter_mut().zip(&other.0) {
            *a |= b;
        }
    }

    fn contains_all(&self, other: &Bits) -> bool {
        other.0.iter().enumerate().all(|(i, b)| b & !self.0.get(i).unwrap_or(&0) == 0)
    }

    fn count(&self) -> u32 {
        self.0.iter().map(|w| w.count_ones()).sum()
    }

    fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0
            .iter()
            .enumerate()
            .flat_map(|(i, &w)| (0..64).filter(move |b| w >> b & 1 == 1).map(move |b| i * 64 + b))
    }
}
