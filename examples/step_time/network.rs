//! What is trained, and how: the descriptions in `benches/peers/networks.json`, which every framework reads,
//! and those of the same form that `workloads.py` generates.

use std::collections::BTreeMap;
use std::path::Path;

use gradus::nn::models::{GPT, GPTConfig, ResNet};
use gradus::prelude::*;
use serde::Deserialize;

use crate::usage;

const NETWORKS: &str = include_str!("../../benches/peers/networks.json");

/// A network and its optimizer, in PyTorch's names and defaults.
#[derive(Deserialize)]
pub struct Network {
    /// The shape of a batch's inputs.
    pub input: Vec<usize>,
    pub classes: usize,
    optimizer: OptimizerOptions,
    #[serde(flatten)]
    body: Body,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Body {
    Sequence { layers: Vec<LayerOptions> },
    Model { model: String },
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum LayerOptions {
    Conv2d {
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
        #[serde(default = "one")]
        stride: usize,
        #[serde(default)]
        padding: usize,
    },
    MaxPool2d {
        kernel_size: usize,
        stride: Option<usize>,
        #[serde(default)]
        padding: usize,
    },
    ReLU,
    Flatten,
    Linear {
        in_features: usize,
        out_features: usize,
    },
}

fn one() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(tag = "type")]
enum OptimizerOptions {
    #[serde(rename = "SGD")]
    Sgd {
        lr: f64,
        #[serde(default)]
        momentum: f64,
    },
    Adam {
        lr: f64,
    },
    AdamW {
        lr: f64,
    },
}

/// The six workloads.
pub fn names() -> Result<Vec<String>> {
    Ok(six()?.into_keys().collect())
}

fn six() -> Result<BTreeMap<String, Network>> {
    serde_json::from_str(NETWORKS).map_err(|error| usage(&format!("networks.json: {error}")))
}

impl Network {
    /// From `NAME.json` in the folder, or one of the six.
    pub fn read(name: &str, folder: Option<&Path>) -> Result<Network> {
        let Some(folder) = folder else {
            let mut six = six()?;
            let network = six.remove(name);
            let names = six.into_keys().collect::<Vec<_>>().join(", ");
            return network.ok_or_else(|| {
                usage(&format!("no workload {name} without --data; there are {names}"))
            });
        };
        let path = folder.join(format!("{name}.json"));
        let wrong = |error: &dyn std::fmt::Display| {
            usage(&format!("{}: {error}; workloads.py writes it", path.display()))
        };
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(&error))?;
        serde_json::from_str(&text).map_err(|error| wrong(&error))
    }

    pub fn model(&self) -> Result<Box<dyn Layer>> {
        match &self.body {
            Body::Sequence { layers } => {
                Ok(Box::new(layers.iter().fold(Sequential::new(), |net, layer| layer.add_to(net))))
            }
            Body::Model { model } => match model.as_str() {
                "gpt" => Ok(Box::new(GPT::new(GPTConfig::new(self.classes, self.input[1])))),
                "resnet18" => Ok(Box::new(ResNet::resnet18(self.classes).cifar_stem())),
                _ => Err(usage(&format!("no model {model}; there are gpt and resnet18"))),
            },
        }
    }

    pub fn optimizer(&self, parameters: Vec<Parameter>) -> Box<dyn Optimizer> {
        match self.optimizer {
            OptimizerOptions::Sgd { lr, momentum: 0.0 } => Box::new(SGD::new(parameters, lr)),
            OptimizerOptions::Sgd { lr, momentum } => {
                Box::new(SGD::new(parameters, lr).momentum(momentum))
            }
            OptimizerOptions::Adam { lr } => Box::new(Adam::new(parameters, lr)),
            OptimizerOptions::AdamW { lr } => Box::new(AdamW::new(parameters, lr)),
        }
    }
}

impl LayerOptions {
    fn add_to(&self, net: Sequential) -> Sequential {
        match *self {
            LayerOptions::Conv2d { in_channels, out_channels, kernel_size, stride, padding } => {
                let layer = Conv2d::new(in_channels, out_channels, kernel_size);
                net.add(layer.stride(stride).padding(padding))
            }
            LayerOptions::MaxPool2d { kernel_size, stride, padding } => {
                let layer = MaxPool2d::new(kernel_size).stride(stride.unwrap_or(kernel_size));
                net.add(layer.padding(padding))
            }
            LayerOptions::ReLU => net.add(ReLU),
            LayerOptions::Flatten => net.add(Flatten::default()),
            LayerOptions::Linear { in_features, out_features } => {
                net.add(Linear::new(in_features, out_features))
            }
        }
    }
}
