//! Dropout (Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
//! JMLR 2014).

use std::fmt;

use gradus_tensor::{Error, ErrorKind, Shape, Tensor};

use crate::{Layer, Mode, Module};

/// In training, zeroes each element with probability `p` and multiplies the others by `1 / (1 −
/// p)`, which keeps the expected value; in evaluation, passes its input on.
///
/// Each call draws a mask of its own from the thread's generator
/// ([`manual_seed`](gradus_tensor::manual_seed)). Masks are keyed by sample: the parts of a batch get
/// those of the whole ([`with_samples`](gradus_tensor::with_samples)).
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

macro_rules! of_channels {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Module)]
        #[module(crate = crate)]
        pub struct $name {
            p: f64,
            mode: Mode,
        }

        impl $name {
            /// Zeroes with probability `p`.
            pub fn new(p: f64) -> $name {
                $name { p, mode: Mode::default() }
            }
        }
    )*};
}

of_channels! {
    /// [`Dropout`] of whole channels of `[batch, channels, length]` or `[channels, length]` (Tompson et
    /// al., "Efficient object localization using convolutional networks", CVPR 2015): neighbouring
    /// positions say much the same, so that dropping some of them drops nothing.
    ///
    /// # Errors
    /// If `p` is not in 0..=1 or the input has another rank.
    Dropout1d;
    /// [`Dropout`] of whole channels of images, `[batch, channels, height, width]`.
    ///
    /// # Errors
    /// If `p` is not in 0..=1 or the input has another rank.
    ///
    /// ```
    /// use gradus_nn::{Dropout2d, Layer};
    /// use gradus_tensor::{DType, Tensor, manual_seed};
    /// manual_seed(0);
    /// let y = Dropout2d::new(0.5).forward(&Tensor::ones([1, 8, 2, 2], DType::F32));
    /// let channels = y.to_vec::<f32>()?;
    /// assert!(channels.chunks(4).all(|c| c == [0.0; 4] || c == [2.0; 4]));
    /// # Ok::<(), gradus_tensor::Error>(())
    /// ```
    Dropout2d;
    /// In training, sets elements to the negative limit of [`SELU`](crate::SELU) with probability `p`,
    /// then scales and shifts, which keeps mean 0 and variance 1 (Klambauer et al.,
    /// "Self-normalizing neural networks", NeurIPS 2017).
    ///
    /// # Errors
    /// If `p` is not in 0..=1 or the input holds no floats.
    AlphaDropout;
}

impl Layer for Dropout {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        match keep(input, self.p, &self.mode, Shape::clone) {
            Ok(None) => input.clone(),
            Ok(Some(keep)) => scaled(input, &keep, self.p).within(input, self),
            Err(failed) => failed.within(input, self),
        }
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for Dropout1d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let channels = |shape: &Shape| match shape[..] {
            [channels, _] => [channels, 1].into(),
            _ => [shape[0], shape[1], 1].into(),
        };
        let expected = "[batch, channels, length] or [channels, length]";
        dropped(self, input, self.p, &self.mode, (2..=3, expected), channels)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for Dropout2d {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let channels = |shape: &Shape| [shape[0], shape[1], 1, 1].into();
        let expected = "[batch, channels, height, width]";
        dropped(self, input, self.p, &self.mode, (4..=4, expected), channels)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for AlphaDropout {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        /// What SELU tends to far below 0.
        const LIMIT: f64 = -1.758_099_340_847_376_6;
        let keep = match keep(input, self.p, &self.mode, Shape::clone) {
            Ok(None) => return input.clone(),
            Ok(Some(keep)) => keep,
            Err(failed) => return failed.within(input, self),
        };
        let p = self.p;
        if p == 1.0 {
            return (input * 0.0).within(input, self);
        }
        let scale = 1.0 / ((1.0 - p) * (1.0 + p * LIMIT * LIMIT)).sqrt();
        let shifted = Tensor::where_(&keep, input, LIMIT) * scale - scale * LIMIT * p;
        shifted.within(input, self)
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

/// Dropout of channels, after a look at the rank.
#[track_caller]
fn dropped(
    layer: &dyn fmt::Display,
    input: &Tensor,
    p: f64,
    mode: &Mode,
    (ranks, expected): (std::ops::RangeInclusive<usize>, &str),
    channels: impl Fn(&Shape) -> Shape,
) -> Tensor {
    let Ok(shape) = input.try_shape() else { return input.clone() };
    if !ranks.contains(&shape.rank()) {
        let message = format!("dropout: expects {expected}, not {shape}");
        return Tensor::from_error(Error::here(ErrorKind::Shape, message)).within(input, layer);
    }
    match keep(input, p, mode, channels) {
        Ok(None) => input.clone(),
        Ok(Some(keep)) => scaled(input, &keep, p).within(input, layer),
        Err(failed) => failed.within(input, layer),
    }
}

/// What is kept of an input, as `bool`; `None` if everything is.
#[track_caller]
fn keep(
    input: &Tensor,
    p: f64,
    mode: &Mode,
    shape: impl Fn(&Shape) -> Shape,
) -> Result<Option<Tensor>, Tensor> {
    if !(0.0..=1.0).contains(&p) {
        let message = format!("dropout: p is {p}; a probability lies between 0 and 1");
        return Err(Tensor::from_error(Error::here(ErrorKind::Usage, message)));
    }
    if !mode.is_training() || p == 0.0 {
        return Ok(None);
    }
    let Ok(full) = input.try_shape() else { return Err(input.clone()) };
    let mask = shape(full);
    let drawn = input.rand_by_sample(mask);
    if drawn.error().is_some() { Err(drawn) } else { Ok(Some(drawn.ge(p))) }
}

/// The input where kept, scaled up.
#[track_caller]
fn scaled(input: &Tensor, keep: &Tensor, p: f64) -> Tensor {
    // Nothing is kept where p = 1; its scale must be finite all the same, for the gradient.
    let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    Tensor::where_(keep, input * scale, 0.0)
}

macro_rules! shown {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "(p={})"), self.p)
            }
        }
    )*};
}
shown!(Dropout, Dropout1d, Dropout2d, AlphaDropout);
