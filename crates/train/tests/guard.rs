//! What is not finite stops a run before the update, is explained, and can be computed again.

use std::fs;
use std::path::{Path, PathBuf};

use gradus_data::{Array, DataLoader, Dataset, Subset};
use gradus_nn::optim::lr_scheduler::{CosineAnnealingLR, LRScheduler};
use gradus_nn::optim::{Adam, Optimizer, SGD};
use gradus_nn::{
    BatchNorm1d, Dropout, Layer, Linear, MSELoss, Module, ReLU, Sequential, StateDict,
};
use gradus_tensor::{DType, Result, Tensor, manual_seed, set_rng_state, with_samples};
use gradus_train::checkpoint::CheckpointFolder;
use gradus_train::config::{Every, Scheduler};
use gradus_train::trainer::{Dump, Dumps, Objective, Pass, Supervised, Trainer, probe};
use gradus_train::weight_hash;

fn loss(predictions: &Tensor, targets: &Tensor) -> Tensor {
    MSELoss::default().forward(predictions, targets)
}

fn network() -> Sequential {
    Sequential::new().add(Linear::new(4, 24)).add(ReLU).add(Linear::new(24, 1))
}

/// Points in four dimensions, and a height; that of one may be NaN.
struct Hills {
    samples: usize,
    broken: Option<usize>,
}

impl Dataset for Hills {
    type Item = (Array<f32>, Array<f32>);

    fn len(&self) -> usize {
        self.samples
    }

    fn get(&self, index: usize) -> Result<Self::Item> {
        let x: Vec<f32> = (0..4).map(|k| ((index * 7 + k * 13) % 17) as f32 / 17.0 - 0.5).collect();
        let y = if self.broken == Some(index) { f32::NAN } else { x[0] * x[1] + x[2] };
        Ok((Array::new([4], x)?, Array::new([1], vec![y])?))
    }
}

fn loader(samples: usize, batch: usize) -> DataLoader<Hills> {
    DataLoader::new(Hills { samples, broken: None }).batch_size(batch).shuffle(3)
}

/// A folder of this test's own that does not exist yet.
fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guard").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}

fn bits(state: &StateDict) -> Vec<(String, Vec<u32>)> {
    let of = |t: &Tensor| t.to_vec::<f32>().unwrap().iter().map(|x| x.to_bits()).collect();
    let mut bits: Vec<(String, Vec<u32>)> =
        state.iter().map(|(name, tensor)| (name.clone(), of(&tensor.cast(DType::F32)))).collect();
    // Files have an order of their own.
    bits.sort();
    bits
}

#[test]
fn what_is_not_finite_stops_the_run_before_the_update() {
    manual_seed(0);
    let model = network();
    let samples = Hills { samples: 40, broken: Some(17) };
    let train = DataLoader::new(samples).batch_size(8).shuffle(1);
    let bad = (0..5).find(|&batch| train.samples_of(0, batch).contains(&17)).unwrap();
    let objective = Supervised::new(&model, &loss);

    // As far as the batch before, without the guard in the way.
    let reference = || {
        manual_seed(0);
        let model = network();
        let objective = Supervised::new(&model, &loss);
        let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).steps(bad as u64);
        if bad > 0 {
            trainer.fit(&objective, &train, None).unwrap();
        }
        weight_hash(&model).unwrap()
    };
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).epochs(1);
    let error = trainer.fit(&objective, &train, None).unwrap_err();
    let message = error.message();
    let place = format!("epoch 1, batch {} of 5: loss is NaN", bad + 1);
    assert!(message.starts_with(&place), "{message}");
    assert!(
        message.contains("first not finite: forward, the output of MSELoss(): 1 NaN of 1 elements"),
        "{message}"
    );
    let listed: Vec<String> = train.samples_of(0, bad).iter().map(usize::to_string).collect();
    assert!(message.contains(&format!("samples of the batch: {}", listed.join(", "))), "{message}");
    assert_eq!(weight_hash(&model).unwrap(), reference(), "an update was made");
}

