//! The structural ops: everything that is not element-wise, one file each.
//!
//! A file defines the op's attributes and implements [`Primitive`]: `infer` (types and errors), `vjp` (the
//! gradient, as formulas), `reference` (slow, obvious loops) and `samples` (the cases that every generic test
//! runs: against the oracle on each backend, against finite differences for gradients). The one list is
//! `primitives!` below.

mod argmax;
mod argsort;
mod attention;
mod cast;
mod check;
mod concat;
mod conv;
mod conv_bias;
mod conv_pooled;
mod cross_entropy;
mod expand;
mod flip;
mod gather;
mod iota;
mod matmul;
mod max_pool;
mod normalize;
mod one_hot;
mod pad;
mod permute;
mod random;
mod reduce;
mod reshape;
mod scan;
mod scatter_add;
mod slice;
mod window;

use std::fmt;

use smallvec::{SmallVec, smallvec};

use crate::graph::Expr;
use crate::scalar::ScalarOp;
use crate::{Array, DType, Scalar, Shape, Type};

pub use argmax::ArgMax;
pub use argsort::{ArgSort, compare_floats};
pub use attention::{Attention, AttentionGrad};
pub use cast::Cast;
pub use check::{Check, CheckFailure, CheckKind};
pub use concat::Concat;
pub use conv::{Conv, ConvGeometry, ConvInputGrad, ConvSize, ConvWeightGrad};
pub use conv_bias::ConvBias;
pub use conv_pooled::{ConvInputGradPooled, ConvWeightGradPooled};
pub use cross_entropy::{CrossEntropy, CrossEntropyGrad};
pub use expand::Expand;
pub use flip::Flip;
pub use gather::Gather;
pub use iota::Iota;
pub use matmul::{MatMul, MatMulSize};
pub use max_pool::{MaxPool, MaxPoolGrad, MaxPoolIndices, PoolGeometry};
pub use normalize::{Normalize, NormalizeGrad};
pub use one_hot::OneHot;
pub use pad::Pad;
pub use permute::Permute;
pub use random::{Distribution, Random};
pub use reduce::{Reduce, ReduceKind};
pub use reshape::Reshape;
pub use scan::CumSum;
pub use scatter_add::ScatterAdd;
pub use slice::Slice;
pub use window::Window;

/// The gradients with respect to an op's operands; `None` is zero.
pub type Grads<'g> = SmallVec<[Option<Expr<'g>>; 3]>;

/// What a gradient rule may use.
pub struct Vjp<'a, 'g> {
    /// The operands.
    pub x: &'a [Expr<'g>],
    /// The result.
    pub y: Expr<'g>,
    /// The gradient of the loss with respect to the result.
    pub dy: Expr<'g>,
    /// Which operands' gradients are asked for.
    pub needs: &'a [bool],
}

impl<'g> Vjp<'_, 'g> {
    /// No gradient for any operand.
    pub fn none(&self) -> Grads<'g> {
        smallvec![None; self.x.len()]
    }
}

/// An op that is not element-wise.
pub trait Primitive: Sized + Clone + fmt::Debug {
    /// The name in printed graphs and errors.
    const NAME: &'static str;

    /// Whether the op must run even if nobody uses its result.
    const EFFECT: bool = false;

    /// Whether a kernel of the op takes its operands contiguous, rather than as views.
    const CONTIGUOUS: bool = false;

    /// Whether every element of the result is a sum of products of one element of the first operand and one of the
    /// second, two [`flops`](Primitive::flops) each.
    const SUMS_PRODUCTS: bool = false;

    /// The result type, or what does not fit and why.
    fn infer(&self, x: &[&Type]) -> Result<Type, String>;

    /// The gradient. The default differentiates the [`body`](Primitive::body) where there is one, and is zero
    /// where there is none.
    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        if self.has_body() { None } else { Some(v.none()) }
    }

    /// Whether [`body`](Primitive::body) is defined.
    fn has_body(&self) -> bool {
        false
    }

    /// The op in ordinary ops: its meaning, and the fallback on a backend without a kernel for it.
    fn body<'g>(&self, _x: &[Expr<'g>]) -> Option<Expr<'g>> {
        None
    }

    /// The meaning, in obvious loops; an op with a body has none but that.
    fn reference(&self, _x: &[&Array], _ty: &Type) -> Result<Array, CheckFailure> {
        unreachable!("{} is defined by its body", Self::NAME)
    }

    /// Attributes for printing, such as `axes=[0]`; empty if there are none.
    fn attributes(&self) -> String {
        String::new()
    }

    /// Floating-point operations, two per multiply–add; 0 for what only moves elements.
    fn flops(&self, _x: &[&Shape], _y: &Shape) -> usize {
        0
    }

    /// Cases for the generic tests: odd, empty, size-1 and broadcast shapes among them.
    fn samples() -> Vec<Sample>;
}

