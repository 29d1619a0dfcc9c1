//! What the options of optimizers have in common: builder methods, checks, weight decay.

use gradus_tensor::Tensor;

/// Builder methods, alike on the optimizer, where they apply to all groups so far, and on its
/// options. `name(argument: Type) value;` sets the option `name` to `value`.
macro_rules! builders {
    ($optimizer:ident, $options:ident:
     $($(#[$doc:meta])* $name:ident($($argument:ident: $t:ty),+) $value:expr;)*) => {
        impl $optimizer {
            $($(#[$doc])*
            ///
            /// Applies to all groups so far.
            #[must_use]
            pub fn $name(self, $($argument: $t),+) -> $optimizer {
                self.with(|options| options.$name = $value)
            })*
        }

        impl $options {
            $($(#[$doc])*
            #[must_use]
            pub fn $name(mut self, $($argument: $t),+) -> $options {
                self.$name = $value;
                self
            })*
        }
    };
}
pub(super) use builders;

/// Both decays of averages must lie in 0..1.
pub(super) fn check_betas(betas: (f64, f64)) -> Result<(), String> {
    for beta in [betas.0, betas.1] {
        if !(0.0..1.0).contains(&beta) {
            return Err(format!("betas are {betas:?}; both must lie in 0..1"));
        }
    }
    Ok(())
}

/// Numbers that must be finite and not negative.
pub(super) fn check_not_negative(options: &[(&str, f64)]) -> Result<(), String> {
    for (name, value) in options {
        if !(value.is_finite() && *value >= 0.0) {
            return Err(format!("{name} is {value}; it must be finite and not negative"));
        }
    }
    Ok(())
}

/// What weights lose in a step, apart from what the loss wants.
#[derive(Clone, Copy)]
pub(super) enum WeightDecay {
    /// This much of the weight is added to its gradient.
    L2(f64),
    /// The weight is multiplied by 1 − lr · weight_decay.
    Decoupled { lr: f64, weight_decay: f64 },
}

impl WeightDecay {
    /// Decoupled or not, as an option says.
    pub(super) fn new(weight_decay: f64, decoupled: bool, lr: f64) -> WeightDecay {
        if decoupled {
            WeightDecay::Decoupled { lr, weight_decay }
        } else {
            WeightDecay::L2(weight_decay)
        }
    }

    /// The weight to start from and the gradient to descend.
    ///
    /// Whether there is decay follows from the option alone, never from the learning rate, so that a
    /// schedule which reaches zero compiles nothing.
    pub(super) fn apply(self, value: &Tensor, grad: Tensor, maximize: bool) -> (Tensor, Tensor) {
        let grad = if maximize { -grad } else { grad };
        match self {
            WeightDecay::L2(0.0) | WeightDecay::Decoupled { weight_decay: 0.0, .. } => {
                (value.clone(), grad)
            }
            WeightDecay::L2(weight_decay) => (value.clone(), grad + value * weight_decay),
            WeightDecay::Decoupled { lr, weight_decay } => {
                (value * (1.0 - lr * weight_decay), grad)
            }
        }
    }
}
