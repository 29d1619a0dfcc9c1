//! Every finding of `check`: what it says of a run that has the mistake, and that a good run has none.

use gradus_data::{Array, Dataset, Part, Split};
use gradus_tensor::{Error, ErrorKind, Result, rng_state};
use gradus_train::check::CHECKS;
use gradus_train::{CheckReport, Config, Data, DataSpec, Input, Task, check};

/// Samples of one's own making.
struct Made {
    len: usize,
    sample: fn(usize) -> Result<(Part, Part)>,
}

impl Dataset for Made {
    type Item = (Part, Part);

    fn len(&self) -> usize {
        self.len
    }

    fn get(&self, index: usize) -> Result<(Part, Part)> {
        (self.sample)(index)
    }

    fn name(&self) -> String {
        "made".to_owned()
    }
}

/// Four columns, ordinary and different in each sample.
fn row(index: usize) -> Part {
    let x = |k: usize| ((index * 37 + k * 11) % 19) as f32 / 9.0 - 1.0;
    Array::new([4], (0..4).map(x).collect()).unwrap().into()
}

fn number(x: f32) -> Part {
    Array::new([1], vec![x]).unwrap().into()
}

fn data(task: Task, sample: fn(usize) -> Result<(Part, Part)>) -> Data {
    let names = ["a", "b", "c", "d"].map(str::to_owned).into();
    Data::new(Made { len: 200, sample }, DataSpec { input: Input::Columns { names }, task })
}

fn three_classes(sample: fn(usize) -> Result<(Part, Part)>) -> Data {
    let classes = ["x", "y", "z"].map(str::to_owned).into();
    data(Task::Classification { classes }, sample)
}

fn price(sample: fn(usize) -> Result<(Part, Part)>) -> Data {
    data(Task::Regression { target: "price".to_owned() }, sample)
}

fn labelled(index: usize) -> Result<(Part, Part)> {
    Ok((row(index), Part::Label(index as i64 % 3)))
}

/// The report on a model, which the data are given for.
fn report(layers: &str, more: &str, data: &Data) -> CheckReport {
    let text = format!("[data]\ntype = \"digits\"\n\n[model]\nlayers = [{layers}]\n\n{more}");
    check(&Config::parse(&text, "my.toml").unwrap(), data, data, 0).unwrap()
}

fn findings(layers: &str, more: &str, data: &Data) -> Vec<String> {
    report(layers, more, data).findings.iter().map(ToString::to_string).collect()
}

const NET: &str = r#"{ type = "Linear", out_features = 16 }, "ReLU", "Linear""#;

/// The same, to be followed by another layer.
const OPEN: &str =
    r#"{ type = "Linear", out_features = 16 }, "ReLU", { type = "Linear", out_features = 3 }"#;

#[test]
fn a_good_run_has_no_findings() {
    let report = report(NET, "", &three_classes(labelled));
    assert_eq!(report.findings, []);
    report.verdict().unwrap();
    assert!((report.chance.unwrap() - 3f64.ln()).abs() < 1e-12);
    assert_eq!(report.samples, [(200, 200), (200, 200)]);
    let text = report.to_string();
    assert!(text.contains("Linear(in_features=4, out_features=16, bias=True)"), "{text}");
    assert!(text.contains("\npeak memory of training: "), "{text}");
    assert!(text.contains("\nloss of a first batch of 32: 1."), "{text}");
    assert!(
        text.ends_with(
            "; of chance: 1.099\nsamples looked at: 200 of 200 to train on, 200 of 200 \
                            to test\nnothing is odd"
        ),
        "{text}"
    );
}

#[test]
fn the_default_configuration_has_no_findings() {
    let mut config = Config::default();
    let (train, test) = (config.open(Split::Train).unwrap(), config.open(Split::Test).unwrap());
    let report = check(&config, &train, &test, 0).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.samples, [(256, 1437), (256, 360)]);
}

#[test]
fn an_epoch_without_a_batch_is_an_error() {
    let data = three_classes(labelled);
    assert_eq!(
        findings(NET, "[train]\nbatch_size = 500\ndrop_last = true\n", &data),
        [
            "error: [train]: an epoch has no batches: of 200 samples, 0 are held out, and a batch has 500; set \
          `batch_size` to 200 or less, or leave out `drop_last`"
        ]
    );
    let found = findings(NET, "[train]\nvalidation = 1.0\n", &data);
    assert!(
        found[0].contains("200 are held out") && found[0].contains("(`validation`)"),
        "{found:?}"
    );
    assert_eq!(findings(NET, "[train]\nbatch_size = 500\n", &data), [""; 0]);
}