/// A test case: an op and what to feed it.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The op.
    pub op: Op,
    /// Its operands.
    pub inputs: Vec<SampleInput>,
}

/// An operand of a test case.
#[derive(Clone, Debug)]
pub enum SampleInput {
    /// Generic floats, all different.
    Float(Shape),
    /// Integers from 0 up to but not including the bound.
    Index(Shape, usize),
    /// A number.
    Number(Scalar),
}

impl Sample {
    /// A case from an op and its operands.
    pub fn new(op: impl Into<Op>, inputs: Vec<SampleInput>) -> Sample {
        Sample { op: op.into(), inputs }
    }

    /// A case of one float operand.
    pub fn unary<const N: usize>(op: impl Into<Op>, shape: [usize; N]) -> Sample {
        Sample::new(op, vec![SampleInput::float(shape)])
    }
}

impl SampleInput {
    /// Floats of a shape.
    pub fn float<const N: usize>(shape: [usize; N]) -> SampleInput {
        SampleInput::Float(shape.into())
    }

    /// Indices below a bound.
    pub fn index<const N: usize>(shape: [usize; N], bound: usize) -> SampleInput {
        SampleInput::Index(shape.into(), bound)
    }
}

macro_rules! primitives {
    ($($name:ident),* $(,)?) => {
        /// What a node computes.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        pub enum Op {
            /// The n-th value given when the graph is run.
            Input(u32),
            /// The n-th scalar given when the graph is run: learning rates, random counters, numbers in the code.
            Slot(u32),
            /// A scalar that is part of the computation.
            Const(Scalar),
            /// An element-wise op; operands broadcast.
            Scalar(ScalarOp),
            $(#[doc = concat!("See [`", stringify!($name), "`].")] $name($name),)*
        }

        $(impl From<$name> for Op {
            fn from(op: $name) -> Op { Op::$name(op) }
        })*

        impl Op {
            /// The name in printed graphs and errors.
            pub fn name(&self) -> &'static str {
                match self {
                    Op::Input(_) => "input",
                    Op::Slot(_) => "slot",
                    Op::Const(_) => "const",
                    Op::Scalar(op) => op.name(),
                    $(Op::$name(_) => $name::NAME,)*
                }
            }

            /// The result type, or what does not fit and why.
            pub fn infer(&self, x: &[&Type]) -> Result<Type, String> {
                match self {
                    Op::Input(_) | Op::Slot(_) | Op::Const(_) => {
                        Err(format!("the type of {} is given, not inferred", self.name()))
                    }
                    Op::Scalar(op) => op.infer(x),
                    $(Op::$name(op) => op.infer(x),)*
                }
            }

            /// Whether the op must run even if nobody uses its result.
            pub fn is_effect(&self) -> bool {
                match self {
                    $(Op::$name(_) => $name::EFFECT,)*
                    _ => false,
                }
            }

            /// Whether a kernel of the op takes its operands contiguous, rather than as views.
            pub fn takes_contiguous(&self) -> bool {
                match self {
                    $(Op::$name(_) => $name::CONTIGUOUS,)*
                    _ => false,
                }
            }

            /// Whether every element of the result is a sum of products of one element of the first operand and one
            /// of the second.
            pub fn sums_products(&self) -> bool {
                match self {
                    $(Op::$name(_) => $name::SUMS_PRODUCTS,)*
                    _ => false,
                }
            }

            /// Floating-point operations, two per multiply–add; 0 for what only moves elements.
            pub fn flops(&self, x: &[&Shape], y: &Shape) -> usize {
                match self {
                    Op::Scalar(_) => y.numel(),
                    $(Op::$name(op) => op.flops(x, y),)*
                    _ => 0,
                }
            }

            /// The op in ordinary ops, if it is defined so.
            pub fn body<'g>(&self, x: &[Expr<'g>]) -> Option<Expr<'g>> {
                match self {
                    $(Op::$name(op) => op.body(x),)*
                    _ => None,
                }
            }

            /// The gradient; `None` where the body is to be differentiated instead.
            pub fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
                match self {
                    Op::Input(_) | Op::Slot(_) | Op::Const(_) => Some(v.none()),
                    Op::Scalar(op) => Some(scalar_vjp(*op, v)),
                    $(Op::$name(op) => op.vjp(v),)*
                }
            }

            pub(crate) fn reference(&self, x: &[&Array], ty: &Type) -> Result<Array, CheckFailure> {
                match self {
                    Op::Input(_) | Op::Slot(_) => unreachable!("inputs and slots are given"),
                    Op::Const(value) => Ok(Array::full(ty.clone(), *value)),
                    Op::Scalar(op) => Ok(scalar_reference(*op, x, ty)),
                    $(Op::$name(op) => op.reference(x, ty),)*
                }
            }

            fn attributes(&self) -> String {
                match self {
                    Op::Input(i) | Op::Slot(i) => i.to_string(),
                    Op::Const(value) => value.to_string(),
                    Op::Scalar(_) => String::new(),
                    $(Op::$name(op) => op.attributes(),)*
                }
            }

            /// The generic tests' cases for every structural op.
            pub fn samples() -> Vec<Sample> {
                let mut all = Vec::new();
                $(all.extend($name::samples());)*
                all
            }
        }
    };
}

