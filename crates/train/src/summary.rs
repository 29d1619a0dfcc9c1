//! What a model is made of and costs, without running it.

use std::fmt;

use gradus_nn::{Module, Sequential};
use gradus_tensor::{DType, Error, ErrorKind, Result, Tensor, evaluate, no_grad};

use crate::DataSpec;
use crate::config::batch_of;
use crate::metrics::thousands;

/// A model layer by layer: shapes, parameters, and what one sample's forward pass costs.
///
/// Operations and bytes are those of the compiled plans, which are made and not run: two
/// floating-point operations for each multiply–add of a product or a convolution, one for each
/// element and operation of a fused loop.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The shape of a batch.
    pub input: String,
    /// The layers in order.
    pub layers: Vec<LayerSummary>,
}

/// One layer of a [`Summary`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerSummary {
    /// As PyTorch prints it.
    pub layer: String,
    /// The shape of its output for one sample.
    pub output: Vec<usize>,
    /// How many numbers it trains.
    pub parameters: usize,
    /// How many bytes its parameters and buffers take.
    pub weights: usize,
    /// Floating-point operations of its forward pass for one sample.
    pub flops: usize,
    /// Bytes of its output for one sample.
    pub activations: usize,
}

impl Summary {
    /// The summary of a model for such data.
    ///
    /// # Errors
    /// If the model does not fit the data.
    pub fn new(model: &Sequential, spec: &DataSpec) -> Result<Summary> {
        model.eval();
        // Nothing else may be pending, or it would be counted too.
        evaluate()?;
        let mut x = no_grad(|| sample(&spec.input.shape(), spec.input.dtype()));
        let input = batch_of(&spec.input.shape());
        let mut layers = Vec::new();
        for layer in model.layers() {
            let output = no_grad(|| layer.forward(&x));
            let shape = output.try_shape()?.clone();
            let Some((1, rest)) = shape.split_first().map(|(n, rest)| (*n, rest)) else {
                let message = format!("{} joins the samples of a batch", layer.describe());
                return Err(Error::new(ErrorKind::Shape, message));
            };
            let bytes =
                |shape: &[usize], dtype: DType| shape.iter().product::<usize>() * dtype.size();
            let parameters = layer.parameters();
            let buffers = layer.buffers();
            let weights = parameters.iter().map(|p| p.variable()).chain(&buffers);
            layers.push(LayerSummary {
                layer: layer.describe(),
                output: rest.to_vec(),
                parameters: layer.num_parameters(),
                weights: weights
                    .map(|variable| {
                        let value = variable.get();
                        bytes(value.shape(), value.dtype())
                    })
                    .sum(),
                flops: output.cost()?.flops,
                activations: bytes(&shape, output.dtype()),
            });
            x = no_grad(|| sample(rest, output.dtype()));
        }
        Ok(Summary { input, layers })
    }
}

/// One sample of zeros, in memory: the next layer's plan does not include what made it.
fn sample(shape: &[usize], dtype: DType) -> Tensor {
    let shape: Vec<usize> = [1].into_iter().chain(shape.iter().copied()).collect();
    let zeros = Tensor::zeros(shape, dtype);
    // A failure is found by whoever uses it.
    let _ = zeros.eval();
    zeros
}

/// A table, its totals, and what a batch takes.
impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let titles =
            ["", "layer", "output", "parameters", "FLOPs", "activations"].map(String::from);
        let dash = |n: usize, text: String| if n == 0 { "–".to_owned() } else { text };
        let mut rows = vec![titles];
        for (at, l) in self.layers.iter().enumerate() {
            rows.push([
                at.to_string(),
                l.layer.lines().next().unwrap_or_default().to_owned(),
                batch_of(&l.output),
                dash(l.parameters, thousands(l.parameters as u64)),
                dash(l.flops, thousands(l.flops as u64)),
                scaled(l.activations, "B"),
            ]);
        }
        let sum = |of: fn(&LayerSummary) -> usize| self.layers.iter().map(of).sum::<usize>();
        let (parameters, flops) = (sum(|l| l.parameters), sum(|l| l.flops));
        rows.push([
            String::new(),
            "total".to_owned(),
            String::new(),
            thousands(parameters as u64),
            thousands(flops as u64),
            scaled(sum(|l| l.activations), "B"),
        ]);
        let mut widths = [0; 6];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        writeln!(f, "input {}; FLOPs and activations are those of one sample\n", self.input)?;
        let [number, layer, output, ..] = widths;
        for [a, b, c, d, e, g] in &rows {
            let (w, x, y) = (widths[3], widths[4], widths[5]);
            let line =
                format!("{a:>number$}  {b:<layer$}  {c:<output$}  {d:>w$}  {e:>x$}  {g:>y$}");
            writeln!(f, "{}", line.trim_end())?;
        }
        let weights = scaled(sum(|l| l.weights), "B");
        write!(f, "\n{} parameters and buffers; {} a sample", weights, scaled(flops, "FLOP"))
    }
}

/// A number with a unit and its prefix: `1.2 MB`.
fn scaled(n: usize, unit: &str) -> String {
    let mut value = n as f64;
    for prefix in ["", "k", "M", "G"] {
        if value < 1000.0 {
            let digits = if prefix.is_empty() { 0 } else { 1 };
            return format!("{value:.digits$} {prefix}{unit}");
        }
        value /= 1000.0;
    }
    format!("{value:.1} T{unit}")
}