/// Batch normalisation has no statistics of a single sample.
#[test]
fn a_last_batch_of_one_sample_is_an_error_where_it_cannot_be_normalised() {
    let data = three_classes(labelled);
    let layers = r#"{ type = "Linear", out_features = 16 }, "BatchNorm1d", "Linear""#;
    let found = findings(layers, "[train]\nbatch_size = 199\n", &data);
    let expected =
        "batches of 199 leave one of 200 samples for the last batch; set `drop_last = true`";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    assert_eq!(findings(layers, "[train]\nbatch_size = 199\ndrop_last = true\n", &data), [""; 0]);
    assert_eq!(findings(NET, "[train]\nbatch_size = 199\n", &data), [""; 0]);
}

#[test]
fn samples_that_cannot_be_read_are_errors() {
    let data = three_classes(|index| match index {
        7 | 8 => Err(Error::new(ErrorKind::Data, "the file ends too early")),
        _ => labelled(index),
    });
    let found = findings(NET, "", &data);
    assert_eq!(found.len(), 4, "{found:?}");
    let expected = "error: made: sample 7: the file ends too early; repair or remove it (2 of the 200 \
                    looked at cannot be read)";
    assert!(found.contains(&expected.to_owned()), "{found:?}");
    let error = report(NET, "", &data).verdict().unwrap_err();
    assert_eq!(error.message().lines().count(), 4, "{error}");
}

#[test]
fn inputs_that_are_not_finite_are_errors() {
    let data = three_classes(|index| match index {
        5 => Ok((Array::new([4], vec![0.0, f32::NAN, 0.0, 0.0]).unwrap().into(), Part::Label(0))),
        _ => labelled(index),
    });
    let expected =
        "error: made: sample 5: it holds a number that is infinite or NaN; repair or remove it";
    assert!(findings(NET, "", &data).contains(&expected.to_owned()));
}

#[test]
fn inputs_on_another_scale_are_named() {
    let data = three_classes(|index| {
        let x = |k: usize| ((index * 37 + k * 11) % 19) as f32 * 1000.0;
        let row = Array::new([4], (0..4).map(x).collect()).unwrap();
        Ok((row.into(), Part::Label(index as i64 % 3)))
    });
    let found = findings(NET, "", &data);
    assert_eq!(
        found[0],
        "warning: made: inputs have mean 9031.250 and standard deviation 5465.370; scale them to about 0 and \
         1 (`standardize = true`, where the dataset has it)"
    );
    assert!(
        found[1].starts_with("warning: my.toml, line 1: the loss of the first batch is "),
        "{found:?}"
    );
    assert!(
        found[1].contains(
            "; chance would be 1.10; the first predictions are too sure: scale the inputs"
        ),
        "{found:?}"
    );
}

#[test]
fn inputs_that_are_all_the_same_are_named() {
    let data = three_classes(|index| {
        let row = Array::new([4], vec![1.0; 4]).unwrap();
        Ok((row.into(), Part::Label(index as i64 % 3)))
    });
    let expected =
        "warning: made: all inputs of the 200 samples looked at are 1; check what is read";
    assert_eq!(findings(NET, "", &data), [expected]);
}

#[test]
fn labels_that_are_no_classes_are_errors() {
    let data = three_classes(|index| {
        let label = if index == 0 { 3 } else { index as i64 % 3 };
        Ok((row(index), Part::Label(label)))
    });
    let expected = "error: made: sample 0: its label is 3, but there are 3 classes: labels are 0 to 2; \
                    correct the label, or the number of classes";
    // Once for the part to train on, once for the part to test. The step that fails for it adds nothing.
    assert_eq!(findings(NET, "", &data), [expected, expected]);
}

/// One label that is far too large makes as many classes.
#[test]
fn more_classes_than_samples_are_named() {
    let classes = (0..201).map(|class| class.to_string()).collect();
    let data = data(Task::Classification { classes }, labelled);
    let expected = "warning: made: there are 201 classes, but only 200 samples to train on; look for a label that \
                    is too large; gradus data lint counts the samples of each class";
    assert!(findings(NET, "", &data).contains(&expected.to_owned()));
}

#[test]
fn labels_that_are_all_the_same_are_named() {
    let data = three_classes(|index| Ok((row(index), Part::Label(1))));
    let expected =
        "warning: made: all 200 labels looked at are 1, of 3 classes; check how labels are read";
    assert_eq!(findings(NET, "", &data), [expected, expected]);
}