/// A part of the data names its samples as the whole does.
#[test]
fn samples_of_a_part_are_those_of_the_whole() {
    let part = Subset::new(Hills { samples: 40, broken: Some(17) }, vec![30, 17, 5]).unwrap();
    let model = network();
    let objective = Supervised::new(&model, &loss);
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).epochs(1);
    let loader = DataLoader::new(part).batch_size(3);
    let error = trainer.fit(&objective, &loader, None).unwrap_err();
    let message = error.message();
    assert!(message.contains("samples of the batch: 30, 17, 5\n"), "{message}");
    assert!(message.contains("not finite themselves: sample 17\n"), "{message}");
}

#[test]
fn the_first_layer_that_is_not_finite_is_named() {
    manual_seed(0);
    let model = network();
    let parameter = &model.parameters()[2];
    let huge = Tensor::full(parameter.shape(), f32::MAX, DType::F32);
    parameter.set(&huge);
    let objective = Supervised::new(&model, &loss);
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).epochs(1);
    let error = trainer.fit(&objective, &loader(8, 8), None).unwrap_err();
    assert!(error.message().contains("the output of layer 2 › Linear(in_features=24"), "{error}");

    // A finite loss with a gradient that is not: √x at 0.
    let weight = Linear::new(4, 1).bias(false);
    weight.weight.set(&Tensor::zeros([1, 4], DType::F32));
    let rooted = |predictions: &Tensor, _: &Tensor| (predictions * predictions).sqrt().mean();
    let objective = Supervised::new(&weight, &rooted);
    let mut trainer = Trainer::new(SGD::new(weight.parameters(), 0.1)).epochs(1);
    let error = trainer.fit(&objective, &loader(8, 8), None).unwrap_err();
    let message = error.message();
    assert!(message.contains("gradient is NaN"), "{message}");
    let expected = "first not finite: backward, the gradient at the output of Linear(";
    assert!(message.contains(expected), "{message}");
    assert_eq!(weight.weight.value().detach().to_vec::<f32>().unwrap(), [0.0; 4]);

    // Without the guard nobody looks.
    let mut trainer = Trainer::new(SGD::new(weight.parameters(), 0.1)).epochs(1).guard(false);
    trainer.fit(&objective, &loader(8, 8), None).unwrap();
}

/// Clipping by value makes a number of an infinite gradient, which says nothing about the loss.
#[test]
fn an_infinite_gradient_is_seen_before_it_is_clipped() {
    // √x at 0, of a bias alone.
    let model = Linear::new(4, 1);
    model.weight.set(&Tensor::zeros([1, 4], DType::F32));
    let bias = model.bias.clone().unwrap();
    bias.set(&Tensor::zeros([1], DType::F32));
    let rooted = |predictions: &Tensor, _: &Tensor| predictions.sqrt().mean();
    let objective = Supervised::new(&model, &rooted);
    for (accumulate, norm) in [(1, None), (1, Some(1.0)), (2, None)] {
        let optimizer = SGD::new(vec![bias.clone()], 0.1);
        let trainer = Trainer::new(optimizer).epochs(1).accumulate(accumulate).clip_value(0.5);
        let mut trainer = match norm {
            Some(max) => trainer.clip_norm(max),
            None => trainer,
        };
        let error = trainer.fit(&objective, &loader(8, 8), None).unwrap_err();
        assert!(error.message().contains("gradient is inf"), "{error}");
        assert_eq!(bias.value().detach().to_vec::<f32>().unwrap(), [0.0]);
    }
}

/// With dropout and batch normalisation.
fn model() -> Sequential {
    manual_seed(6);
    Sequential::new()
        .add(Linear::new(4, 16))
        .add(BatchNorm1d::new(16))
        .add(Dropout::new(0.5))
        .add(Linear::new(16, 1))
}

