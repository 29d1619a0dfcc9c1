//! What mistakes with layers and losses look like, as a snapshot in `layer_errors.txt`.
//!
//! After a change on purpose, run with `UPDATE_SNAPSHOTS=1` and read the difference.

use std::fmt::Write as _;

use gradus_nn::functional as F;
use gradus_nn::*;
use gradus_tensor::{DType, Tensor, evaluate, manual_seed};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/layer_errors.txt");

#[test]
fn messages_are_as_recorded() {
    manual_seed(0);
    let mut text = String::new();
    for (mistake, make) in mistakes() {
        let message = without_line(&make().eval().expect_err(mistake).to_string());
        writeln!(text, "## {mistake}\n\n{message}\n").unwrap();
        let _ = evaluate();
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

/// A mistake and what makes it, one after the other: an error that waits is the next evaluation's.
type Mistake = (&'static str, Box<dyn Fn() -> Tensor>);

macro_rules! mistakes {
    ($($mistake:literal => $output:expr;)*) => {
        vec![$(($mistake, Box::new(move || $output) as Box<dyn Fn() -> Tensor>)),*]
    };
}

fn zeros(shape: &[usize]) -> Tensor {
    Tensor::zeros(shape, DType::F32)
}

fn labels(of: &[i64]) -> Tensor {
    Tensor::from_slice(of, [of.len()])
}

fn floats(of: &[f32]) -> Tensor {
    Tensor::from_slice(of, [of.len()])
}

fn mistakes() -> Vec<Mistake> {
    mistakes! {
        "a target that would broadcast" => MSELoss::default().forward(&zeros(&[64, 1]), &zeros(&[64]));
        "a target of another size" => L1Loss::default().forward(&zeros(&[64, 1]), &zeros(&[32, 1]));
        "probabilities above 1" => F::binary_cross_entropy(&floats(&[0.5, 2.0]), &floats(&[0.0, 1.0]), None, Reduction::Mean);
        "a binary target that is a class" => {
            let criterion = BCEWithLogitsLoss::default();
            criterion.forward(&zeros(&[3]), &floats(&[0.0, 1.0, 2.0]))
        };
        "a pos_weight of another size" => {
            let criterion = BCEWithLogitsLoss::default().pos_weight(zeros(&[4]));
            criterion.forward(&zeros(&[2, 3]), &zeros(&[2, 3]))
        };
        "labels of images that are flat" => {
            CrossEntropyLoss::default().forward(&zeros(&[2, 3, 4, 4]), &labels(&[0; 32]))
        };
        "a label of a pixel out of range" => {
            let pixels = labels(&[0, 1, 2, 3]).reshape([1, 2, 2]);
            CrossEntropyLoss::default().forward(&zeros(&[1, 3, 2, 2]), &pixels)
        };
        "a label that PyTorch would ignore" => {
            CrossEntropyLoss::default().forward(&zeros(&[2, 3]), &labels(&[0, -100]))
        };
        "a label that is neither class nor ignored" => {
            let criterion = CrossEntropyLoss::default().ignore_index(-100);
            criterion.forward(&zeros(&[3, 3]), &labels(&[0, -100, -1]))
        };
        "probabilities that do not sum to 1" => {
            let target = Tensor::from_slice(&[0.5f32, 0.5, 0.5, 1.0], [2, 2]);
            CrossEntropyLoss::default().forward(&zeros(&[2, 2]), &target)
        };
        "class weights of another size" => {
            let criterion = CrossEntropyLoss::default().weight(zeros(&[4]));
            criterion.forward(&zeros(&[2, 3]), &labels(&[0, 1]))
        };
        "smoothing beyond all labels" => {
            let criterion = CrossEntropyLoss::default().label_smoothing(1.5);
            criterion.forward(&zeros(&[2, 3]), &labels(&[0, 1]))
        };
        "log-probabilities with float labels" => {
            NLLLoss::default().forward(&zeros(&[2, 3]), &zeros(&[2]))
        };
        "a margin of labels of another batch" => {
            MultiMarginLoss::default().forward(&zeros(&[2, 3]), &labels(&[0]))
        };
        "vectors with too many targets" => {
            let criterion = CosineEmbeddingLoss::default();
            criterion.forward(&zeros(&[2, 3]), &zeros(&[2, 3]), &zeros(&[3]))
        };
        "a triplet of different shapes" => {
            let criterion = TripletMarginLoss::default();
            criterion.forward(&zeros(&[2, 3]), &zeros(&[2, 3]), &zeros(&[3]))
        };
        "batch normalisation of another number of channels" => {
            BatchNorm2d::new(16).forward(&zeros(&[8, 3, 4, 4]))
        };
        "batch normalisation of vectors as images" => BatchNorm2d::new(16).forward(&zeros(&[8, 16]));
        "batch normalisation of one sample" => BatchNorm1d::new(4).forward(&zeros(&[1, 4]));
        "layer normalisation of another size" => LayerNorm::new([8]).forward(&zeros(&[2, 6]));
        "groups that do not divide channels" => GroupNorm::new(4, 6).forward(&zeros(&[2, 6, 3]));
        "normalising integers" => RMSNorm::new([2]).forward(&labels(&[1, 2]));
        "an index beyond the table" => {
            Embedding::new(10, 4).forward(&labels(&[3, 10]).reshape([1, 2]))
        };
        "indices that are floats" => Embedding::new(10, 4).forward(&zeros(&[2]));
        "a padding row beyond the table" => {
            Embedding::new(10, 4).padding_idx(10).forward(&labels(&[3]))
        };
        "attention on vectors of another size" => {
            let y = zeros(&[2, 5, 6]);
            MultiheadAttention::new(8, 2).batch_first(true).forward(&y, &y, &y)
        };
        "attention with a batch in another place" => {
            let attention = MultiheadAttention::new(8, 2);
            attention.forward(&zeros(&[5, 2, 8]), &zeros(&[5, 3, 8]), &zeros(&[5, 3, 8]))
        };
        "heads that do not divide the size" => {
            let x = zeros(&[2, 5, 8]);
            MultiheadAttention::new(8, 3).forward(&x, &x, &x)
        };
        "a padding mask of another size" => {
            let (x, padding) = (zeros(&[2, 5, 8]), zeros(&[2, 4]));
            let masks = MultiheadAttentionOptions::default().key_padding_mask(&padding);
            MultiheadAttention::new(8, 2).batch_first(true).forward_with(&x, &x, &x, masks).0
        };
        "a transformer on vectors of another size" => {
            let make = || TransformerEncoderLayer::new(8, 2);
            TransformerEncoder::new(2, make).forward(&zeros(&[5, 2, 6]))
        };
        "a residual connection that does not fit" => {
            Residual::new(Linear::new(4, 8)).forward(&zeros(&[2, 4]))
        };
        "halves of an odd axis" => GLU::default().forward(&zeros(&[2, 3]));
        "slopes for another number of channels" => PReLU::new(4, 0.25).forward(&zeros(&[2, 3]));
        "dropout of channels without any" => Dropout2d::new(0.5).forward(&zeros(&[2, 3]));
        "an axis that does not split" => Unflatten::new(1, [2, 4]).forward(&zeros(&[2, 6]));
        "an axis that is not there" => Unflatten::new(3, [2, 3]).forward(&zeros(&[2, 6]));
    }
}

/// Lines move; that there is one is checked.
fn without_line(text: &str) -> String {
    let hidden = text.lines().map(|line| match line.split_once("  at ") {
        Some((before, at)) => {
            format!("{before}  at {}:LINE:COLUMN", at.split(':').next().unwrap_or_default())
        }
        None => line.to_owned(),
    });
    hidden.collect::<Vec<_>>().join("\n")
}
