//! Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024,
//! <https://kellerjordan.github.io/posts/muon>).

use gradus_tensor::{DType, Parameter, Tensor};

use super::options::{WeightDecay, builders, check_not_negative};
use super::stepper::called;
use super::{State, Stepper, UpdateRule};

/// Momentum, made nearly orthogonal: all singular values of the step are about 1. As in PyTorch:
///
/// ```text
/// m ← momentum · m + (1 − momentum) · ∇w
/// u = momentum · m + (1 − momentum) · ∇w  if nesterov, else m
/// x = u / max(‖u‖, eps)                          the transpose if u is tall
/// x ← a · x + (b · xxᵀ + c · (xxᵀ)²) · x         ns_steps times
/// w ← (1 − lr · weight_decay) · w − lr · ratio · x
/// ```
///
/// `ratio` follows from the shape, see [`AdjustLr`].
///
/// It is for the matrices of hidden layers; biases, embeddings and the like go to another optimizer,
/// such as [`AdamW`](super::AdamW):
///
/// ```
/// use gradus_nn::optim::{AdamW, Muon, Optimizer};
/// use gradus_nn::{Layer, Linear, Module};
/// use gradus_tensor::{DType, Tensor};
/// let model = Linear::new(4, 3);
/// let (matrices, rest): (Vec<_>, Vec<_>) =
///     model.parameters().into_iter().partition(|p| p.shape().rank() == 2);
/// let mut muon = Muon::new(matrices, 0.02);
/// let mut adamw = AdamW::new(rest, 3e-4);
///
/// model.forward(&Tensor::ones([2, 4], DType::F32)).square().mean().backward();
/// muon.step()?;
/// adamw.step()?;
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
///
/// As in PyTorch, the iteration rounds every matrix to bfloat16, which is plenty for it;
/// [`ns_dtype`](Muon::ns_dtype) makes it more precise.
///
/// # Errors
/// A step on a parameter that has not two axes.
pub type Muon = Stepper<MuonOptions>;

/// The options of [`Muon`]. They can be changed between steps through [`Stepper::options_mut`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MuonOptions {
    /// The learning rate: 1e-3 by default.
    pub lr: f64,
    /// The part of the weight that goes, times the learning rate: 0.1 by default.
    pub weight_decay: f64,
    /// The decay of the average of gradients: 0.95 by default.
    pub momentum: f64,
    /// Whether to look ahead by the momentum: yes by default.
    pub nesterov: bool,
    /// a, b and c of the iteration: 3.4445, −4.775 and 2.0315 by default.
    pub ns_coefficients: (f64, f64, f64),
    /// The least norm that is divided by: 1e-7 by default.
    pub eps: f64,
    /// How often to iterate: 5 times by default.
    pub ns_steps: usize,
    /// How the learning rate depends on the shape: [`AdjustLr::Original`] by default.
    pub adjust_lr_fn: AdjustLr,
    /// The dtype that the matrices of the iteration are rounded to: bfloat16 by default.
    pub ns_dtype: DType,
}

/// How the learning rate of [`Muon`] depends on the shape `[a, b]` of a matrix, so that matrices of
/// all shapes move alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdjustLr {
    /// Times √max(1, a / b): Jordan's.
    #[default]
    Original,
    /// Times 0.2 · √max(a, b), so that updates are as large as AdamW's and its learning rate and
    /// weight decay can be used (Liu et al., "Muon is scalable for LLM training", 2025,
    /// arXiv:2502.16982).
    MatchRmsAdamw,
    /// Times √(a / b) (Bernstein, "Deriving Muon", 2025).
    SpectralUnclamped,
}

builders! {
    Muon, MuonOptions:
    /// With another weight decay.
    weight_decay(weight_decay: f64) weight_decay;
    /// With another decay of the average of gradients.
    momentum(momentum: f64) momentum;
    /// With Nesterov's momentum, or without.
    nesterov(nesterov: bool) nesterov;
    /// With another iteration.
    ns_coefficients(a: f64, b: f64, c: f64) (a, b, c);
    /// With another least norm.
    eps(eps: f64) eps;
    /// With more iterations, or fewer.
    ns_steps(ns_steps: usize) ns_steps;
    /// With a learning rate that depends on the shape in another way.
    adjust_lr_fn(adjust_lr_fn: AdjustLr) adjust_lr_fn;
    /// With matrices of the iteration in another dtype.
    ns_dtype(ns_dtype: DType) ns_dtype;
}