/// In mid-step, with dropout and batch normalisation: the dump gives the loss of then, and looking
/// has changed nothing.
#[test]
fn a_step_that_is_not_finite_can_be_computed_again() {
    let folder = new_folder("dumps");
    // In the middle of the second step.
    let bad = 4;
    let broken = loader(40, 4).samples_of(0, bad)[1];
    let train = DataLoader::new(Hills { samples: 40, broken: Some(broken) });
    let train = train.batch_size(4).shuffle(3);
    let trained = model();
    let objective = Supervised::new(&trained, &loss);
    let mut trainer = Trainer::new(SGD::new(trained.parameters(), 0.1))
        .epochs(1)
        .accumulate(3)
        .dumps(Dumps { folder: CheckpointFolder::new(&folder), files: Vec::new() });
    let error = trainer.fit(&objective, &train, None).unwrap_err();
    let message = error.message();
    assert!(message.contains(&format!("not finite themselves: sample {broken}\n")), "{message}");
    let steps = bad / 3;
    let path = folder.join(format!("step-{steps:010}"));
    assert!(message.contains(&format!("gradus replay {} computes", path.display())), "{message}");

    let dump = Dump::load(&path).unwrap();
    let step = &dump.step;
    assert_eq!((step.steps_before, step.epoch, step.batch), (steps as u64, 1, bad + 1));
    assert_eq!(step.samples, train.samples_of(0, bad));
    assert_eq!(step.first_sample, Some(4 * (bad % 3)));
    assert_eq!(bits(&dump.model), bits(&trained.state_dict()), "looking has changed the model");

    let again = model();
    again.load_state_dict(&dump.model).unwrap();
    let objective = Supervised::new(&again, &loss);
    let batch = (dump.batch["inputs"].clone(), dump.batch["targets"].clone());
    set_rng_state(step.rng_state());
    let probe = probe(&again, || {
        with_samples(step.first_sample.unwrap(), 4, || objective.cost(&batch).loss)
    })
    .unwrap();
    let first = probe.first_not_finite().unwrap();
    assert_eq!((first.pass, &first.what[..]), (Pass::Forward, "the output of MSELoss()"));
    assert_eq!(first.numbers.nan, 1);
    assert_eq!(bits(&again.state_dict()), bits(&dump.model), "a probe has changed the model");
    assert!(again.parameters().iter().all(|p| p.grad().is_none()));

    // A bit that is not as it was written is noticed.
    let file = path.join("training.safetensors");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = Dump::load(&path).unwrap_err();
    assert!(error.message().contains("training.safetensors is not as MANIFEST says"), "{error}");
}

