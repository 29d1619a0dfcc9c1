//! The keys of `[train]` that say how the loop goes; their names, types and defaults in one list.

use std::num::NonZeroUsize;

use gradus_tensor::Result;

use super::table::Keys;
use super::value::{NotNegative, Positive, Probability, Setting, Value};
use crate::trainer::Precision;

macro_rules! training {
    ($($(#[doc = $about:literal])+ $key:ident: $Type:ty = $default:expr;)*) => {
        /// How the loop goes, as `[train]` says; `docs/configuration.md` lists the keys.
        #[derive(Clone, Debug, PartialEq)]
        pub struct Training {
            $($(#[doc = $about])+ pub $key: $Type,)*
        }

        impl Default for Training {
            fn default() -> Training {
                Training { $($key: $default),* }
            }
        }

        impl Training {
            /// The keys, each with what it means.
            pub const KEYS: &'static [(&'static str, &'static str)] =
                &[$((stringify!($key), concat!($($about),+).trim_ascii())),*];

            /// The default of each key that has one, as TOML writes it.
            pub fn defaults() -> Vec<Option<String>> {
                let default = Training::default();
                vec![$(default.$key.write().map(|value| value.to_string())),*]
            }

            /// The keys that are given, and defaults for the others.
            pub(super) fn read(keys: &Keys) -> Result<Training> {
                let default = Training::default();
                let training = Training {
                    $($key: keys.get::<$Type>(stringify!($key))?.unwrap_or(default.$key)),*
                };
                if training.validate_steps.is_some() && training.validation.0 == 0.0 {
                    let why = "needs samples to validate with: give `validation` too, such as 0.1";
                    return Err(keys.error("validate_steps", why));
                }
                Ok(training)
            }

            /// As lines of TOML; what is left out has no value.
            pub(super) fn lines(&self) -> impl Iterator<Item = String> {
                let values = [$((stringify!($key), self.$key.write())),*];
                values.into_iter().filter_map(|(key, value)| Some(format!("{key} = {}", value?)))
            }
        }
    };
}

training! {
    /// Batches per step of the optimizer; their gradients are added up.
    accumulate: NonZeroUsize = NonZeroUsize::MIN;
    /// The largest norm of the gradients of all parameters together. Without it, any.
    clip_norm: Option<Positive> = None;
    /// The largest element of a gradient. Without it, any.
    clip_value: Option<Positive> = None;
    /// How much of the averages of the weights is kept at each step, such as 0.999; the averages are
    /// what is evaluated and saved. Without it, there are none.
    ema: Option<Probability> = None;
    /// What forward and backward are computed in: "f32", or "bf16" or "f16" where the device offers it;
    /// none does yet. Without it, "f32".
    precision: Option<Precision> = None;
    /// Stops before an update if the loss or a gradient is not finite.
    guard: bool = true;
    /// Stops after so many steps of the optimizer, if the epochs are not over.
    max_steps: Option<NonZeroUsize> = None;
    /// Stops after so many minutes.
    max_minutes: Option<Positive> = None;
    /// The part of the training samples that is held out to validate with.
    validation: Probability = Probability(0.0);
    /// Validates after so many steps rather than after each epoch.
    validate_steps: Option<NonZeroUsize> = None;
    /// Stops after so many validations (without any: epochs) in which the loss has not fallen.
    early_stopping: Option<NonZeroUsize> = None;
    /// Ends with the weights of the validation (without any: epoch) with the lowest loss, rather than
    /// with the last.
    restore_best: bool = false;
    /// Saves a checkpoint after so many steps, or as soon as the one before is on the disk.
    checkpoint_steps: Option<NonZeroUsize> = None;
    /// Saves a checkpoint after so many epochs, or as soon as the one before is on the disk.
    checkpoint_epochs: Option<NonZeroUsize> = None;
    /// Saves a checkpoint after so many minutes; 0 is never.
    checkpoint_minutes: NotNegative = NotNegative(5.0);
    /// How many of the last checkpoints are kept, beside the best.
    keep_checkpoints: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
}

impl Setting for Precision {
    const WANTED: &'static str = "\"f32\", \"bf16\" or \"f16\"";
    fn read(value: &Value) -> Option<Precision> {
        let name = String::read(value)?;
        Precision::ALL.into_iter().find(|precision| precision.to_string() == name)
    }
    fn write(&self) -> Option<Value> {
        Some(Value::Text(self.to_string()))
    }
}