primitives! {
    Cast, Reduce, Reshape, Permute, Expand, Slice, Flip, Window, Concat, Pad, MatMul, Gather, ScatterAdd,
    OneHot, ArgMax, ArgSort, CumSum, Iota, Random, Check, Conv, ConvInputGrad, ConvWeightGrad, MaxPool,
    MaxPoolIndices, MaxPoolGrad, ConvInputGradPooled, ConvWeightGradPooled, ConvBias, CrossEntropy,
    CrossEntropyGrad, Attention, AttentionGrad, Normalize, NormalizeGrad,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self.attributes() {
            a if a.is_empty() => Ok(()),
            a => write!(f, "[{a}]"),
        }
    }
}

fn scalar_vjp<'g>(op: ScalarOp, v: &Vjp<'_, 'g>) -> Grads<'g> {
    let operand = |i: usize| v.x[i.min(v.x.len() - 1)];
    let rule = crate::scalar::Rule { x: [operand(0), operand(1), operand(2)], y: v.y, dy: v.dy };
    (0..v.x.len())
        .map(|i| {
            let gradient = op.gradient(i).filter(|_| v.needs[i] && v.x[i].dtype().is_float())?;
            // A gradient that is a constant may be smaller than the operand; broadcast it first.
            let full = gradient(&rule).expand(v.y.shape());
            Some(full.sum_to(&v.x[i].shape()))
        })
        .collect()
}

fn scalar_reference(op: ScalarOp, x: &[&Array], ty: &Type) -> Array {
    let x: Vec<Array> = x.iter().map(|a| expand::broadcast(a, &ty.shape)).collect();
    let n = ty.shape.numel();
    let skip = usize::from(op == ScalarOp::Where);
    let operands = x[skip].ty().dtype;
    if operands.is_float() {
        let at = |a: &Array, i: usize| match a.values() {
            crate::Values::Float(v) => v[i],
            crate::Values::Int(v) => v[i] as f64,
        };
        let y: Vec<f64> =
            (0..n).map(|i| op.eval_f64(&x.iter().map(|a| at(a, i)).collect::<Vec<_>>())).collect();
        if ty.dtype.is_float() {
            Array::float(ty.clone(), y)
        } else {
            Array::int(ty.clone(), y.iter().map(|&b| b as i64).collect())
        }
    } else if operands == DType::Bool {
        let y = (0..n).map(|i| {
            i64::from(op.eval_bool(&x.iter().map(|a| a.ints()[i] != 0).collect::<Vec<_>>()))
        });
        Array::int(ty.clone(), y.collect())
    } else {
        let y = (0..n).map(|i| op.eval_i64(&x.iter().map(|a| a.ints()[i]).collect::<Vec<_>>()));
        Array::int(ty.clone(), y.collect())
    }
}

/// The one operand of a unary op.
fn one<'a>(name: &str, x: &[&'a Type]) -> Result<&'a Type, String> {
    match x {
        [x] => Ok(x),
        _ => Err(format!("{name} takes one operand, not {}", x.len())),
    }
}

/// Checks that axes exist, ascend and do not repeat.
fn check_axes(name: &str, axes: &[usize], shape: &Shape) -> Result<(), String> {
    match axes.iter().find(|&&a| a >= shape.rank()) {
        Some(a) => Err(format!(
            "{name}: axis {a} of a tensor of {} axes, shape {shape}; axes count from 0",
            shape.rank()
        )),
        None if axes.windows(2).any(|w| w[0] >= w[1]) => {
            Err(format!("{name}: axes {axes:?} must ascend and not repeat"))
        }
        None => Ok(()),
    }
}