/// Put right, the step makes the update that it would have made: as in a run that nothing was wrong
/// with, to the bit, with everything on that an update depends on.
#[test]
fn a_dump_holds_the_whole_step() {
    let train = |broken| DataLoader::new(Hills { samples: 40, broken }).batch_size(4).shuffle(3);
    // Of ten batches: within a step, at its end, and without accumulation.
    for (bad, accumulate, ends_step) in [(4, 3, false), (5, 3, true), (4, 1, true)] {
        let context = format!("batch {bad}, {accumulate} a step");
        let fit = |model: &Sequential, broken, dumps: Option<Dumps>| {
            let mut optimizer = Adam::new(model.parameters(), 0.01);
            let schedule = LRScheduler::new(&mut optimizer, CosineAnnealingLR::new(20)).unwrap();
            let mut trainer = Trainer::new(optimizer)
                .steps((bad / accumulate) as u64 + 1)
                .accumulate(accumulate as u64)
                .clip_value(0.2)
                .clip_norm(0.3)
                .schedule(Scheduler::Planned(schedule, Every::Step));
            if let Some(dumps) = dumps {
                trainer = trainer.dumps(dumps);
            }
            let done = trainer.fit(&Supervised::new(model, &loss), &train(broken), None);
            (done, trainer.optimizer().state_dict())
        };
        let well = model();
        let (done, state) = fit(&well, None, None);
        done.unwrap();

        let broken = train(None).samples_of(0, bad)[2];
        let folder = new_folder(&format!("whole-{bad}-{accumulate}"));
        let dumps = Dumps { folder: CheckpointFolder::new(&folder), files: Vec::new() };
        let failed = model();
        fit(&failed, Some(broken), Some(dumps)).0.unwrap_err();
        let names = CheckpointFolder::new(&folder).names().unwrap();
        let mut dump = Dump::load(&folder.join(&names[0])).unwrap();
        assert_eq!(
            dump.gradients.names().len(),
            if dump.step.first_sample > Some(0) { 6 } else { 0 }
        );

        let redo = |dump: &Dump| {
            let again = model();
            let batch = (dump.batch["inputs"].clone(), dump.batch["targets"].clone());
            let mut optimizer = Adam::new(again.parameters(), 1.0);
            manual_seed(99);
            let objective = Supervised::new(&again, &loss);
            let changes = dump.redo(&objective, &batch, &mut optimizer).unwrap();
            (changes, again, optimizer.state_dict())
        };
        // As it was, the update would have made every weight NaN.
        let (changes, ..) = redo(&dump);
        if !ends_step {
            assert!(changes.is_empty(), "{context}");
            continue;
        }
        assert_eq!(changes.len(), 6, "{context}");
        assert_eq!(changes[0].what, "the change of the parameter `0.weight`");
        assert!(changes.iter().all(|c| c.numbers.nan == c.numbers.elements), "{changes:?}");

        let mut targets = dump.batch["targets"].to_vec::<f32>().unwrap();
        let right = Hills { samples: 40, broken: None }.get(broken).unwrap().1;
        targets[2] = right.data()[0];
        dump.batch.insert("targets", Tensor::from_vec(targets, [4, 1]));
        let (changes, again, redone) = redo(&dump);
        assert!(changes.iter().all(|c| c.numbers.all_finite()), "{changes:?}");
        assert_eq!(bits(&again.state_dict()), bits(&well.state_dict()), "{context}");
        assert_eq!(bits(&redone), bits(&state), "{context}");

        // Of another optimizer.
        let mut other = SGD::new(again.parameters(), 0.1);
        let objective = Supervised::new(&again, &loss);
        let batch = (dump.batch["inputs"].clone(), dump.batch["targets"].clone());
        dump.redo(&objective, &batch, &mut other).unwrap_err();
    }
}

/// Every version of the format that was ever released is read. `golden/checkpoints.py` wrote the files.
#[test]
fn released_versions_of_dumps_are_read() {
    let golden = |version: u32| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        folder.join(format!("dump-v{version}")).join("step-0000000004")
    };
    for version in [1, 2] {
        let dump = Dump::load(&golden(version)).unwrap();
        let Dump { model, batch, optimizer, gradients, step, .. } = &dump;
        assert_eq!((step.version, step.steps_before, step.epoch, step.batch), (version, 4, 2, 3));
        assert_eq!((&step.samples[..], step.first_sample), (&[5, 7][..], Some(2)));
        assert_eq!(step.random, (11, 12));
        assert_eq!(&step.error, "loss is NaN");
        assert_eq!(dump.file("note.txt"), Some(&b"beside"[..]));
        assert_eq!(model["0.bias"].to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let mut names = batch.names();
        names.sort_unstable();
        assert_eq!(names, ["inputs", "targets"]);
        let numbers = |k: u8| (0..6).map(|x| 1.0 + f32::from(x * k)).collect::<Vec<f32>>();
        assert_eq!(batch["targets"].to_vec::<f32>().unwrap(), numbers(1));
        if version == 1 {
            assert!(step.update.is_none() && optimizer.names().is_empty());
            let (again, batch) = (network(), (batch["inputs"].clone(), batch["targets"].clone()));
            let mut optimizer = SGD::new(again.parameters(), 0.1);
            let objective = Supervised::new(&again, &loss);
            let error = dump.redo(&objective, &batch, &mut optimizer).unwrap_err();
            assert!(error.message().contains("an older gradus"), "{error}");
        } else {
            assert_eq!(optimizer["0.exp_avg"].to_vec::<f32>().unwrap(), numbers(2));
            assert_eq!(gradients["0"].to_vec::<f32>().unwrap(), numbers(3));
            let update = step.update.as_ref().unwrap();
            assert_eq!(
                (&update.lrs[..], update.momentums.as_deref()),
                (&[0.003][..], Some(&[0.9][..]))
            );
            assert_eq!(
                (update.clip_value, update.clip_norm, update.ends_step),
                (None, Some(0.5), true)
            );
            assert_eq!(update.accumulated.batches(), 1);
        }
    }
    // And what is written today is the last version.
    let Dump { model, batch, optimizer, gradients, step, .. } = Dump::load(&golden(2)).unwrap();
    let files = vec![("note.txt".to_owned(), b"beside".to_vec())];
    let new = new_folder("version");
    Dump { model, batch, optimizer, gradients, step, files }
        .save(&CheckpointFolder::new(&new))
        .unwrap();
    let state = |path: &Path| fs::read_to_string(path.join("state.json")).unwrap();
    assert_eq!(state(&new.join("step-0000000004")), state(&golden(2)));
}

