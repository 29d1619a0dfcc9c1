//! What L-BFGS remembers, and the direction that follows from it: the two-loop recursion (Nocedal,
//! "Updating quasi-Newton matrices with limited storage", Mathematics of Computation 35, 1980).

use std::collections::{HashMap, VecDeque};

use gradus_tensor::{DType, Device, Result, Tensor, Variable, evaluate, no_grad};

use crate::StateDict;
use crate::module::assign;

/// What is remembered from one iteration to the next, across steps.
#[derive(Clone)]
pub(super) struct Memory {
    /// How often the loss was asked for, and how many iterations there were.
    pub func_evals: u64,
    pub n_iter: u64,
    pub last: Option<Last>,
    history: VecDeque<Pair>,
    /// The scale of the estimate without history.
    h_diag: f64,
}

/// The last iteration: its direction, its length and the gradient it started from.
#[derive(Clone)]
pub(super) struct Last {
    pub d: Tensor,
    pub t: f64,
    pub grad: Tensor,
}

/// A change of the gradient, the step that made it, and 1 / (y · s).
#[derive(Clone)]
struct Pair {
    y: Tensor,
    s: Tensor,
    ro: f64,
}

impl Memory {
    /// The direction of the next iteration: the gradient times the estimate of the inverse Hessian
    /// that the last `size` pairs make, downhill.
    pub fn direction(&mut self, grad: &Tensor, size: usize) -> Result<Tensor> {
        let Memory { n_iter, last, history, h_diag, .. } = self;
        *n_iter += 1;
        if let Some(last) = last {
            let (y, s) = (grad - &last.grad, &last.d * last.t);
            let (ys, yy) = (dot(&y, &s), dot(&y, &y));
            let (ys, yy) = (number(&ys)?, number(&yy)?);
            // Without curvature the estimate would not stay positive.
            if ys > 1e-10 {
                while history.len() >= size {
                    history.pop_front();
                }
                history.push_back(Pair { y, s, ro: 1.0 / ys });
                *h_diag = ys / yy;
            }
        }
        // Each round is one small plan, the same for every pair.
        let mut d = -grad;
        let mut alphas = Vec::with_capacity(history.len());
        for pair in history.iter().rev() {
            let alpha = dot(&pair.s, &d) * pair.ro;
            d = &d - &pair.y * &alpha;
            d.eval()?;
            alphas.push(alpha);
        }
        d = d * *h_diag;
        for (pair, alpha) in history.iter().zip(alphas.iter().rev()) {
            let beta = dot(&pair.y, &d) * pair.ro;
            d = &d + &pair.s * (alpha - beta);
            d.eval()?;
        }
        d.eval()?;
        Ok(d)
    }

    /// Under PyTorch's names; empty before the first step.
    pub fn state_dict(&self) -> StateDict {
        let Memory { func_evals, n_iter, last, history, h_diag } = self;
        let mut state = StateDict::default();
        if *func_evals == 0 {
            return state;
        }
        let count = |n: u64| Tensor::from_slice(&[n as i64], []);
        let number = |x: f64| Tensor::from_slice(&[x], []);
        state.insert("0.func_evals", count(*func_evals));
        state.insert("0.n_iter", count(*n_iter));
        state.insert("0.H_diag", number(*h_diag));
        if let Some(Last { d, t, grad }) = last {
            state.insert("0.d", d.clone());
            state.insert("0.t", number(*t));
            state.insert("0.prev_flat_grad", grad.clone());
        }
        if !history.is_empty() {
            let stack = |of: fn(&Pair) -> &Tensor| {
                no_grad(|| Tensor::stack(&history.iter().map(of).collect::<Vec<_>>(), 0))
            };
            let ro: Vec<f64> = history.iter().map(|pair| pair.ro).collect();
            state.insert("0.old_dirs", stack(|pair| &pair.y));
            state.insert("0.old_stps", stack(|pair| &pair.s));
            state.insert("0.ro", Tensor::from_slice(&ro, [ro.len()]));
        }
        state
    }

    /// What a state holds, of `n` parameters of this dtype in all.
    pub fn load(saved: &StateDict, n: usize, dtype: DType, device: Device) -> Result<Memory> {
        if saved.is_empty() {
            return Ok(Memory::default());
        }
        let vector = |rows: Option<usize>| {
            let shape: Vec<usize> = rows.into_iter().chain([n]).collect();
            Variable::new(Tensor::zeros(shape, dtype).to(device))
        };
        let count = || Variable::new(Tensor::from_slice(&[0i64], []));
        let number = || Variable::new(Tensor::from_slice(&[0f64], []));
        let mut cells =
            vec![("0.func_evals", count()), ("0.n_iter", count()), ("0.H_diag", number())];
        // What is there beyond that depends on how far the run was.
        if saved.get("0.d").is_some() {
            cells.extend([("0.d", vector(None)), ("0.t", number())]);
            cells.push(("0.prev_flat_grad", vector(None)));
        }
        let pairs = match saved.get("0.ro") {
            Some(ro) => ro.try_shape()?.numel(),
            None => 0,
        };
        if pairs > 0 {
            let ro = Variable::new(Tensor::from_slice(&vec![0f64; pairs], [pairs]));
            cells
                .extend([("0.old_dirs", vector(Some(pairs))), ("0.old_stps", vector(Some(pairs)))]);
            cells.push(("0.ro", ro));
        }
        let entries: HashMap<&str, &Tensor> = saved.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let named: Vec<(String, Variable)> =
            cells.iter().map(|(name, cell)| ((*name).to_owned(), cell.clone())).collect();
        assign("LBFGS", &named, &entries)?;

        let cells: HashMap<&str, Tensor> =
            cells.into_iter().map(|(name, cell)| (name, cell.get())).collect();
        let mut memory = Memory {
            func_evals: cells["0.func_evals"].item::<i64>()?.max(0) as u64,
            n_iter: cells["0.n_iter"].item::<i64>()?.max(0) as u64,
            h_diag: cells["0.H_diag"].item()?,
            ..Memory::default()
        };
        if let Some(d) = cells.get("0.d") {
            let (t, grad) = (cells["0.t"].item()?, cells["0.prev_flat_grad"].clone());
            memory.last = Some(Last { d: d.clone(), t, grad });
        }
        if pairs > 0 {
            for (i, ro) in cells["0.ro"].to_vec()?.into_iter().enumerate() {
                let (y, s) = (cells["0.old_dirs"].select(0, i), cells["0.old_stps"].select(0, i));
                memory.history.push_back(Pair { y, s, ro });
            }
            evaluate()?;
        }
        Ok(memory)
    }
}

impl Default for Memory {
    fn default() -> Memory {
        Memory { func_evals: 0, n_iter: 0, last: None, history: VecDeque::new(), h_diag: 1.0 }
    }
}

pub(super) fn dot(a: &Tensor, b: &Tensor) -> Tensor {
    (a * b).sum()
}

pub(super) fn number(x: &Tensor) -> Result<f64> {
    x.item()
}
