//! What each case calls.

use gradus_tensor::{DType, IntoOperand, Operator, Rounding, Scalar, Tensor};
use serde_json::Value;

use crate::Case;

/// The outputs of a case's function.
pub fn apply(case: &Case, x: &[Tensor]) -> Vec<Tensor> {
    let a = Attributes(case);
    if let Some(y) = unary(&case.torch, &a, x) {
        return vec![y];
    }
    if let Some(y) = binary(&case.torch, &a, x) {
        return vec![y];
    }
    if let Some(y) = reduction(&case.torch, &a, x) {
        return y;
    }
    if let Some(y) = created(&case.torch, &a) {
        return vec![y];
    }
    if let Some(y) = structure(&case.torch, &a, x) {
        return vec![y];
    }
    several(&case.torch, &a, x)
}

fn unary(name: &str, a: &Attributes<'_>, x: &[Tensor]) -> Option<Tensor> {
    let x = x.first()?;
    Some(match name {
        "abs" => x.abs(),
        "acos" => x.acos(),
        "acosh" => x.acosh(),
        "asin" => x.asin(),
        "asinh" => x.asinh(),
        "atan" => x.atan(),
        "atanh" => x.atanh(),
        "bitwise_not" => x.bitwise_not(),
        "ceil" => x.ceil(),
        "cos" => x.cos(),
        "cosh" => x.cosh(),
        "deg2rad" => x.deg2rad(),
        "digamma" => x.digamma(),
        "erf" => x.erf(),
        "erfc" => x.erfc(),
        "erfinv" => x.erfinv(),
        "exp" => x.exp(),
        "exp2" => x.exp2(),
        "expm1" => x.expm1(),
        "floor" => x.floor(),
        "frac" => x.frac(),
        "isfinite" => x.isfinite(),
        "isinf" => x.isinf(),
        "isnan" => x.isnan(),
        "isneginf" => x.isneginf(),
        "isposinf" => x.isposinf(),
        "lgamma" => x.lgamma(),
        "log" => x.log(),
        "log10" => x.log10(),
        "log1p" => x.log1p(),
        "log2" => x.log2(),
        "logical_not" => x.logical_not(),
        "logit" => x.logit(a.float("eps")),
        "nan_to_num" => {
            x.nan_to_num(a.float("nan").unwrap_or(0.0), a.float("posinf"), a.float("neginf"))
        }
        "neg" => x.neg(),
        "rad2deg" => x.rad2deg(),
        "reciprocal" => x.reciprocal(),
        "round" => match a.int("decimals") {
            Some(decimals) => x.round_decimals(decimals as i32),
            None => x.round(),
        },
        "rsqrt" => x.rsqrt(),
        "sigmoid" => x.sigmoid(),
        "sign" => x.sign(),
        "signbit" => x.signbit(),
        "sin" => x.sin(),
        "sinc" => x.sinc(),
        "sinh" => x.sinh(),
        "sqrt" => x.sqrt(),
        "square" => x.square(),
        "tan" => x.tan(),
        "tanh" => x.tanh(),
        "trunc" => x.trunc(),
        _ => return None,
    })
}