/// Every value of a step: its numbers are those of the tensors.
#[test]
fn a_probe_sees_forward_and_backward() {
    manual_seed(0);
    let model = network();
    let x = Tensor::from_slice(&[0.5f32, -1.0, 2.0, 0.25], [1, 4]);
    let y = Tensor::from_slice(&[3.0f32], [1, 1]);
    let probe = probe(&model, || loss(&model.forward(&x), &y)).unwrap();
    assert!(probe.first_not_finite().is_none());
    let what: Vec<String> =
        probe.values.iter().map(|v| format!("{}: {}", v.pass, v.what)).collect();
    let layers = [
        "layer 0 › Linear(in_features=4, out_features=24, bias=True)",
        "layer 1 › ReLU()",
        "layer 2 › Linear(in_features=24, out_features=1, bias=True)",
        "MSELoss()",
    ];
    let parameters = ["0.weight", "0.bias", "2.weight", "2.bias"];
    let mut expected: Vec<String> =
        parameters.iter().map(|p| format!("state: the parameter `{p}`")).collect();
    expected.push(format!("forward: the input of {}", layers[0]));
    expected.extend(layers.iter().map(|layer| format!("forward: the output of {layer}")));
    expected.push("forward: the loss".to_owned());
    expected.extend(
        layers.iter().rev().map(|l| format!("backward: the gradient at the output of {l}")),
    );
    expected.extend(
        parameters.iter().rev().map(|p| format!("backward: the gradient of the parameter `{p}`")),
    );
    assert_eq!(what, expected);

    let value = |what: &str| probe.values.iter().find(|v| v.what == what).unwrap().numbers;
    let input = value(&expected[4]["forward: ".len()..]);
    assert_eq!((input.elements, input.range), (4, Some((-1.0, 2.0))));
    // The mean of one squared difference: twice the difference.
    let (predicted, _) = value(&format!("the output of {}", layers[2])).range.unwrap();
    let (gradient, _) =
        value(&format!("the gradient at the output of {}", layers[2])).range.unwrap();
    assert!((gradient - 2.0 * (predicted - 3.0)).abs() < 1e-5, "{gradient} of {predicted}");
    let lines = probe.to_string();
    assert_eq!(lines.lines().count(), 1 + expected.len(), "{lines}");
}

/// A gradient that overflows in an early part of a step is found in that part.
#[test]
fn gradients_are_looked_at_in_every_part_of_a_step() {
    let model = Linear::new(4, 1).bias(false);
    model.weight.set(&Tensor::zeros([1, 4], DType::F32));
    let calls = std::cell::Cell::new(0);
    let rooted = |predictions: &Tensor, _: &Tensor| {
        calls.set(calls.get() + 1);
        // √x at 0, in the second of three parts.
        if calls.get() == 2 { predictions.abs().sqrt().mean() } else { predictions.mean() }
    };
    let objective = Supervised::new(&model, &rooted);
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1)).epochs(1).accumulate(3);
    let error = trainer.fit(&objective, &loader(12, 4), None).unwrap_err();
    assert!(error.message().starts_with("epoch 1, batch 2 of 3: gradient is "), "{error}");
}
