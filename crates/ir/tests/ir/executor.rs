//! A slow and obvious executor of plans. Buffers are bytes, and the arena is one block of them, so
//! that a buffer freed too early, or overwritten while it is still read, gives wrong values here
//! too.

use gradus_ir::array::{for_each_index, ravel, round_float, wrap_int};
use gradus_ir::graph::Graph;
use gradus_ir::ops::*;
use gradus_ir::schedule::{Kernel, Loop, Place, Plan, ReduceStore, StepKind, ValueId, View};
use gradus_ir::{Array, DType, Scalar, Type, bf16, f16, interpret, philox};

/// One element.
#[derive(Clone, Copy, Debug)]
enum Number {
    Float(f64),
    Int(i64),
}

/// What a run leaves behind.
pub struct Outcome {
    /// The outputs, or the first check that failed.
    pub outputs: Result<Vec<Array>, CheckFailure>,
    /// The inputs, after donated ones have been overwritten.
    pub inputs: Vec<Array>,
}

/// Runs a plan made from `graph`; the kernels of a wave in order, or in reverse.
pub fn execute(
    plan: &Plan,
    graph: &Graph,
    inputs: &[Array],
    slots: &[Scalar],
    reversed: bool,
) -> Outcome {
    let mut machine = Machine {
        plan,
        slots,
        arena: vec![0xa5; plan.arena],
        inputs: inputs.iter().map(encode).collect(),
        owned: plan.values.iter().map(|v| vec![0x5a; v.ty.bytes()]).collect(),
    };
    let mut failure: Option<CheckFailure> = None;
    for (w, wave) in plan.waves.iter().enumerate() {
        if w == plan.gate && failure.is_some() {
            break;
        }
        let mut wave = wave.clone();
        if reversed {
            wave.reverse();
        }
        for k in wave {
            if let Err(failed) = machine.run(&plan.kernels[k]) {
                assert!(w < plan.gate, "a check after the gate");
                if failure.as_ref().is_none_or(|first| failed.check < first.check) {
                    failure = Some(failed);
                }
            }
        }
    }
    let outputs = match failure {
        Some(failure) => Err(failure),
        None => {
            let read = |(&value, &id)| machine.whole(value, graph.ty(id));
            Ok(plan.outputs.iter().zip(graph.outputs()).map(read).collect())
        }
    };
    let inputs = inputs.iter().zip(&machine.inputs).map(|(a, b)| decode(a.ty(), b)).collect();
    Outcome { outputs, inputs }
}

struct Machine<'a> {
    plan: &'a Plan,
    slots: &'a [Scalar],
    arena: Vec<u8>,
    inputs: Vec<Vec<u8>>,
    /// The buffers of outputs and of what has none, by value.
    owned: Vec<Vec<u8>>,
}

