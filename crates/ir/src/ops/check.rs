//! Conditions on values, tested while the plan runs: labels in range, a finite loss.
//!
//! A check passes its operand through, so whatever uses the result depends on it; and it is an effect, so it
//! runs even if nothing does. Every check of a plan runs before the first parameter is overwritten.

use std::fmt;

use smallvec::smallvec;

use super::{Grads, Primitive, Sample, SampleInput, Vjp, one};
use crate::{Array, Type, Values};

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Every element lies in `0..bound`.
    Below(usize),
    /// Every element is finite.
    Finite,
    /// No element exceeds 2⁴⁸ in size: what [`Finite`](CheckKind::Finite) of a sum of up to 2²⁴ products asks of their
    /// factors (see `passes::factors`).
    Small,
    /// No element is zero.
    NonZero,
}

/// Passes its operand through if every element satisfies a condition; otherwise the plan fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// The condition.
    pub kind: CheckKind,
    /// What the values are, for the error: "label", "index", "loss".
    pub what: &'static str,
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckFailure {
    /// Which check of the plan: its rank among the checks, in the order of the graph.
    pub check: usize,
    /// The first element that fails, counted row-major.
    pub position: usize,
    /// Its value.
    pub value: f64,
}

impl CheckKind {
    /// The largest size that passes, where size is all that counts: NaN has none.
    pub fn limit(self) -> Option<f64> {
        match self {
            CheckKind::Finite => Some(f64::MAX),
            CheckKind::Small => Some((1u64 << 48) as f64),
            CheckKind::Below(_) | CheckKind::NonZero => None,
        }
    }

    /// Whether a value passes.
    pub fn accepts(self, value: f64) -> bool {
        match self {
            CheckKind::Below(bound) => (0.0..bound as f64).contains(&value),
            CheckKind::Finite | CheckKind::Small => {
                self.limit().is_some_and(|limit| value.abs() <= limit)
            }
            CheckKind::NonZero => value != 0.0,
        }
    }
}

impl Check {
    /// The error message for a failure.
    pub fn explain(&self, failure: &CheckFailure) -> String {
        let CheckFailure { position, value, .. } = failure;
        match self.kind {
            CheckKind::Below(bound) if self.what == "label" => format!(
                "label {value} at position {position} is out of range: there are {bound} classes, \
                 labels run from 0 to {}",
                bound.saturating_sub(1)
            ),
            CheckKind::Below(bound) => format!(
                "{} {value} at position {position} is out of range: it must lie between 0 and {}",
                self.what,
                bound.saturating_sub(1)
            ),
            CheckKind::Finite => {
                format!("{} is {value} at position {position}: it must be finite", self.what)
            }
            CheckKind::Small => {
                format!("a factor of {} is {value} at position {position}: it is large", self.what)
            }
            CheckKind::NonZero => {
                format!("{} is 0 at position {position}: integers have no quotient by 0", self.what)
            }
        }
    }
}

impl fmt::Display for CheckKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CheckKind::Below(bound) => write!(f, "below {bound}"),
            CheckKind::Finite => f.write_str("finite"),
            CheckKind::Small => f.write_str("small"),
            CheckKind::NonZero => f.write_str("not zero"),
        }
    }
}

impl Primitive for Check {
    const NAME: &'static str = "check";
    const EFFECT: bool = true;

    fn infer(&self, x: &[&Type]) -> Result<Type, String> {
        let x = one(Self::NAME, x)?;
        match self.kind {
            CheckKind::Below(_) if !x.dtype.is_int() => {
                Err(format!("{}: must be integers, not {}", self.what, x.dtype))
            }
            CheckKind::Finite | CheckKind::Small if !x.dtype.is_float() => {
                Err(format!("{}: only floats can be infinite, not {}", self.what, x.dtype))
            }
            _ => Ok(x.clone()),
        }
    }

    fn vjp<'g>(&self, v: &Vjp<'_, 'g>) -> Option<Grads<'g>> {
        Some(smallvec![Some(v.dy)])
    }

    fn reference(&self, x: &[&Array], _: &Type) -> Result<Array, CheckFailure> {
        let failed = match x[0].values() {
            Values::Float(v) => v.iter().position(|&x| !self.kind.accepts(x)).map(|i| (i, v[i])),
            Values::Int(v) => {
                v.iter().position(|&x| !self.kind.accepts(x as f64)).map(|i| (i, v[i] as f64))
            }
        };
        match failed {
            Some((position, value)) => Err(CheckFailure { check: 0, position, value }),
            None => Ok(x[0].clone()),
        }
    }

    fn attributes(&self) -> String {
        format!("{} {}", self.what, self.kind)
    }

    fn samples() -> Vec<Sample> {
        let below = Check { kind: CheckKind::Below(7), what: "label" };
        let finite = Check { kind: CheckKind::Finite, what: "loss" };
        vec![
            Sample::new(below.clone(), vec![SampleInput::index([6], 7)]),
            Sample::new(below, vec![SampleInput::index([0], 7)]),
            Sample::unary(finite, [3, 2]),
        ]
    }
}