fn binary(name: &str, a: &Attributes<'_>, x: &[Tensor]) -> Option<Tensor> {
    let first = x.first()?;
    // The operand number `i`, or the number in the code.
    let operand = |i: usize, key: &str| match (x.get(i), a.scalar(key)) {
        (Some(t), _) => Given(t.into_operand()),
        (None, Some(s)) => Given(Operator::Number(s)),
        (None, None) => panic!("{}: no operand {key}", a.0.id),
    };
    let other = || operand(1, "other");
    Some(match name {
        "atan2" => first.atan2(other()),
        "bitwise_and" => first.bitwise_and(other()),
        "bitwise_left_shift" => first.bitwise_left_shift(other()),
        "bitwise_or" => first.bitwise_or(other()),
        "bitwise_right_shift" => first.bitwise_right_shift(other()),
        "bitwise_xor" => first.bitwise_xor(other()),
        "copysign" => first.copysign(other()),
        "div" => match a.text("rounding_mode") {
            Some("floor") => first.div_rounded(other(), Rounding::Floor),
            _ => first.div_rounded(other(), Rounding::Trunc),
        },
        "eq" => first.eq(other()),
        "floor_divide" => first.floor_divide(other()),
        "fmax" => first.fmax(other()),
        "fmin" => first.fmin(other()),
        "fmod" => first.fmod(other()),
        "ge" => first.ge(other()),
        "gt" => first.gt(other()),
        "heaviside" => first.heaviside(&x[1]),
        "hypot" => first.hypot(other()),
        "isclose" => {
            let (rtol, atol) = (a.float("rtol"), a.float("atol"));
            first.isclose(&x[1], rtol.unwrap_or(1e-5), atol.unwrap_or(1e-8), a.flag("equal_nan"))
        }
        "le" => first.le(other()),
        "logaddexp" => first.logaddexp(other()),
        "logaddexp2" => first.logaddexp2(other()),
        "logical_and" => first.logical_and(&x[1]),
        "logical_or" => first.logical_or(&x[1]),
        "logical_xor" => first.logical_xor(&x[1]),
        "lt" => first.lt(other()),
        "maximum" => first.maximum(other()),
        "minimum" => first.minimum(other()),
        "ne" => first.ne(other()),
        "pow" => first.pow(other()),
        "remainder" => first.remainder(other()),
        "xlogy" => first.xlogy(other()),
        "addcmul" => first.addcmul(&x[1], &x[2], a.float("value").unwrap_or(1.0)),
        "addcdiv" => first.addcdiv(&x[1], &x[2], a.float("value").unwrap_or(1.0)),
        "lerp" => first.lerp(&x[1], operand(2, "weight")),
        "clamp" | "clip" => match (a.scalar("min"), a.scalar("max")) {
            _ if x.len() == 3 => first.clamp(&x[1], &x[2]),
            (Some(_), Some(_)) if name == "clip" => {
                first.clip(operand(3, "min"), operand(3, "max"))
            }
            (Some(_), Some(_)) => first.clamp(operand(3, "min"), operand(3, "max")),
            (Some(_), None) => first.clamp_min(operand(3, "min")),
            _ => first.clamp_max(operand(3, "max")),
        },
        "clamp_min" => first.clamp_min(operand(1, "min")),
        "clamp_max" => first.clamp_max(operand(1, "max")),
        "where" => Tensor::where_(first, &x[1], &x[2]),
        _ => return None,
    })
}

fn reduction(name: &str, a: &Attributes<'_>, x: &[Tensor]) -> Option<Vec<Tensor>> {
    let first = x.first()?;
    let (axes, keepdim) = (a.ints("dim"), a.flag("keepdim"));
    let correction = a.int("correction").unwrap_or(1) as usize;
    let axis = axes.first().copied();
    Some(match name {
        "all" => vec![first.all(&axes, keepdim)],
        "any" => vec![first.any(&axes, keepdim)],
        "amax" => vec![first.amax(&axes, keepdim)],
        "amin" => vec![first.amin(&axes, keepdim)],
        "aminmax" => pair(first.aminmax(&axes, keepdim)),
        "argmin" => vec![first.argmin(axis?)],
        "corrcoef" => vec![first.corrcoef()],
        "count_nonzero" => vec![first.count_nonzero(&axes, keepdim)],
        "cov" => vec![first.cov(correction)],
        "linalg.vector_norm" => vec![first.norm(a.float("ord")?, &axes, keepdim)],
        "logsumexp" => vec![first.logsumexp(&axes, keepdim)],
        "max" => pair(first.max(axis?, keepdim)),
        "min" => pair(first.min(axis?, keepdim)),
        "prod" => vec![first.prod(&axes, keepdim)],
        "std" => vec![first.std(&axes, correction, keepdim)],
        "std_mean" => pair(first.std_mean(&axes, correction, keepdim)),
        "var" => vec![first.var(&axes, correction, keepdim)],
        "var_mean" => pair(first.var_mean(&axes, correction, keepdim)),
        "cdist" => vec![first.cdist(&x[1], a.float("p")?)],
        "nn.functional.cosine_similarity" => vec![first.cosine_similarity(&x[1], axis?, 1e-8)],
        _ => return None,
    })
}

