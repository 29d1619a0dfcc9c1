//! LeNet-5, as it is usually built today (LeCun et al., "Gradient-based learning applied to document recognition",
//! Proceedings of the IEEE, 1998): ReLU and max pooling in place of squashing and sums.

use gradus_tensor::{Pair, Tensor};

use crate::{Conv2d, Layer, Linear, MaxPool2d, Module};

/// Images `[n, channels, height, width]` → logits `[n, classes]`: two convolutions with pooling, three fully
/// connected layers. With three channels of 32 × 32 pixels it is the network of PyTorch's CIFAR-10 tutorial.
///
/// ```
/// use gradus_nn::models::LeNet;
/// use gradus_nn::{Layer, Module};
/// use gradus_tensor::{DType, Tensor};
/// let net = LeNet::new(1, 28, 10);
/// assert_eq!(net.forward(&Tensor::zeros([4, 1, 28, 28], DType::F32)).shape().dims(), [4, 10]);
/// assert_eq!(net.state_dict().names()[..2], ["conv1.weight", "conv1.bias"]);
/// ```
#[derive(Debug, Module)]
#[module(crate = crate)]
pub struct LeNet {
    conv1: Conv2d,
    conv2: Conv2d,
    fc1: Linear,
    fc2: Linear,
    fc3: Linear,
    pool: MaxPool2d,
}

impl LeNet {
    /// For images of a size, at least 16 × 16.
    ///
    /// # Panics
    /// If an image is smaller than that: nothing would be left of it.
    #[track_caller]
    pub fn new(channels: usize, image: impl Into<Pair>, classes: usize) -> LeNet {
        let Pair(image) = image.into();
        assert!(
            image.iter().all(|&n| n >= 16),
            "LeNet: images of {image:?} are too small; they need at least 16 × 16 pixels"
        );
        // A window of 5 takes 4, and pooling halves.
        let [h, w] = image.map(|n| ((n - 4) / 2 - 4) / 2);
        LeNet {
            conv1: Conv2d::new(channels, 6, 5),
            conv2: Conv2d::new(6, 16, 5),
            fc1: Linear::new(16 * h * w, 120),
            fc2: Linear::new(120, 84),
            fc3: Linear::new(84, classes),
            pool: MaxPool2d::new(2),
        }
    }
}

impl Layer for LeNet {
    #[track_caller]
    fn forward(&self, images: &Tensor) -> Tensor {
        let x = self.pool.forward(&self.conv1.forward(images).relu());
        let x = self.pool.forward(&self.conv2.forward(&x).relu());
        let x = x.flatten(1, -1);
        let x = self.fc1.forward(&x).relu();
        let x = self.fc2.forward(&x).relu();
        self.fc3.forward(&x)
    }

    fn describe(&self) -> String {
        "LeNet".to_owned()
    }
}
