//! Compiling, running and comparing graphs.

use std::sync::Arc;

use gradus_cpu::buffer::Buffer;
use gradus_cpu::{BACKEND, Executable};
use gradus_ir::graph::{Graph, NodeId};
use gradus_ir::ops::{CheckFailure, Expand, Op, Permute, Slice};
use gradus_ir::schedule::{Donation, compile};
use gradus_ir::{Array, DType, Element, Scalar, Shape, Type, Values, bf16, f16, interpret};

/// Runs an expression with `$T` standing for the Rust type of a dtype.
macro_rules! with_element {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype {
            DType::Bool => {
                type $T = bool;
                $body
            }
            DType::U8 => {
                type $T = u8;
                $body
            }
            DType::I32 => {
                type $T = i32;
                $body
            }
            DType::I64 => {
                type $T = i64;
                $body
            }
            DType::F16 => {
                type $T = f16;
                $body
            }
            DType::BF16 => {
                type $T = bf16;
                $body
            }
            DType::F32 => {
                type $T = f32;
                $body
            }
            DType::F64 => {
                type $T = f64;
                $body
            }
        }
    };
}

pub fn to_buffer(array: &Array) -> Arc<Buffer> {
    with_element!(array.ty().dtype, T => {
        let stored: Vec<_> = array.to_vec::<T>().into_iter().map(Element::store).collect();
        Arc::new(Buffer::from_slice(&stored))
    })
}

pub fn from_buffer(ty: &Type, buffer: &Buffer) -> Array {
    with_element!(ty.dtype, T => {
        let elements: Vec<T> =
            buffer.as_slice::<<T as Element>::Stored>().iter().map(|&x| T::load(x)).collect();
        Array::from_slice(ty.shape.clone(), &elements)
    })
}

/// Numbers that look random and repeat in every run.
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// Elements of a type: floats in (-2, 2), integers from 0 to 9.
    pub fn array(&mut self, ty: &Type) -> Array {
        let n = ty.shape.numel();
        if ty.dtype.is_float() {
            Array::float(ty.clone(), (0..n).map(|_| self.uniform() * 4.0 - 2.0).collect())
        } else {
            Array::int(ty.clone(), (0..n).map(|_| self.below(10) as i64).collect())
        }
    }
}

/// What a graph gives, as buffers and as arrays.
pub struct Outcome {
    pub buffers: Vec<Arc<Buffer>>,
    pub arrays: Vec<Array>,
}

impl Outcome {
    pub fn bytes(&self) -> Vec<&[u8]> {
        self.buffers.iter().map(|b| b.as_slice::<u8>()).collect()
    }
}

pub fn executable(graph: &Graph, donations: &[Donation]) -> Executable {
    graph.verify().expect("the test's graph is ill-formed");
    Executable::new(compile(graph, donations, &BACKEND))
}

pub fn run(
    executable: &Executable,
    graph: &Graph,
    inputs: &[Array],
    slots: &[Scalar],
) -> Result<Outcome, CheckFailure> {
    let mut given: Vec<Arc<Buffer>> = inputs.iter().map(to_buffer).collect();
    let buffers = executable.run(&mut given, slots)?;
    let types = graph.outputs().iter().map(|&o| graph.ty(o));
    let arrays = types.zip(&buffers).map(|(ty, buffer)| from_buffer(ty, buffer)).collect();
    Ok(Outcome { buffers, arrays })
}

/// Compares with the interpreter. `scale` of the tolerance: 1 for a few ops, more for deep graphs.
pub fn check(graph: &Graph, inputs: &[Array], slots: &[Scalar], scale: f64, what: &str) {
    let executable = executable(graph, &[]);
    let expected = interpret(graph, inputs, slots);
    // Twice, so that what the first run left in the arena is found by the second.
    for _ in 0..2 {
        match (run(&executable, graph, inputs, slots), &expected) {
            (Ok(outcome), Ok(expected)) => {
                for (i, (got, expected)) in outcome.arrays.iter().zip(expected).enumerate() {
                    let what = format!("{what}, output {i}");
                    compare(got, expected, scale, &what, &|| {
                        format!("{graph}{}", executable.plan())
                    });
                }
            }
            (Err(got), Err(expected)) => {
                assert_eq!(
                    (got.check, got.position),
                    (expected.check, expected.position),
                    "{what}"
                );
                assert!(got.value == expected.value || got.value.is_nan(), "{what}");
            }
            (got, expected) => panic!("{what}: {:?} and {expected:?}", got.map(|o| o.arrays)),
        }
    }
}

fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F64 => 1e-12,
        DType::F32 => 1e-5,
        DType::F16 => 2e-3,
        DType::BF16 => 2e-2,
        _ => 0.0,
    }
}

pub fn compare(got: &Array, expected: &Array, scale: f64, what: &str, show: &dyn Fn() -> String) {
    assert_eq!(got.ty(), expected.ty(), "{what}");
    match (got.values(), expected.values()) {
        (Values::Float(a), Values::Float(b)) => {
            let largest = b.iter().filter(|x| x.is_finite()).fold(0.0, |m: f64, x| m.max(x.abs()));
            // Relative to the element for one op, to the whole array for sums and deep graphs.
            for (i, (&a, &b)) in a.iter().zip(b).enumerate() {
                let size = if scale > 1.0 { largest.max(1e-3) } else { b.abs().max(1e-30) };
                let near = (a - b).abs() <= tolerance(got.ty().dtype) * scale * size;
                let same = a == b || (a.is_nan() && b.is_nan());
                assert!(near || same, "{what}: element {i} is {a:e}, not {b:e}\n{}", show());
            }
        }
        (a, b) => assert!(a == b, "{what}:\n{a:?}\nnot\n{b:?}\n{}", show()),
    }
}

/// How an operand comes to its shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Arrangement {
    /// As it is.
    Contiguous,
    /// Its axes were in the reverse order.
    Permuted,
    /// Every second element of a longer last axis, from the second on.
    Sliced,
    /// Its first axis is one element, repeated.
    Expanded,
}

impl Arrangement {
    pub const ALL: [Arrangement; 4] = [
        Arrangement::Contiguous,
        Arrangement::Permuted,
        Arrangement::Sliced,
        Arrangement::Expanded,
    ];
}

/// Adds an input that, arranged so, has a type. Gives the input's type and the arranged node.
pub fn arranged(graph: &mut Graph, ty: &Type, how: Arrangement) -> (Type, NodeId) {
    let dtype = ty.dtype;
    let shape = &ty.shape;
    let rank = shape.rank();
    let (base, op): (Shape, Option<Op>) = match how {
        _ if rank == 0 => (shape.clone(), None),
        Arrangement::Contiguous => (shape.clone(), None),
        Arrangement::Permuted => {
            let reversed = shape.iter().rev().copied().collect();
            (reversed, Some(Permute { axes: (0..rank).rev().collect() }.into()))
        }
        Arrangement::Sliced => {
            let (axis, len) = (rank - 1, shape[rank - 1]);
            let base = shape.with_dim(axis, 2 * len + 1);
            (base, Some(Slice { axis, start: 1, len, step: 2 }.into()))
        }
        Arrangement::Expanded => {
            (shape.with_dim(0, 1), Some(Expand { shape: shape.clone() }.into()))
        }
    };
    let base = Type { shape: base, dtype };
    let input = graph.input(base.clone());
    let node = match op {
        Some(op) => graph.add(op, &[input]).expect("a movement op fits"),
        None => input,
    };
    (base, node)
}
