//! A disk that fills up while a run is being trained.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use gradus_data::{Array, DataLoader, Dataset};
use gradus_nn::optim::SGD;
use gradus_nn::{Linear, MSELoss, Module};
use gradus_tensor::{Result, Tensor, manual_seed};
use gradus_train::checkpoint::{Checkpoint, CheckpointFolder, FileSystem};
use gradus_train::trainer::{Callback, Checkpoints, Control, StepEnd, Supervised, Trainer};
use gradus_train::weight_hash;

use crate::simulated::{Fault, Simulated};

struct Line;

impl Dataset for Line {
    type Item = (Array<f32>, Array<f32>);
    fn len(&self) -> usize {
        40
    }
    fn get(&self, index: usize) -> Result<Self::Item> {
        let x = index as f32 / 40.0;
        Ok((Array::new([1], vec![x])?, Array::new([1], vec![2.0 * x])?))
    }
}

fn folder(disk: &Simulated) -> CheckpointFolder {
    CheckpointFolder::with_file_system("/runs/1/checkpoints", Arc::new(disk.clone()))
}

/// The disk is full from one step to another, once there is a checkpoint; every warning is noted.
struct Filling {
    disk: Simulated,
    from: u64,
    to: u64,
    warnings: Rc<RefCell<Vec<String>>>,
}

impl Callback for Filling {
    fn on_step_end(&mut self, step: &StepEnd<'_>, _: &mut Control) -> Result<()> {
        if step.step == self.from {
            let folder = folder(&self.disk);
            while folder.names()?.is_empty() {
                std::thread::yield_now();
            }
            self.disk.fail(0, Fault::Full);
        } else if step.step == self.to {
            self.disk.heal();
        }
        Ok(())
    }

    fn on_warning(&mut self, warning: &str) -> Result<()> {
        self.warnings.borrow_mut().push(warning.to_owned());
        Ok(())
    }
}

fn train(folder: CheckpointFolder, filling: Option<Filling>, steps: u64) -> String {
    manual_seed(0);
    let model = Linear::new(1, 1);
    let loss = |a: &Tensor, b: &Tensor| MSELoss::default().forward(a, b);
    let checkpoints =
        Checkpoints { every_steps: Some(1), every: None, keep_last: 1, ..Checkpoints::new(folder) };
    let mut trainer = Trainer::new(SGD::new(model.parameters(), 0.1).momentum(0.9))
        .steps(steps)
        .checkpoints(checkpoints);
    if let Some(filling) = filling {
        trainer = trainer.callback(filling);
    }
    let loader = DataLoader::new(Line).batch_size(4).shuffle(0);
    trainer.fit(&Supervised::new(&model, &loss), &loader, None).unwrap();
    weight_hash(&model).unwrap()
}

#[test]
fn a_full_disk_does_not_end_the_run() {
    let disk = || {
        let disk = Simulated::new();
        disk.make_folder(Path::new("/runs/1")).unwrap();
        disk
    };
    let expected = train(folder(&disk()), None, 30);

    // Full until the end: the checkpoint from before is what is left, and the run goes on from it.
    let full = disk();
    let warnings = Rc::new(RefCell::new(Vec::new()));
    let filling = |disk: &Simulated, from, to| {
        Some(Filling { disk: disk.clone(), from, to, warnings: warnings.clone() })
    };
    assert_eq!(train(folder(&full), filling(&full, 12, 99), 30), expected);
    full.heal();
    assert!(!warnings.borrow().is_empty());
    let first = warnings.borrow()[0].clone();
    assert!(
        first.contains("cannot save the checkpoint") && first.contains("training goes on"),
        "{first}"
    );
    let (name, _) =
        folder(&full).load_newest(Checkpoint::from_files, |w| panic!("{w}")).unwrap().unwrap();
    // The last ones before it may still have been in the making, or waiting for their turn.
    let before: Vec<String> = (1..=11).map(|step| CheckpointFolder::name(step, 0)).collect();
    assert!(before.contains(&name), "{name}");
    assert_eq!(train(folder(&full), None, 30), expected);

    // Space again after a while: so are checkpoints.
    let again = disk();
    assert_eq!(train(folder(&again), filling(&again, 5, 20), 30), expected);
    assert_eq!(folder(&again).names().unwrap(), [CheckpointFolder::name(30, 0)]);
}