#[test]
fn a_loss_that_does_not_suit_the_last_layer_is_named() {
    let data = three_classes(labelled);
    let line = "my.toml, line 5";
    let of = |last: &str, loss: &str| {
        let more =
            if loss.is_empty() { String::new() } else { format!("[loss]\ntype = \"{loss}\"") };
        findings(&format!("{OPEN}, \"{last}\""), &more, &data)
    };
    assert_eq!(
        of("Softmax", ""),
        [format!(
            "warning: {line}: Softmax puts out probabilities, but CrossEntropyLoss takes logits: it would \
             learn slowly; leave out Softmax"
        )]
    );
    assert_eq!(
        of("LogSoftmax", ""),
        [format!(
            "warning: {line}: LogSoftmax puts out log-probabilities, and CrossEntropyLoss computes them once \
             more; leave out LogSoftmax, or choose NLLLoss"
        )]
    );
    assert_eq!(
        of("ReLU", "CrossEntropyLoss"),
        [format!(
            "warning: {line}: ReLU cuts off negative logits, which CrossEntropyLoss needs; leave out ReLU"
        )]
    );
    assert_eq!(
        of("Sigmoid", ""),
        [format!(
            "warning: {line}: Sigmoid bounds the logits, so that CrossEntropyLoss cannot come near 0; leave out \
             Sigmoid"
        )]
    );
    assert_eq!(of("LogSoftmax", "NLLLoss"), Vec::<String>::new());
    assert_eq!(
        of("Identity", "NLLLoss"),
        [
            "error: my.toml, line 7: NLLLoss takes log-probabilities, but Identity puts out something else; add \
          \"LogSoftmax\" at the end of the model, or choose CrossEntropyLoss"
        ]
    );
}

#[test]
fn numbers_that_the_last_layer_cannot_reach_are_named() {
    let large = price(|index| Ok((row(index), number(300_000.0 + index as f32))));
    assert_eq!(
        findings(NET, "", &large),
        [
            "warning: made: `price` has mean 300100 and standard deviation 58; predict it in a larger unit, so \
          that it is about 1"
        ]
    );
    let signed = price(|index| Ok((row(index), number(index as f32 / 50.0 - 2.0))));
    assert_eq!(
        findings(r#"{ type = "Linear", out_features = 1 }, "Tanh""#, "", &signed),
        [
            "warning: my.toml, line 5: Tanh puts out -1 to 1, but `price` is -2 to 1.9800000190734863; leave out \
          Tanh, or scale `price`"
        ]
    );
    assert_eq!(findings(NET, "", &signed), Vec::<String>::new());
}

#[test]
fn a_gradient_that_is_cut_off_is_named() {
    let cut = r#"{ type = "Linear", out_features = 16 }, { type = "Hardtanh", min_val = 50.0, max_val = 51.0 }, "Linear""#;
    let found = findings(cut, "", &three_classes(labelled));
    let expected = "warning: layer 0 Linear: the gradient of `weight` is 0 on the first batch; what follows cuts \
                    it off; look at the activations after it, and at weights that start at 0";
    assert!(found.contains(&expected.to_owned()), "{found:?}");
}

#[test]
fn a_model_that_does_not_fit_is_an_error() {
    let layers = r#""Linear", { type = "Conv2d", out_channels = 3, kernel_size = 3 }"#;
    let found = findings(layers, "", &three_classes(labelled));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("error: my.toml, line 5: "), "{found:?}");
}

#[test]
fn looking_changes_nothing() {
    let before = rng_state();
    let dropout = r#"{ type = "Linear", out_features = 16 }, "Dropout", "Linear""#;
    findings(dropout, "", &three_classes(labelled));
    assert_eq!(rng_state(), before);
}

#[test]
fn every_check_has_a_name_of_its_own() {
    for (i, check) in CHECKS.iter().enumerate() {
        assert!(!check.about.is_empty());
        assert!(CHECKS[..i].iter().all(|other| other.name != check.name), "{}", check.name);
    }
}

#[test]
fn images_that_are_tested_on_in_another_size_are_an_error_if_the_model_does_not_take_them() {
    let found = |layers: &str, test: &str| {
        let text = format!(
            "[data]\ntype = \"digits\"\ntransforms = [{{ type = \"RandomCrop\", size = [6, 6] }}]\n{test}\n\
             [model]\nlayers = [{layers}]\n"
        );
        let mut config = Config::parse(&text, "my.toml").unwrap();
        let (train, test) = (config.open(Split::Train).unwrap(), config.open(Split::Test).unwrap());
        let report = check(&config, &train, &test, 0).unwrap();
        report.verdict().err().map(|error| error.message().to_owned())
    };
    let flat = "\"Flatten\", \"Linear\"";
    let error = found(flat, "").unwrap();
    let expected = "my.toml, line 1: images are tested on as [1, 8, 8], but the model is for [1, 6, 6], as \
                    they are trained on; give `test_transforms` that end in this size, such as { type = \
                    \"CenterCrop\", size = [6, 6] } (my.toml, line 6: layer 1, Linear, cannot follow";
    assert!(error.starts_with(expected), "{error}");
    let crop = "test_transforms = [{ type = \"CenterCrop\", size = [6, 6] }]";
    assert_eq!(found(flat, crop), None);
    assert_eq!(
        found(
            "{ type = \"AdaptiveAvgPool2d\", output_size = [2, 2] }, \"Flatten\", \"Linear\"",
            ""
        ),
        None
    );
}