impl Machine<'_> {
    /// The bytes of one element of a buffer.
    fn element(&mut self, value: ValueId, i: usize) -> &mut [u8] {
        let buffer = &self.plan.values[value.index()];
        let size = buffer.ty.dtype.size();
        assert!(i < buffer.ty.shape.numel(), "element {i} of {:?}", buffer.ty);
        let at = i * size;
        match buffer.place {
            Place::Arena(offset) => &mut self.arena[offset + at..][..size],
            Place::Input(k) | Place::Donated(k) => &mut self.inputs[k as usize][at..][..size],
            Place::Output | Place::Nowhere => &mut self.owned[value.index()][at..][..size],
        }
    }

    fn read(&mut self, value: ValueId, i: usize) -> Number {
        let dtype = self.plan.values[value.index()].ty.dtype;
        from_bytes(dtype, self.element(value, i))
    }

    fn write(&mut self, value: ValueId, i: usize, x: Number) {
        let dtype = self.plan.values[value.index()].ty.dtype;
        let bytes = to_bytes(dtype, x);
        self.element(value, i).copy_from_slice(&bytes[..dtype.size()]);
    }

    fn whole(&mut self, value: ValueId, ty: &Type) -> Array {
        self.array(&View::whole(value, ty))
    }

    fn array(&mut self, view: &View) -> Array {
        let mut items = Vec::new();
        let dtype = self.plan.values[view.value.index()].ty.dtype;
        for_each_index(&view.shape, |index| {
            items.push(self.read(view.value, position(view, index)))
        });
        array(Type::new(&view.shape, dtype), &items)
    }

    fn run(&mut self, kernel: &Kernel) -> Result<(), CheckFailure> {
        // All but loops mean what an op means.
        let (op, operands): (Op, Vec<&View>) = match kernel {
            Kernel::Loop(l) => {
                self.run_loop(l);
                return Ok(());
            }
            Kernel::MatMul { a, b, .. } => (MatMul.into(), vec![a, b]),
            Kernel::Op { op, x, .. } => (op.clone(), x.iter().collect()),
            Kernel::Check { x, check, .. } => (check.clone().into(), vec![x]),
        };
        let operands: Vec<Array> = operands.into_iter().map(|view| self.array(view)).collect();
        let mut g = Graph::new();
        let x: Vec<_> = operands.iter().map(|a| g.input(a.ty().clone())).collect();
        let y = g.add(op, &x).unwrap();
        let mut outputs = vec![y];
        if let (Op::MaxPool(pool), 2) = (&g.node(y).op, kernel.writes().len()) {
            outputs.push(g.add(MaxPoolIndices(pool.0.clone()), &x).unwrap());
        }
        g.set_outputs(outputs);
        let result = interpret(&g, &operands, &[]).map_err(|failure| match kernel {
            Kernel::Check { ordinal, .. } => CheckFailure { check: *ordinal, ..failure },
            _ => unreachable!("only checks fail"),
        })?;
        let outs = match kernel {
            Kernel::MatMul { out, .. } => [*out].into_iter().collect(),
            kernel => kernel.writes(),
        };
        for (out, result) in outs.into_iter().zip(&result) {
            numbers(result).into_iter().enumerate().for_each(|(i, x)| self.write(out, i, x));
        }
        if let Kernel::MatMul { tail: Some(tail), .. } = kernel {
            self.run_loop(tail);
        }
        Ok(())
    }

    fn run_loop(&mut self, l: &Loop) {
        let kept = l.shape.keeping(&l.axes);
        let zero = |out: ValueId| held(self.plan.values[out.index()].ty.dtype, Number::Int(0));
        let start = |r: &ReduceStore| (r.kind == ReduceKind::Sum).then(|| zero(r.out));
        let mut results: Vec<Vec<Option<Number>>> =
            l.reduces.iter().map(|r| vec![start(r); kept.numel()]).collect();
        let mut at = 0;
        for_each_index(&l.shape, |index| {
            let registers = self.registers(l, index, at);
            for store in &l.stores {
                self.write(store.out, at, registers[store.register as usize]);
            }
            let mut to = index.to_vec();
            l.axes.iter().for_each(|&axis| to[axis] = 0);
            for (reduce, results) in l.reduces.iter().zip(&mut results) {
                let result = &mut results[ravel(&kept, &to)];
                let x = registers[reduce.register as usize];
                *result = Some(result.map_or(x, |so_far| combined(reduce.kind, so_far, x)));
            }
            at += 1;
        });
        for (reduce, results) in l.reduces.iter().zip(&results) {
            for (i, result) in results.iter().enumerate() {
                self.write(reduce.out, i, result.expect("an extreme of nothing"));
            }
        }
    }

    /// The registers of one pass of a loop.
    fn registers(&mut self, l: &Loop, index: &[usize], at: usize) -> Vec<Number> {
        let mut registers: Vec<Number> = Vec::new();
        for step in &l.steps {
            let args: Vec<Number> = step.args.iter().map(|&a| registers[a as usize]).collect();
            let x = match &step.kind {
                StepKind::Load(view) => {
                    assert_eq!(view.shape, l.shape);
                    assert_eq!(self.plan.values[view.value.index()].ty.dtype, step.dtype);
                    self.read(view.value, position(view, index))
                }
                StepKind::Slot(s) => scalar(step.dtype, self.slots[*s as usize]),
                StepKind::Const(c) => scalar(step.dtype, *c),
                StepKind::Index { offset, strides } => {
                    let steps = index.iter().zip(strides).map(|(&i, &s)| i as isize * s);
                    Number::Int((offset + steps.sum::<isize>()) as i64)
                }
                StepKind::Random { distribution, seed, stream, first } => {
                    let key = |s: &u32| self.slots[*s as usize].to_i64() as u64;
                    let (seed, stream) = (key(seed), key(stream));
                    let at = at as u64 + first.as_ref().map_or(0, key);
                    Number::Float(match (distribution, step.dtype) {
                        (Distribution::Uniform, DType::F32) => {
                            f64::from(philox::uniform_f32(seed, stream, at))
                        }
                        (Distribution::Uniform, _) => philox::uniform_f64(seed, stream, at),
                        (Distribution::Normal, DType::F32) => {
                            f64::from(philox::normal_f32(seed, stream, at))
                        }
                        (Distribution::Normal, _) => philox::normal_f64(seed, stream, at),
                    })
                }
                StepKind::Op(op) => {
                    let operands = l.steps[*step.args.last().unwrap() as usize].dtype;
                    if operands.is_float() {
                        let args: Vec<f64> = args.iter().map(|&a| float(a)).collect();
                        Number::Float(op.eval_f64(&args))
                    } else if operands == DType::Bool {
                        let args: Vec<bool> = args.iter().map(|&a| float(a) != 0.0).collect();
                        Number::Int(i64::from(op.eval_bool(&args)))
                    } else {
                        let int = |&a: &Number| match a {
                            Number::Int(i) => i,
                            Number::Float(_) => unreachable!("an integer op on floats"),
                        };
                        Number::Int(op.eval_i64(&args.iter().map(int).collect::<Vec<_>>()))
                    }
                }
                StepKind::Cast => match args[0] {
                    Number::Float(x) if step.dtype == DType::Bool => {
                        Number::Int(i64::from(x != 0.0))
                    }
                    Number::Float(x) if step.dtype == DType::I32 => {
                        Number::Int(i64::from(x as i32))
                    }
                    x => x,
                },
            };
            registers.push(held(step.dtype, x));
        }
        registers
    }
}

