//! Layers that hold or pass on: identity and residual connections.

use std::fmt;

use gradus_tensor::{Error, ErrorKind, Tensor};

use crate::{Layer, Module};

/// Passes its input on: takes the place of a layer that is left out.
#[derive(Clone, Copy, Debug, Default, Module)]
#[module(crate = crate)]
pub struct Identity;

/// `shortcut(x) + body(x)` (He et al., "Deep residual learning for image recognition", CVPR 2016).
/// Without a shortcut, `x + body(x)`.
///
/// # Errors
/// If the body's output has another shape than the shortcut's; they do not broadcast.
///
/// ```
/// use gradus_nn::{Layer, Linear, Module, ReLU, Residual, Sequential};
/// use gradus_tensor::{DType, Tensor};
/// let body = Sequential::new().add(Linear::new(4, 8)).add(ReLU).add(Linear::new(8, 4));
/// let block = Residual::new(body);
/// assert_eq!(block.forward(&Tensor::ones([2, 4], DType::F32)).shape().dims(), [2, 4]);
/// assert_eq!(block.state_dict().names()[0], "body.0.weight");
///
/// let wider = Residual::new(Linear::new(4, 8)).shortcut(Linear::new(4, 8).bias(false));
/// assert_eq!(wider.forward(&Tensor::ones([2, 4], DType::F32)).shape().dims(), [2, 8]);
/// ```
pub struct Residual {
    body: Box<dyn Layer + Send + Sync>,
    shortcut: Option<Box<dyn Layer + Send + Sync>>,
}

impl Residual {
    /// Adds the input to what a layer makes of it.
    pub fn new(body: impl Layer + Send + Sync + 'static) -> Residual {
        Residual { body: Box::new(body), shortcut: None }
    }

    /// Passes the input through another layer before it is added, as where sizes change.
    #[must_use]
    pub fn shortcut(mut self, shortcut: impl Layer + Send + Sync + 'static) -> Residual {
        self.shortcut = Some(Box::new(shortcut));
        self
    }
}

impl Module for Residual {
    fn visit(&self, visitor: &mut crate::Visitor<'_>) {
        visitor.child("body", &self.body);
        visitor.child("shortcut", &self.shortcut);
    }
}

impl Layer for Identity {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        input.clone()
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl Layer for Residual {
    #[track_caller]
    fn forward(&self, input: &Tensor) -> Tensor {
        let body = self.body.forward(input).within(input, &"body");
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(input).within(input, &"shortcut"),
            None => input.clone(),
        };
        if let (Ok(a), Ok(b)) = (shortcut.try_shape(), body.try_shape())
            && a != b
        {
            let message = format!(
                "residual: the body makes {b} of {}, and {a} is to be added; give the residual a \
                 `shortcut` that makes {b}, or the body another size",
                input.shape()
            );
            let error = Error::here(ErrorKind::Shape, message);
            return Tensor::from_error(error).within(input, &"Residual");
        }
        (shortcut + body).within(input, &"Residual")
    }

    fn describe(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity()")
    }
}

impl fmt::Display for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Residual(\n")?;
        writeln!(f, "  (body): {}", self.body.describe().replace('\n', "\n  "))?;
        if let Some(shortcut) = &self.shortcut {
            writeln!(f, "  (shortcut): {}", shortcut.describe().replace('\n', "\n  "))?;
        }
        f.write_str(")")
    }
}

impl fmt::Debug for Residual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