impl Muon {
    /// Muon of one group of matrices with default options.
    pub fn new(parameters: Vec<Parameter>, lr: f64) -> Muon {
        Muon::with_options(parameters, MuonOptions::new(lr))
    }
}

impl MuonOptions {
    /// The defaults, with a learning rate.
    pub fn new(lr: f64) -> MuonOptions {
        MuonOptions {
            lr,
            weight_decay: 0.1,
            momentum: 0.95,
            nesterov: true,
            ns_coefficients: (3.4445, -4.7750, 2.0315),
            eps: 1e-7,
            ns_steps: 5,
            adjust_lr_fn: AdjustLr::Original,
            ns_dtype: DType::BF16,
        }
    }

    /// A matrix whose singular values are about 1, by the Newton–Schulz iteration.
    fn orthogonal(&self, update: &Tensor, rows: usize, columns: usize) -> Tensor {
        let (a, b, c) = self.ns_coefficients;
        // Products of half-precision matrices are sums in single precision, rounded once.
        let wide = if self.ns_dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let rounded = |x: Tensor| x.cast(self.ns_dtype).cast(wide);
        let tall = rows > columns;
        let mut x = rounded(if tall { update.t() } else { update.clone() });
        let norm = rounded(x.square().sum().sqrt());
        x = rounded(x / norm.maximum(self.eps));
        for _ in 0..self.ns_steps {
            let gram = rounded(x.matmul(&x.t()));
            let polynomial = rounded(&gram * b + gram.matmul(&gram) * c);
            x = rounded(&x * a + polynomial.matmul(&x));
        }
        if tall { x.t() } else { x }
    }
}

impl Default for MuonOptions {
    fn default() -> MuonOptions {
        MuonOptions::new(1e-3)
    }
}

impl AdjustLr {
    /// What multiplies the learning rate of a matrix.
    fn ratio(self, rows: usize, columns: usize) -> f64 {
        let (a, b) = (rows as f64, columns as f64);
        match self {
            AdjustLr::Original => (a / b).max(1.0).sqrt(),
            AdjustLr::MatchRmsAdamw => 0.2 * a.max(b).sqrt(),
            AdjustLr::SpectralUnclamped => (a / b).sqrt(),
        }
    }
}

impl UpdateRule for MuonOptions {
    const NAME: &'static str = "Muon";

    fn lr_mut(&mut self) -> &mut f64 {
        &mut self.lr
    }

    fn momentum_mut(&mut self) -> Option<&mut f64> {
        Some(&mut self.momentum)
    }

    fn check(&self) -> Result<(), String> {
        if self.ns_steps >= 100 {
            return Err(format!("ns_steps are {}; they must be less than 100", self.ns_steps));
        }
        let (a, b, c) = self.ns_coefficients;
        if ![a, b, c].iter().all(|x| x.is_finite()) {
            return Err(format!("ns_coefficients are ({a}, {b}, {c}); they must be finite"));
        }
        if !self.ns_dtype.is_float() {
            return Err(format!("ns_dtype is {}; it must be a float", self.ns_dtype));
        }
        check_not_negative(&[
            ("weight_decay", self.weight_decay),
            ("momentum", self.momentum),
            ("eps", self.eps),
        ])
    }

    fn check_parameter(&self, parameter: &Parameter) -> Result<(), String> {
        let shape = parameter.shape();
        if shape.rank() == 2 {
            return Ok(());
        }
        let whose = match called(parameter) {
            name if parameter.name().is_empty() => name,
            name => format!("{name} of shape {shape}"),
        };
        Err(format!(
            "{whose} is no matrix, and Muon is for matrices; give the others to another optimizer, \
             such as AdamW"
        ))
    }

    fn state(&self) -> &'static [&'static str] {
        &["momentum_buffer"]
    }

    fn update(&self, value: &Tensor, grad: Tensor, state: &mut State) -> Tensor {
        let decay = WeightDecay::new(self.weight_decay, true, self.lr);
        let (value, g) = decay.apply(value, grad, false);
        let &[rows, columns] = &value.shape()[..] else {
            unreachable!("parameters are checked before a step")
        };
        let (keep, take) = (self.momentum, 1.0 - self.momentum);
        let m = state.get("momentum_buffer") * keep + &g * take;
        state.set("momentum_buffer", &m);
        let update = if self.nesterov { m * keep + g * take } else { m };
        let direction = self.orthogonal(&update, rows, columns).cast(value.dtype());
        value - direction * (self.lr * self.adjust_lr_fn.ratio(rows, columns))
    }
}
