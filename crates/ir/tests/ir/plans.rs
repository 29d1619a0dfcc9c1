//! Plans of generated programs: what they compute, and the rules they keep.

use gradus_ir::autograd::gradients;
use gradus_ir::graph::NodeId;
use gradus_ir::ops::{CheckFailure, Expand, Op};
use gradus_ir::passes::{drop_dead, optimize};
use gradus_ir::schedule::{
    Backend, HasKernel, Kernel, Place, Plan, StepKind, Value, ValueId, View, compile, compile_exact,
};
use gradus_ir::{Array, DType, Type, Values, interpret};

use crate::executor::execute;
use crate::program::Program;
use crate::random_program::random_program;

/// A backend with every kernel but those of half precision.
pub fn native(op: &Op, x: &[&Type]) -> bool {
    let half = |t: &&Type| matches!(t.dtype, DType::F16 | DType::BF16);
    let moves = matches!(
        op,
        Op::Input(_)
            | Op::Slot(_)
            | Op::Const(_)
            | Op::Cast(_)
            | Op::Reshape(_)
            | Op::Permute(_)
            | Op::Expand(_)
            | Op::Slice(_)
            | Op::Concat(_)
            | Op::Pad(_)
            | Op::Gather(_)
            | Op::Check(_)
    );
    !matches!(op, Op::OneHot(_)) && (moves || !x.iter().any(half))
}

/// A backend with no fused kernels.
pub fn bare(op: &Op, x: &[&Type]) -> bool {
    !matches!(op, Op::CrossEntropy(_) | Op::CrossEntropyGrad(_)) && native(op, x)
}

const SEEDS: u64 = 400;

#[test]
fn plans_compute_what_the_graph_says() {
    let (mut finite, mut failed, mut donated) = (0, 0, 0);
    for seed in 0..SEEDS {
        let mut program = random_program(seed);
        for has_kernel in [native, bare] {
            let (plan, results) = verified(&program, has_kernel, &format!("seed {seed}"));
            donated += plan.values.iter().filter(|v| is_donated(v)).count();
            failed += usize::from(results.is_err());
            finite += usize::from(results.is_ok_and(|all| all.iter().all(is_finite)));
            program.donations.clear();
        }
    }
    // The programs are worth running.
    let n = 2 * SEEDS as usize;
    assert!(finite > n / 2, "{finite} of {n} programs gave finite results");
    assert!((n / 100..n / 4).contains(&failed), "{failed} of {n} programs failed a check");
    assert!(donated > 100, "{donated} inputs were donated");
}

type Results = Result<Vec<Array>, CheckFailure>;

/// A backend with these kernels that gives every product a tail, but runs nothing by slice.
pub fn backend(has_kernel: HasKernel) -> Backend {
    Backend { has_kernel, runs_by_slice: |_, _| false, takes_tail: |_, _| true }
}

/// Compiles a program, and checks that the plan obeys the rules and does what the interpreter does:
/// with the kernels of each wave in either order, and leaving every input alone that it may not
/// overwrite. A plan that presumes may fail instead; then the exact one does as the interpreter does.
pub fn verified(program: &Program, has_kernel: HasKernel, name: &str) -> (Plan, Results) {
    let Program { graph, inputs, slots, donations } = program;
    let plan = compile(graph, donations, &backend(has_kernel));
    let exact = plan.presumes.then(|| compile_exact(graph, donations, &backend(has_kernel)));
    let expected = interpret(&drop_dead(graph), inputs, slots);
    for plan in std::iter::once(&plan).chain(&exact) {
        obeys_the_rules(plan, name);
        for reversed in [false, true] {
            let run = execute(plan, graph, inputs, slots, reversed);
            let results = &run.outputs;
            let as_expected = alike(results, &expected) || (plan.presumes && results.is_err());
            assert!(as_expected, "{name}: {results:?} for {expected:?}\n{graph}\n{plan}");
            for (k, (before, after)) in inputs.iter().zip(&run.inputs).enumerate() {
                let taken = plan.values.iter().any(|v| v.place == Place::Donated(k as u32));
                let may_differ = taken && run.outputs.is_ok();
                let same = alike(&Ok(vec![before.clone()]), &Ok(vec![after.clone()]));
                assert!(same || may_differ, "{name}: input {k} was overwritten\n{plan}");
            }
        }
    }
    (plan, expected)
}

