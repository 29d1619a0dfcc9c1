//! Candle's side of `examples/step_time.rs --serve`.

use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var, bail};
use candle_nn::{AdamW, Optimizer as _, ParamsAdamW, SGD, loss};
use protocol::{BATCHES, Layer, Optimizer, Result, Workload, serve};

fn main() -> Result<()> {
    serve::<Training>()
}

struct Training {
    layers: Vec<Layer>,
    weights: BTreeMap<String, Var>,
    update: Update,
    batches: Vec<(Tensor, Tensor)>,
}

enum Update {
    Sgd(SGD),
    Momentum(Momentum),
    Adam(AdamW),
}

/// Candle has no momentum of its own: PyTorch's, in candle's tensors.
struct Momentum {
    lr: f64,
    momentum: f64,
    velocities: Vec<(Var, Option<Tensor>)>,
}

impl Momentum {
    fn step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        let gradients = loss.backward()?;
        for (weight, velocity) in &mut self.velocities {
            let Some(gradient) = gradients.get(weight) else { continue };
            let next = match velocity.take() {
                Some(velocity) => ((velocity * self.momentum)? + gradient)?,
                None => gradient.clone(),
            };
            weight.set(&weight.sub(&(&next * self.lr)?)?)?;
            *velocity = Some(next);
        }
        Ok(())
    }
}

impl protocol::Training for Training {
    type Loss = Tensor;

    fn start(workload: &Workload) -> Result<Training> {
        let cpu = &Device::Cpu;
        let weight = |name: &String, values: &[f32], shape: &[usize]| -> Result<(String, Var)> {
            Ok((name.clone(), Var::from_slice(values, shape, cpu)?))
        };
        let weights: BTreeMap<String, Var> = workload
            .weights
            .iter()
            .map(|(name, array)| weight(name, &array.values, &array.shape))
            .collect::<Result<_>>()?;
        let all: Vec<Var> = weights.values().cloned().collect();
        let update = match workload.network.optimizer {
            Optimizer::SGD { lr, momentum: 0.0 } => Update::Sgd(SGD::new(all, lr)?),
            Optimizer::SGD { lr, momentum } => {
                let velocities = all.into_iter().map(|weight| (weight, None)).collect();
                Update::Momentum(Momentum { lr, momentum, velocities })
            }
            Optimizer::Adam { lr } => {
                let options = ParamsAdamW { lr, weight_decay: 0.0, ..ParamsAdamW::default() };
                Update::Adam(AdamW::new(all, options)?)
            }
        };
        let batch = |i| -> Result<(Tensor, Tensor)> {
            let (inputs, targets) = (workload.inputs.part(i), workload.targets.part(i));
            let labels: Vec<u32> = targets.values.iter().map(|&label| label as u32).collect();
            let inputs = Tensor::from_vec(inputs.values, inputs.shape, cpu)?;
            Ok((inputs, Tensor::from_vec(labels, targets.shape, cpu)?))
        };
        Ok(Training {
            layers: workload.network.layers.clone(),
            weights,
            update,
            batches: (0..BATCHES).map(batch).collect::<Result<_>>()?,
        })
    }

    fn step(&mut self, batch: usize) -> Result<Tensor> {
        let (images, labels) = &self.batches[batch];
        let loss = loss::cross_entropy(&self.forward(images)?, labels)?;
        match &mut self.update {
            Update::Sgd(sgd) => sgd.backward_step(&loss)?,
            Update::Adam(adam) => adam.backward_step(&loss)?,
            Update::Momentum(momentum) => momentum.step(&loss)?,
        }
        Ok(loss)
    }

    fn value(loss: Tensor) -> Result<f64> {
        Ok(f64::from(loss.to_scalar::<f32>()?))
    }
}

impl Training {
    /// Images `[batch, channels, height, width]` → logits `[batch, classes]`.
    fn forward(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let mut x = images.clone();
        for (i, layer) in self.layers.iter().enumerate() {
            let part = |name: &str| self.weights[&format!("{i}.{name}")].as_tensor();
            x = match layer {
                Layer::Conv2d { stride, padding } => {
                    let bias = part("bias").reshape((1, (), 1, 1))?;
                    x.conv2d(part("weight"), *padding, *stride, 1, 1)?.broadcast_add(&bias)?
                }
                Layer::MaxPool2d { kernel_size, stride, padding: 0 } => {
                    x.max_pool2d_with_stride(*kernel_size, stride.unwrap_or(*kernel_size))?
                }
                Layer::MaxPool2d { .. } => bail!("candle pools without padding only"),
                Layer::ReLU => x.relu()?,
                Layer::Flatten => x.flatten_from(1)?,
                Layer::Linear => x.matmul(&part("weight").t()?)?.broadcast_add(part("bias"))?,
            };
        }
        Ok(x)
    }
}
