//! What mistakes look like: every message that a user meets, as a snapshot in `tests/errors.txt`.
//!
//! "An unhelpful error message is a bug": read the file as someone who has never seen the code. After a change on
//! purpose, run with `UPDATE_SNAPSHOTS=1` and read the difference.

use std::fmt::Write as _;

use gradus::data::{DataLoader, Split, datasets};
use gradus::nn::Module;
use gradus::prelude::*;
use gradus::{Error, Variable, evaluate};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/errors.txt");

#[test]
fn messages_are_as_recorded() {
    manual_seed(0);
    let mut text = String::new();
    for (mistake, message) in mistakes() {
        writeln!(text, "## {mistake}\n\n{message}\n").unwrap();
    }
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(SNAPSHOT, &text).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(SNAPSHOT).unwrap();
    for (was, is) in recorded.split("## ").zip(text.split("## ")) {
        assert_eq!(was, is, "\nrun with UPDATE_SNAPSHOTS=1 if the change is meant");
    }
    assert_eq!(recorded.len(), text.len());
}

fn mistakes() -> Vec<(&'static str, String)> {
    let x = || Tensor::zeros([64, 784], DType::F32);
    let column = || Tensor::zeros([3, 1], DType::F32);
    let labels = |of: &[i64]| Tensor::from_slice(of, [of.len()]);
    let network = || {
        let layers = Sequential::new().add(Flatten::default()).add(Linear::new(784, 512));
        layers.add(ReLU).add(Linear::new(100, 10))
    };
    let loss = || {
        let w = Tensor::ones([2], DType::F32).requires_grad_();
        (&w * &w).sum()
    };
    let folder = std::env::temp_dir().join(format!("gradus-errors-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let truncated = folder.join("train-images-idx3-ubyte");
    std::fs::write(&truncated, [0, 0, 8, 3, 0, 0, 0, 9, 0, 0, 0, 28, 0, 0, 0, 28, 1, 2]).unwrap();
    std::fs::write(folder.join("train-labels-idx1-ubyte"), [0, 0, 8, 1, 0, 0, 0, 0]).unwrap();

    let list = vec![
        ("adding shapes that do not broadcast", of(&(x() + column()))),
        ("a matrix product of wrong sizes", of(&x().matmul(&column()))),
        ("a layer of a network that does not fit", of(&network().forward(&x()))),
        ("a reshape to another number of elements", of(&x().reshape([64, 28, 27]))),
        ("an axis that does not exist", of(&x().sum_axes(&[2], false))),
        ("a slice beyond the end", of(&x().slice(0, 60..70))),
        ("joining tensors of different shapes", of(&Tensor::cat(&[&x(), &column()], 0))),
        ("more data than the shape holds", of(&Tensor::from_slice(&[1.0f32; 7], [2, 3]))),
        ("item of many elements", without_line(&x().item::<f32>().unwrap_err())),
        ("the mean of integers", of(&labels(&[1, 2]).mean())),
        ("the maximum of nothing", of(&Tensor::zeros([0], DType::F32).amax(&[], false))),
        ("tensors on different devices", of(&(x() + x().to(Device::Reference)))),
        (
            "a label out of range",
            of(&Tensor::zeros([3, 10], DType::F32).cross_entropy(&labels(&[1, 2, 10]))),
        ),
        ("a negative label", of(&labels(&[0, -1]).one_hot(3))),
        ("labels that are floats", of(&x().cross_entropy(&Tensor::zeros([64], DType::F32)))),
        ("labels of another batch size", of(&x().cross_entropy(&labels(&[1, 2])))),
        ("an index out of range", of(&column().gather(0, &labels(&[3]).reshape([1, 1])))),
        ("a loss that is not finite", of(&(Tensor::scalar(0.0) / 0.0).checked_finite("loss"))),
        (
            "backward from what is no scalar",
            after(|| (loss() * Tensor::ones([2], DType::F32)).backward()),
        ),
        ("backward without gradients", after(|| x().sum().backward())),
        ("a second backward", {
            let loss = loss();
            loss.backward();
            after(|| loss.backward())
        }),
        ("gradients of integers", of(&labels(&[1]).requires_grad_())),
        ("moving a tensor that requires grad", of(&loss().to(Device::Reference))),
        ("a variable set to another shape", {
            let variable = Variable::new(Tensor::zeros([2], DType::F32));
            after(|| variable.set(&Tensor::zeros([3], DType::F32)))
        }),
        ("a gradient used twice", {
            let layer = Linear::new(2, 1);
            let mut optimizer = SGD::new(layer.parameters(), 0.1);
            layer.named_parameters();
            let mut step = || {
                layer.forward(&Tensor::ones([1, 2], DType::F32)).sum().backward();
                optimizer.step()
            };
            step().unwrap();
            step().unwrap_err().to_string()
        }),
        ("a state dict that does not fit", {
            let state =
                Sequential::new().add(Linear::new(3, 2)).add(Linear::new(2, 2)).state_dict();
            let other = Sequential::new().add(Linear::new(4, 2));
            other.load_state_dict(&state).unwrap_err().to_string()
        }),
        ("a device that does not exist", "tpu".parse::<Device>().unwrap_err().to_string()),
        ("a folder without MNIST", {
            datasets::mnist(folder.join("empty"), Split::Test).unwrap_err().to_string()
        }),
        ("a truncated file", datasets::mnist(&folder, Split::Train).unwrap_err().to_string()),
        ("a batch size of zero", {
            let loader = DataLoader::new(datasets::digits(Split::Test)).batch_size(0);
            (&loader).into_iter().next().unwrap().unwrap_err().to_string()
        }),
        (
            "a file that is no safetensors",
            gradus::io::load_safetensors(&truncated).unwrap_err().to_string(),
        ),
    ];
    let hide = |(mistake, message): (&'static str, String)| {
        (mistake, message.replace(&folder.display().to_string(), "DIR"))
    };
    let list = list.into_iter().map(hide).collect();
    std::fs::remove_dir_all(&folder).unwrap();
    list
}

/// The error of a tensor, which evaluating it returns.
fn of(tensor: &Tensor) -> String {
    without_line(&tensor.eval().expect_err("a mistake"))
}

/// The error that an action leaves for the next evaluation.
fn after(action: impl FnOnce()) -> String {
    action();
    without_line(&evaluate().expect_err("a mistake"))
}

/// Lines move; that there is one is checked.
fn without_line(error: &Error) -> String {
    let text = error.to_string();
    let hidden = text.lines().map(|line| match line.split_once("  at ") {
        Some((before, at)) => {
            let file = at.split(':').next().unwrap_or_default();
            format!("{before}  at {file}:LINE:COLUMN")
        }
        None => line.to_owned(),
    });
    hidden.collect::<Vec<_>>().join("\n")
}
