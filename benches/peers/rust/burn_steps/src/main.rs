//! Burn's side of `examples/step_time.rs --serve`, on its `flex` backend.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::pool::MaxPool2dConfig;
use burn::nn::{Linear, PaddingConfig2d};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{AdamConfig, GradientsParams, ModuleOptimizer, SgdConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Int, Tensor, TensorData};
use protocol::{Array, BATCHES, Layer, Optimizer, Result, Workload, serve};

fn main() -> Result<()> {
    serve::<Training>()
}

/// The layers that have weights, in order.
#[derive(Module, Debug)]
struct Net {
    convolutions: Vec<Conv2d>,
    linears: Vec<Linear>,
}

impl Net {
    fn new(workload: &Workload, device: &Device) -> Net {
        let (mut convolutions, mut linears) = (Vec::new(), Vec::new());
        for (i, layer) in workload.network.layers.iter().enumerate() {
            let part = |name: &str| &workload.weights[&format!("{i}.{name}")];
            let bias = || {
                let bias = part("bias");
                Some(Param::from_data(
                    TensorData::new(bias.values.clone(), bias.shape.clone()),
                    device,
                ))
            };
            match layer {
                Layer::Conv2d { stride, padding } => {
                    let weight = part("weight");
                    let &[outputs, inputs, height, width] = &weight.shape[..] else {
                        unreachable!()
                    };
                    let layer = Conv2dConfig::new([inputs, outputs], [height, width])
                        .with_stride([*stride; 2])
                        .with_padding(around(*padding));
                    let data = TensorData::new(weight.values.clone(), weight.shape.clone());
                    let weight = Param::from_data(data, device);
                    convolutions.push(Conv2d { weight, bias: bias(), ..layer.init(device) });
                }
                Layer::Linear => {
                    let weight = transposed(part("weight"));
                    let weight = TensorData::new(weight.values, weight.shape);
                    let weight = Param::from_data(weight, device);
                    linears.push(Linear { weight, bias: bias() });
                }
                _ => {}
            }
        }
        Net { convolutions, linears }
    }

    /// Images `[batch, channels, height, width]` → logits `[batch, classes]`.
    fn forward(&self, layers: &[Layer], images: Tensor<4>) -> Tensor<2> {
        let (mut convolutions, mut linears) = (self.convolutions.iter(), self.linears.iter());
        let mut layers = layers.iter();
        let mut x = images;
        for layer in layers.by_ref() {
            x = match layer {
                Layer::Conv2d { .. } => convolutions.next().expect("as many as layers").forward(x),
                Layer::MaxPool2d { kernel_size, stride, padding } => {
                    MaxPool2dConfig::new([*kernel_size; 2])
                        .with_strides([stride.unwrap_or(*kernel_size); 2])
                        .with_padding(around(*padding))
                        .init()
                        .forward(x)
                }
                Layer::ReLU => relu(x),
                Layer::Flatten => break,
                Layer::Linear => panic!("a Linear before Flatten"),
            };
        }
        let mut x: Tensor<2> = x.flatten(1, 3);
        for layer in layers {
            x = match layer {
                Layer::Linear => linears.next().expect("as many as layers").forward(x),
                Layer::ReLU => relu(x),
                _ => panic!("only Linear and ReLU after Flatten"),
            };
        }
        x
    }
}

/// Burn keeps the weight of a linear layer as `[inputs, outputs]`.
fn transposed(weight: &Array<f32>) -> Array<f32> {
    let (rows, columns) = (weight.shape[0], weight.shape[1]);
    let column = |j| (0..rows).map(move |i| weight.values[i * columns + j]);
    Array { shape: vec![columns, rows], values: (0..columns).flat_map(column).collect() }
}

fn around(padding: usize) -> PaddingConfig2d {
    PaddingConfig2d::Explicit(padding, padding, padding, padding)
}

struct Training {
    layers: Vec<Layer>,
    /// Taken and given back by every update.
    net: Option<Net>,
    criterion: CrossEntropyLoss,
    optimizer: ModuleOptimizer,
    lr: f64,
    batches: Vec<(Tensor<4>, Tensor<1, Int>)>,
}

impl protocol::Training for Training {
    type Loss = Tensor<1>;

    fn start(workload: &Workload) -> Result<Training> {
        let device = Device::flex().autodiff();
        let (optimizer, lr) = match workload.network.optimizer {
            Optimizer::SGD { lr, momentum: 0.0 } => (SgdConfig::new().init(), lr),
            Optimizer::SGD { lr, momentum } => {
                let momentum = MomentumConfig::new().with_momentum(momentum).with_dampening(0.0);
                (SgdConfig::new().with_momentum(Some(momentum)).init(), lr)
            }
            Optimizer::Adam { lr } => (AdamConfig::new().with_epsilon(1e-8).init(), lr),
        };
        let batch = |i| {
            let (inputs, targets) = (workload.inputs.part(i), workload.targets.part(i));
            (
                Tensor::from_data(TensorData::new(inputs.values, inputs.shape), &device),
                Tensor::from_data(TensorData::new(targets.values, targets.shape), &device),
            )
        };
        Ok(Training {
            layers: workload.network.layers.clone(),
            net: Some(Net::new(workload, &device)),
            criterion: CrossEntropyLossConfig::new().init(&device),
            optimizer,
            lr,
            batches: (0..BATCHES).map(batch).collect(),
        })
    }

    fn step(&mut self, batch: usize) -> Result<Tensor<1>> {
        let (images, labels) = self.batches[batch].clone();
        let net = self.net.take().expect("given back");
        let loss = self.criterion.forward(net.forward(&self.layers, images), labels);
        let gradients = GradientsParams::from_grads(loss.backward(), &net);
        self.net = Some(self.optimizer.step(self.lr, net, gradients));
        Ok(loss)
    }

    fn value(loss: Tensor<1>) -> Result<f64> {
        Ok(f64::from(loss.into_scalar::<f32>()))
    }
}
