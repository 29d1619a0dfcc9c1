//! The line search of [`LBFGS`](super::LBFGS): a step length that satisfies the strong Wolfe
//! conditions (Nocedal and Wright, "Numerical optimization", 2nd edition, algorithms 3.5 and 3.6).
//!
//! It follows PyTorch's decision by decision, so that both ask for the loss at the same points.

use gradus_tensor::{Result, Tensor};

/// Sufficient decrease: the loss falls by this part of what the slope promises…
const C1: f64 = 1e-4;
/// …and curvature: the slope falls to this part of what it was.
const C2: f64 = 0.9;

/// The loss at a point of the line.
#[derive(Clone)]
pub(super) struct Evaluation {
    /// How far along the line.
    pub t: f64,
    pub loss: f64,
    /// The gradient, all parameters in one vector.
    pub grad: Tensor,
    /// The gradient along the line.
    pub slope: f64,
}

/// A point that satisfies the conditions, or the best one found, and the number of evaluations.
///
/// `size` is the largest element of the direction: a bracket that moves no parameter by more than
/// `tolerance` is small enough.
pub(super) fn strong_wolfe(
    evaluate: &mut dyn FnMut(f64) -> Result<Evaluation>,
    start: &Evaluation,
    first: f64,
    size: f64,
    tolerance: f64,
    limit: usize,
) -> Result<(Evaluation, usize)> {
    let too_high = |at: &Evaluation| at.loss > start.loss + C1 * at.t * start.slope;
    let flat = |at: &Evaluation| at.slope.abs() <= -C2 * start.slope;
    let mut new = evaluate(first)?;
    let mut evaluations = 1;
    let mut rounds = 0;

    // Go further until the point is found or lies behind.
    let mut previous = start.clone();
    let mut bracket = None;
    while rounds < limit {
        if too_high(&new) || (rounds > 1 && new.loss >= previous.loss) {
            bracket = Some([previous, new.clone()]);
            break;
        }
        if flat(&new) {
            return Ok((new, evaluations));
        }
        if new.slope >= 0.0 {
            bracket = Some([previous, new.clone()]);
            break;
        }
        let bounds = (new.t + 0.01 * (new.t - previous.t), new.t * 10.0);
        let t = cubic_minimum(&previous, &new, bounds);
        previous = std::mem::replace(&mut new, evaluate(t)?);
        evaluations += 1;
        rounds += 1;
    }
    let mut bracket = bracket.unwrap_or_else(|| [start.clone(), new]);

    // Narrow the bracket down.
    let mut stuck = false;
    let mut low = usize::from(bracket[0].loss > bracket[1].loss);
    while rounds < limit {
        let ends = (bracket[0].t.min(bracket[1].t), bracket[0].t.max(bracket[1].t));
        if (ends.1 - ends.0) * size < tolerance {
            break;
        }
        let mut t = cubic_minimum(&bracket[0], &bracket[1], ends);
        let margin = 0.1 * (ends.1 - ends.0);
        let near_an_end = (ends.1 - t).min(t - ends.0) < margin;
        // The second time in a row, or right at an end, the point moves inwards.
        let inwards = near_an_end && (stuck || t >= ends.1 || t <= ends.0);
        if inwards {
            let right = (t - ends.1).abs() < (t - ends.0).abs();
            t = if right { ends.1 - margin } else { ends.0 + margin };
        }
        stuck = near_an_end && !inwards;

        let new = evaluate(t)?;
        evaluations += 1;
        rounds += 1;
        let high = 1 - low;
        if too_high(&new) || new.loss >= bracket[low].loss {
            bracket[high] = new;
            low = usize::from(bracket[0].loss > bracket[1].loss);
        } else {
            let found = flat(&new);
            if !found && new.slope * (bracket[high].t - bracket[low].t) >= 0.0 {
                bracket[high] = bracket[low].clone();
            }
            bracket[low] = new;
            if found {
                break;
            }
        }
    }
    let [a, b] = bracket;
    Ok((if low == 0 { a } else { b }, evaluations))
}

/// Where the cubic through two points, with their slopes, is least within bounds.
fn cubic_minimum(a: &Evaluation, b: &Evaluation, (least, most): (f64, f64)) -> f64 {
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return (least + most) / 2.0;
    }
    let d2 = square.sqrt();
    let (left, right) = if a.t <= b.t { (a, b) } else { (b, a) };
    let ratio = (right.slope + d2 - d1) / (right.slope - left.slope + 2.0 * d2);
    // If a loss has overflowed and the quotient is NaN, this is the lower bound.
    (right.t - (right.t - left.t) * ratio).max(least).min(most)
}