fn structure(name: &str, a: &Attributes<'_>, x: &[Tensor]) -> Option<Tensor> {
    let list: Vec<&Tensor> = x.iter().collect();
    let first = x.first()?;
    let axis = a.ints("dim").first().copied().unwrap_or(0);
    let counts = |key: &str| a.ints(key).iter().map(|&n| n as usize).collect::<Vec<_>>();
    let factor = |key: &str| a.float(key).unwrap_or(1.0);
    let offset = || a.int("offset").unwrap_or(0);
    let diagonal = a.int("diagonal").unwrap_or(0);
    Some(match name {
        "stack" => Tensor::stack(&list, axis),
        "cat" => Tensor::cat(&list, axis),
        "hstack" => Tensor::hstack(&list),
        "vstack" => Tensor::vstack(&list),
        "dstack" => Tensor::dstack(&list),
        "roll" => first.roll(&a.ints("shifts"), &a.ints("dims")),
        "Tensor.repeat" => first.repeat(&counts("repeats")),
        "tile" => first.tile(&counts("dims")),
        "repeat_interleave" => first.repeat_interleave(a.int("repeats")? as usize, axis),
        "movedim" => first.movedim(&a.ints("source"), &a.ints("destination")),
        "swapaxes" => first.swapaxes(a.int("axis0")?, a.int("axis1")?),
        "squeeze" => match a.ints("dim")[..] {
            [] => first.squeeze_all(),
            [axis] => first.squeeze(axis),
            _ => first.squeeze_axes(&a.ints("dim")),
        },
        "unsqueeze" => first.unsqueeze(axis),
        "unflatten" => first.unflatten(axis, &a.ints("sizes")),
        "broadcast_to" => first.broadcast_to(counts("size")),
        "tril" => first.tril(diagonal),
        "triu" => first.triu(diagonal),
        "diagonal" => {
            first.diagonal(offset(), a.int("dim1").unwrap_or(0), a.int("dim2").unwrap_or(1))
        }
        "diag" => first.diag(diagonal),
        "trace" => first.trace(),
        "outer" => first.outer(&x[1]),
        "dot" => first.dot(&x[1]),
        "mv" => first.mv(&x[1]),
        "mm" => first.mm(&x[1]),
        "bmm" => first.bmm(&x[1]),
        "addmm" => first.addmm(&x[1], &x[2], factor("beta"), factor("alpha")),
        "addmv" => first.addmv(&x[1], &x[2], factor("beta"), factor("alpha")),
        "baddbmm" => first.baddbmm(&x[1], &x[2], factor("beta"), factor("alpha")),
        "einsum" => Tensor::einsum(a.text("equation")?, &list),
        "Tensor.masked_fill" => {
            first.masked_fill(&x[1], Given(Operator::Number(a.scalar("value")?)))
        }
        "masked_select" => first.masked_select(&x[1]),
        "nonzero" => first.nonzero(),
        "index_select" => first.index_select(axis, &x[1]),
        "take" => first.take(&x[1]),
        "take_along_dim" => first.take_along_dim(&x[1], axis),
        "gather" => first.gather(axis, &x[1]),
        "index_add" => first.index_add(axis, &x[1], &x[2]),
        "scatter" => match (x.get(2), a.scalar("value")) {
            (Some(source), _) => first.scatter(axis, &x[1], source),
            (None, value) => first.scatter(axis, &x[1], Given(Operator::Number(value?))),
        },
        "scatter_add" => first.scatter_add(axis, &x[1], &x[2]),
        "nn.functional.one_hot" => first.one_hot(a.int("num_classes")? as usize),
        "full_like" => first.full_like(a.scalar("fill_value")?),
        "zeros_like" => first.zeros_like(),
        "ones_like" => first.ones_like(),
        _ => return None,
    })
}