fn position(view: &View, index: &[usize]) -> usize {
    let steps: isize = index.iter().zip(&view.strides).map(|(&i, &s)| i as isize * s).sum();
    usize::try_from(view.offset as isize + steps).expect("an element before the buffer")
}

fn combined(kind: ReduceKind, a: Number, b: Number) -> Number {
    match (a, b) {
        (Number::Float(a), Number::Float(b)) => Number::Float(match kind {
            ReduceKind::Sum => a + b,
            ReduceKind::Max => {
                if a.is_nan() || a >= b {
                    a
                } else {
                    b
                }
            }
            ReduceKind::Min => {
                if a.is_nan() || a <= b {
                    a
                } else {
                    b
                }
            }
        }),
        (Number::Int(a), Number::Int(b)) => Number::Int(match kind {
            ReduceKind::Sum => a.wrapping_add(b),
            ReduceKind::Max => a.max(b),
            ReduceKind::Min => a.min(b),
        }),
        _ => unreachable!("one register, one class"),
    }
}

fn float(x: Number) -> f64 {
    match x {
        Number::Float(x) => x,
        Number::Int(i) => i as f64,
    }
}

/// The number as the dtype holds it.
fn held(dtype: DType, x: Number) -> Number {
    match x {
        x if dtype.is_float() => Number::Float(round_float(dtype, float(x))),
        Number::Float(x) => Number::Int(wrap_int(dtype, x as i64)),
        Number::Int(i) => Number::Int(wrap_int(dtype, i)),
    }
}

fn scalar(dtype: DType, x: Scalar) -> Number {
    if dtype.is_float() { Number::Float(x.to_f64()) } else { Number::Int(x.to_i64()) }
}

fn numbers(a: &Array) -> Vec<Number> {
    match a.values() {
        gradus_ir::Values::Float(v) => v.iter().map(|&x| Number::Float(x)).collect(),
        gradus_ir::Values::Int(v) => v.iter().map(|&x| Number::Int(x)).collect(),
    }
}

fn array(ty: Type, items: &[Number]) -> Array {
    let int = |x: &Number| match *x {
        Number::Int(i) => i,
        Number::Float(_) => unreachable!("{ty} holds no floats"),
    };
    if ty.dtype.is_float() {
        let items = items.iter().map(|&x| float(x)).collect();
        Array::float(ty, items)
    } else {
        let items = items.iter().map(int).collect();
        Array::int(ty, items)
    }
}

fn encode(a: &Array) -> Vec<u8> {
    let dtype = a.ty().dtype;
    numbers(a).into_iter().flat_map(|x| to_bytes(dtype, x)[..dtype.size()].to_vec()).collect()
}

fn decode(ty: &Type, bytes: &[u8]) -> Array {
    let items: Vec<Number> =
        bytes.chunks_exact(ty.dtype.size()).map(|b| from_bytes(ty.dtype, b)).collect();
    array(ty.clone(), &items)
}

fn to_bytes(dtype: DType, x: Number) -> [u8; 8] {
    let bits = match (dtype, held(dtype, x)) {
        (DType::F64, Number::Float(x)) => x.to_bits(),
        (DType::F32, Number::Float(x)) => u64::from((x as f32).to_bits()),
        (DType::F16, Number::Float(x)) => u64::from(f16::from_f64(x).to_bits()),
        (DType::BF16, Number::Float(x)) => u64::from(bf16::from_f64(x).to_bits()),
        (_, Number::Int(i)) => i as u64,
        _ => unreachable!("held by {dtype}"),
    };
    bits.to_le_bytes()
}

fn from_bytes(dtype: DType, bytes: &[u8]) -> Number {
    let mut wide = [0; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    let bits = u64::from_le_bytes(wide);
    match dtype {
        DType::F64 => Number::Float(f64::from_bits(bits)),
        DType::F32 => Number::Float(f64::from(f32::from_bits(bits as u32))),
        DType::F16 => Number::Float(f16::from_bits(bits as u16).to_f64()),
        DType::BF16 => Number::Float(bf16::from_bits(bits as u16).to_f64()),
        DType::I32 => Number::Int(i64::from(bits as i32)),
        DType::I64 | DType::U8 | DType::Bool => Number::Int(bits as i64),
    }
}