fn is_donated(value: &Value) -> bool {
    matches!(value.place, Place::Donated(_))
}

fn is_finite(a: &Array) -> bool {
    match a.values() {
        Values::Float(v) => v.iter().all(|x| x.is_finite()),
        Values::Int(_) => true,
    }
}

/// Equal to the bit, but for the payload of a NaN.
pub fn alike(a: &Results, b: &Results) -> bool {
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    let equal = |a: &Array, b: &Array| {
        a.ty() == b.ty()
            && match (a.values(), b.values()) {
                (Values::Float(a), Values::Float(b)) => a.iter().zip(b).all(|(&a, &b)| same(a, b)),
                (a, b) => a == b,
            }
    };
    match (a, b) {
        (Ok(a), Ok(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Err(a), Err(b)) => {
            (a.check, a.position) == (b.check, b.position) && same(a.value, b.value)
        }
        _ => false,
    }
}

/// What every backend may rely on.
fn obeys_the_rules(plan: &Plan, name: &str) {
    let n = plan.kernels.len();
    let mut wave_of = vec![usize::MAX; n];
    for (w, wave) in plan.waves.iter().enumerate() {
        assert!(!wave.is_empty(), "{name}: wave {w} is empty");
        for &k in wave {
            assert_eq!(wave_of[k], usize::MAX, "{name}: kernel {k} runs twice");
            wave_of[k] = w;
        }
    }
    assert!(!wave_of.contains(&usize::MAX), "{name}: a kernel never runs");

    let mut writer = vec![None; plan.values.len()];
    for (k, kernel) in plan.kernels.iter().enumerate() {
        for value in kernel.writes() {
            assert_eq!(writer[value.index()].replace(k), None, "{name}: written twice");
        }
    }
    for (k, kernel) in plan.kernels.iter().enumerate() {
        kernel.for_each_read(|view| {
            let value = &plan.values[view.value.index()];
            let last: usize = view.offset
                + (view.shape.iter().zip(&view.strides))
                    .map(|(&d, &s)| d.saturating_sub(1) * usize::try_from(s).unwrap())
                    .sum::<usize>();
            assert!(view.shape.numel() == 0 || last < value.ty.shape.numel(), "{name}: {view:?}");
            match writer[view.value.index()] {
                Some(w) => assert!(wave_of[w] < wave_of[k], "{name}: {k} reads before {w}"),
                None => assert!(matches!(value.place, Place::Input(_)), "{name}: {view:?}"),
            }
        });
        if let Kernel::Check { .. } = kernel {
            assert!(wave_of[k] < plan.gate, "{name}: a check after the gate");
        }
    }
    for value in &plan.values {
        match value.place {
            Place::Arena(at) => {
                assert!(at % 64 == 0 && at + value.ty.bytes() <= plan.arena.max(at), "{name}");
            }
            Place::Donated(input) => overwrites_last(plan, input, &wave_of, name),
            Place::Input(_) | Place::Output | Place::Nowhere => {}
        }
    }
}

/// Whoever reads the old value of a donated input has run before it is overwritten, or reads each
/// element just before it is overwritten.
fn overwrites_last(plan: &Plan, input: u32, wave_of: &[usize], name: &str) {
    let is_at = |place: Place| move |v: &Value| v.place == place;
    let old = plan.values.iter().position(is_at(Place::Input(input)));
    let new = plan.values.iter().position(is_at(Place::Donated(input))).unwrap();
    assert_eq!(plan.values.iter().filter(|v| v.place == Place::Donated(input)).count(), 1);
    let writes = |k: &Kernel| k.writes().iter().any(|v| v.index() == new);
    let update = plan.kernels.iter().position(writes).unwrap();
    assert!(wave_of[update] >= plan.gate, "{name}: an update before the gate");
    for (k, kernel) in plan.kernels.iter().enumerate() {
        kernel.for_each_read(|view| {
            if Some(view.value.index()) == old && k != update {
                assert!(wave_of[k] < wave_of[update], "{name}: {k} reads what is gone");
            }
        });
    }
    assert!(!plan.outputs.iter().any(|o| Some(o.index()) == old), "{name}");
}

/// Programs and their gradients with respect to every input: what backward makes of movement,
/// reductions, ties and operands used twice.
#[test]
fn plans_of_gradients_compute_them() {
    let mut gradients_found = 0;
    for seed in 0..SEEDS {
        let mut program = random_program(seed);
        let g = &mut program.graph;
        let inputs: Vec<NodeId> =
            g.ids().filter(|&id| matches!(g.node(id).op, Op::Input(_))).collect();
        let mut asked = g.outputs().to_vec();
        for y in asked.clone() {
            let Type { shape, dtype } = g.ty(y).clone();
            if dtype.is_float() {
                let one = g.constant(1.0, dtype);
                let ones = g.add(Expand { shape }, &[one]).unwrap();
                asked.extend(gradients(g, y, ones, &inputs).into_iter().flatten());
            }
        }
        gradients_found += asked.len() - g.outputs().len();
        g.set_outputs(asked);
        g.verify().unwrap_or_else(|e| panic!("seed {seed}: {e}"));
        let (_, results) = verified(&program, native, &format!("seed {seed}"));
        if let Ok(results) = results {
            let types = program.graph.outputs().iter().map(|&o| program.graph.ty(o));
            assert!(results.iter().map(Array::ty).eq(types), "seed {seed}");
        }
    }
    assert!(gradients_found > SEEDS as usize / 2, "{gradients_found}");
}

/// Asking for more changes no other value and no kernel: only what is stored.
#[test]
fn observing_changes_nothing() {
    for seed in 0..SEEDS {
        let mut program = random_program(seed);
        program.donations.clear();
        program.graph = optimize(&program.graph);
        let asked = program.graph.outputs().to_vec();
        // Every third node that is computed anyway.
        let extra = program.graph.ids().filter(|id| (id.index() as u64 + seed).is_multiple_of(3));
        let more = asked.iter().copied().chain(extra).collect();
        // Tails do depend on who looks: a product that is looked at has none. Their values do not. And a product
        // that only a check asks for is not computed where its factors will do.
        let apart = Backend { takes_tail: |_, _| false, ..backend(native) };
        let plan = compile_exact(&program.graph, &program.donations, &apart);
        let (_, few) = verified(&program, native, "as it is");
        program.graph.set_outputs(more);
        let observed = compile_exact(&program.graph, &program.donations, &apart);
        let (_, many) = verified(&program, native, "observed");
        assert_eq!(computations(&plan), computations(&observed), "seed {seed}\n{}", program.graph);
        let many = many.map(|all| all[..asked.len()].to_vec());
        assert!(alike(&few, &many), "seed {seed}");
    }
}

/// What kernels compute, without where it lies and what is stored of it. Copies do not compute.
fn computations(plan: &Plan) -> Vec<String> {
    let computes = |kernel: &&Kernel| match kernel {
        Kernel::Loop(l) => {
            let draws = matches!(l.steps[0].kind, StepKind::Random { .. });
            !l.reduces.is_empty() || l.steps.len() > 1 || draws
        }
        _ => true,
    };
    let nowhere = |view: &View| View { value: ValueId(0), ..view.clone() };
    let anonymous = |kernel: &Kernel| match kernel {
        Kernel::Loop(l) => {
            let mut l = l.clone();
            l.stores.clear();
            l.reduces.iter_mut().for_each(|r| r.out = ValueId(0));
            for step in &mut l.steps {
                if let StepKind::Load(view) = &mut step.kind {
                    *view = nowhere(view);
                }
            }
            format!("{l:?}")
        }
        other => {
            let mut views = Vec::new();
            other.for_each_read(|view| views.push(nowhere(view)));
            format!("{:?} of {views:?}", std::mem::discriminant(other))
        }
    };
    plan.kernels.iter().filter(computes).map(anonymous).collect()
}