fn several(name: &str, a: &Attributes<'_>, x: &[Tensor]) -> Vec<Tensor> {
    let axis = a.ints("dim").first().copied().unwrap_or(0);
    match name {
        "meshgrid" => Tensor::meshgrid(&x.iter().collect::<Vec<_>>()),
        "split" => match a.0.attrs["split_size_or_sections"].as_u64() {
            Some(size) => x[0].split(size as usize, axis),
            None => {
                let sizes = a.ints("split_size_or_sections");
                x[0].split_sizes(&sizes.iter().map(|&n| n as usize).collect::<Vec<_>>(), axis)
            }
        },
        "chunk" => x[0].chunk(a.int("chunks").unwrap() as usize, axis),
        "tensor_split" => x[0].tensor_split(a.int("sections").unwrap() as usize, axis),
        "unbind" => x[0].unbind(axis),
        _ => panic!("{}: unknown function {name}", a.0.id),
    }
}

fn created(name: &str, a: &Attributes<'_>) -> Option<Tensor> {
    let dtype = DType::ALL.into_iter().find(|d| Some(d.name()) == a.text("dtype"))?;
    let size = || a.ints("size").iter().map(|&n| n as usize).collect::<Vec<_>>();
    let steps = || a.int("steps").unwrap() as usize;
    let (start, end) = (a.float("start"), a.float("end"));
    Some(match name {
        "linspace" => Tensor::linspace(start?, end?, steps(), dtype),
        "logspace" => Tensor::logspace(start?, end?, steps(), a.float("base")?, dtype),
        "arange" => {
            Tensor::arange_step(a.scalar("start")?, a.scalar("end")?, a.scalar("step")?, dtype)
        }
        "eye" => Tensor::eye(a.int("n")? as usize, dtype),
        "zeros" => Tensor::zeros(size(), dtype),
        "ones" => Tensor::ones(size(), dtype),
        "full" => Tensor::full(size(), a.scalar("fill_value")?, dtype),
        _ => return None,
    })
}

fn pair((a, b): (Tensor, Tensor)) -> Vec<Tensor> {
    vec![a, b]
}

/// An operand that the case chooses.
struct Given<'t>(Operator<'t>);

impl IntoOperand for Given<'_> {
    fn into_operand<'a>(self) -> Operator<'a>
    where
        Self: 'a,
    {
        self.0
    }
}

/// The attributes of a case.
struct Attributes<'c>(&'c Case);

impl Attributes<'_> {
    fn int(&self, key: &str) -> Option<isize> {
        self.0.attrs.get(key)?.as_i64().map(|i| i as isize)
    }

    /// A list, or one number as a list of one.
    fn ints(&self, key: &str) -> Vec<isize> {
        match self.0.attrs.get(key) {
            Some(Value::Array(list)) => list.iter().map(|v| v.as_i64().unwrap() as isize).collect(),
            Some(Value::Number(n)) => vec![n.as_i64().unwrap() as isize],
            _ => vec![],
        }
    }

    /// A number; infinities are written as text.
    fn float(&self, key: &str) -> Option<f64> {
        let value = self.0.attrs.get(key)?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok())
    }

    fn scalar(&self, key: &str) -> Option<Scalar> {
        match self.0.attrs.get(key)? {
            Value::Bool(b) => Some(Scalar::Bool(*b)),
            Value::Number(n) if n.is_i64() => n.as_i64().map(Scalar::I64),
            _ => self.float(key).map(Scalar::F64),
        }
    }

    fn flag(&self, key: &str) -> bool {
        self.0.attrs.get(key).and_then(Value::as_bool).unwrap_or(false)
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.0.attrs.get(key)?.as_str()
    }
}
