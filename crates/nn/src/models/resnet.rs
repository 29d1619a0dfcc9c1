//! Residual networks (He et al., "Deep residual learning for image recognition", CVPR 2016), with the names of
//! torchvision's `resnet18` and `resnet34`.

use gradus_tensor::{Parameter, Tensor};

use crate::{
    AdaptiveAvgPool2d, BatchNorm2d, Conv2d, Layer, Linear, MaxPool2d, Module, Sequential, init,
};

/// Images `[n, 3, height, width]` → logits `[n, classes]`.
///
/// ```
/// use gradus_nn::models::ResNet;
/// use gradus_nn::{Layer, Module};
/// use gradus_tensor::{DType, Tensor};
/// let net = ResNet::resnet18(10).cifar_stem();
/// let logits = net.forward(&Tensor::zeros([2, 3, 32, 32], DType::F32));
/// assert_eq!(logits.shape().dims(), [2, 10]);
/// let parameters: usize = net.parameters().iter().map(|p| p.value().numel()).sum();
/// assert_eq!(parameters, 11_173_962);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    maxpool: Option<MaxPool2d>,
    layer1: Vec<BasicBlock>,
    layer2: Vec<BasicBlock>,
    layer3: Vec<BasicBlock>,
    layer4: Vec<BasicBlock>,
    avgpool: AdaptiveAvgPool2d,
    fc: Linear,
}

impl ResNet {
    /// 18 layers; 11,689,512 parameters for 1,000 classes.
    #[track_caller]
    pub fn resnet18(classes: usize) -> ResNet {
        ResNet::new([2, 2, 2, 2], classes)
    }

    /// 34 layers; 21,797,672 parameters for 1,000 classes.
    #[track_caller]
    pub fn resnet34(classes: usize) -> ResNet {
        ResNet::new([3, 4, 6, 3], classes)
    }

    /// With as many blocks in each of the four stages, of 64, 128, 256 and 512 channels.
    #[track_caller]
    pub fn new(blocks: [usize; 4], classes: usize) -> ResNet {
        let stage = |i: usize| {
            let (outputs, stride) = (64 << i, if i == 0 { 1 } else { 2 });
            let first = if i == 0 { 64 } else { outputs / 2 };
            (0..blocks[i])
                .map(|block| match block {
                    0 => BasicBlock::new(first, outputs, stride),
                    _ => BasicBlock::new(outputs, outputs, 1),
                })
                .collect()
        };
        ResNet {
            conv1: conv(3, 64, 7, 2),
            bn1: BatchNorm2d::new(64),
            maxpool: Some(MaxPool2d::new(3).stride(2).padding(1)),
            layer1: stage(0),
            layer2: stage(1),
            layer3: stage(2),
            layer4: stage(3),
            avgpool: AdaptiveAvgPool2d::new(1),
            fc: Linear::new(512, classes),
        }
    }

    /// With the stem for small images, such as CIFAR's: a 3 × 3 convolution of stride 1, and no pooling.
    #[must_use]
    #[track_caller]
    pub fn cifar_stem(mut self) -> ResNet {
        self.conv1 = conv(3, 64, 3, 1);
        self.maxpool = None;
        self
    }
}

impl Layer for ResNet {
    #[track_caller]
    fn forward(&self, images: &Tensor) -> Tensor {
        let mut x = self.bn1.forward(&self.conv1.forward(images)).relu();
        if let Some(maxpool) = &self.maxpool {
            x = maxpool.forward(&x);
        }
        for block in [&self.layer1, &self.layer2, &self.layer3, &self.layer4].into_iter().flatten()
        {
            x = block.forward(&x);
        }
        self.fc.forward(&self.avgpool.forward(&x).flatten(1, -1))
    }

    fn describe(&self) -> String {
        "ResNet".to_owned()
    }
}

/// Two 3 × 3 convolutions and a way around them: `relu(x + bn(conv(relu(bn(conv(x))))))`.
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm2d,
    conv2: Conv2d,
    bn2: BatchNorm2d,
    downsample: Option<Sequential>,
}

impl BasicBlock {
    /// A block; where the size or the channels change, the way around is a 1 × 1 convolution.
    #[track_caller]
    pub fn new(inputs: usize, outputs: usize, stride: usize) -> BasicBlock {
        let around = || {
            Sequential::new().add(conv(inputs, outputs, 1, stride)).add(BatchNorm2d::new(outputs))
        };
        BasicBlock {
            conv1: conv(inputs, outputs, 3, stride),
            bn1: BatchNorm2d::new(outputs),
            conv2: conv(outputs, outputs, 3, 1),
            bn2: BatchNorm2d::new(outputs),
            downsample: (stride != 1 || inputs != outputs).then(around),
        }
    }
}

impl Layer for BasicBlock {
    #[track_caller]
    fn forward(&self, x: &Tensor) -> Tensor {
        let y = self.bn1.forward(&self.conv1.forward(x)).relu();
        let y = self.bn2.forward(&self.conv2.forward(&y));
        let around = match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x.clone(),
        };
        (y + around).relu()
    }

    fn describe(&self) -> String {
        "BasicBlock".to_owned()
    }
}

/// A convolution without bias that keeps the size but for the stride; normal with standard deviation
/// √(2 / fan_out).
#[track_caller]
fn conv(inputs: usize, outputs: usize, size: usize, stride: usize) -> Conv2d {
    let std = init::bound(2.0, outputs * size * size);
    let mut conv = Conv2d::new(inputs, outputs, size).stride(stride).padding(size / 2).bias(false);
    conv.weight = Parameter::new(init::normal([outputs, inputs, size, size], 0.0, std));
    conv
}
