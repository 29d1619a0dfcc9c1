//! In what forward and backward are computed, and which device offers it.
//!
//! Mixed precision keeps parameters and updates in f32 and computes products from numbers of 16 bits
//! (Micikevicius et al., "Mixed precision training", ICLR 2018). It pays only where a processor
//! multiplies such numbers faster than it widens them. No device of this build does, and a run that
//! asks for it ends before it begins, rather than being slow, or f32 in silence.

use std::fmt;

use gradus_tensor::{Device, Error, ErrorKind, Result};

/// In what the products of forward and backward are computed: f32 by default.
///
/// ```
/// use gradus_tensor::Device;
/// use gradus_train::trainer::Precision;
/// assert_eq!(Precision::offered(Device::Cpu), [Precision::F32]);
/// let error = Precision::BF16.check(Device::Cpu).unwrap_err();
/// assert!(error.message().contains("the device cpu offers f32"));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// In the dtype of the parameters: f32, unless the model was given another.
    #[default]
    F32,
    /// From numbers in bf16, summed in f32.
    BF16,
    /// From numbers in f16, summed in f32.
    F16,
}

impl Precision {
    /// Every precision there may be.
    pub const ALL: [Precision; 3] = [Precision::F32, Precision::BF16, Precision::F16];

    /// What a device offers. The one place that says so.
    pub fn offered(device: Device) -> &'static [Precision] {
        match device {
            Device::Cpu | Device::Reference => &[Precision::F32],
        }
    }

    /// Whether a device offers it.
    ///
    /// # Errors
    /// If it does not: the message names what it offers.
    pub fn check(self, device: Device) -> Result<()> {
        let offered = Precision::offered(device);
        if offered.contains(&self) {
            return Ok(());
        }
        let names: Vec<String> = offered.iter().map(Precision::to_string).collect();
        let message = format!(
            "precision {self}: the device {device} offers {}; leave out `precision`",
            names.join(", ")
        );
        Err(Error::new(ErrorKind::Device, message))
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::F32 => "f32",
            Precision::BF16 => "bf16",
            Precision::F16 => "f16",
        })
    }
}
