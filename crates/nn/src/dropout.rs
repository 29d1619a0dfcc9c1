//! Dropout (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
//! JMLR 2014).

use std::fmt;

use gradus_tensor::{Error, ErrorKind, Tensor};

use crate::{Layer, Mode, Module};

/// In training, zeroes each element with probability `p` and multiplies the others by `1 / (1 −
/// p)`, which keeps the expected value; in evaluation, passes its input on.
///
/// Each call draws a mask of its own from the thread's generator
/// ([`manual_seed`](gradus_tensor::manual_seed)).
///
/// # Errors
/// If `p` is not in 0..=1 or the input holds no floats, the output is a failed tensor.
///
/// ```
/// use gradus_nn::{Dropout, Layer, Module};
/// use gradus_tensor::{DType, Tensor, manual_seed};
/// manual_seed(0);
/// let (dropout, x) = (Dropout::new(0.5), Tensor::ones([100], DType::F32));
/// let y = dropout.forward(&x).to_vec::<f32>()?;
/// assert!(y.contains(&0.0) && y.contains(&2.0));
/// dropout.eval();
/// assert_eq!(dropout.forward(&x).to_vec::<f32>()?, [1.0; 100]);
/// # Ok::<(), gradus_tensor::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
#[module(crate = crate)]
pub struct Dropout {
    p: f64,
    mode: Mode,
}

impl Dropout {
    /// Zeroes elements with probability `p`.
    pub fn new(p: f64) -> Dropout {
        Dropout { p, mode: Mode::default() }
    }
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let p = self.p;
        if !(0.0..=1.0).contains(&p) {
            let message = format!("dropout: p is {p}; a probability lies between 0 and 1");
            return Tensor::from_error(Error::new(ErrorKind::Usage, message)).within(input, self);
        }
        if !self.mode.is_training() || p == 0.0 {
            return input.clone();
        }
        // Nothing is kept where p = 1; its scale must be finite all the same, for the gradient.
        let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
        let keep = input.rand_like().ge(p);
        Tensor::where_(&keep, input * scale, 0.0).within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Dropout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dropout(p={})", self.p)
    }
}
