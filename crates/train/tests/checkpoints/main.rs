//! Checkpoints, on disks that fail.

mod simulated;
mod training;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use gradus_nn::StateDict;
use gradus_tensor::Tensor;
use gradus_tensor::philox::philox4x32;
use gradus_train::checkpoint::{Checkpoint, CheckpointFolder, CheckpointWriter, Files};
use serde_json::json;
use simulated::{Fault, SURVIVES, Simulated, Survives};

const RUN: &str = "/runs/1";
const OLD: &str = "step-0000000001";
const NEW: &str = "step-0000000002";

/// A checkpoint that a number tells from others.
fn checkpoint(number: f64) -> Checkpoint {
    let tensors = |names: &[&str]| -> StateDict {
        let tensor = |(i, name): (usize, &&str)| {
            let values: Vec<f64> = (0..20).map(|x| number + (x * i) as f64).collect();
            ((*name).to_owned(), Tensor::from_vec(values, [4, 5]))
        };
        names.iter().enumerate().map(tensor).collect()
    };
    Checkpoint {
        model: tensors(&["0.weight", "0.bias"]),
        training: tensors(&["optimizer.0.exp_avg", "totals.loss.sum"]),
        state: json!({ "version": 1, "step": number }),
    }
}

fn files(number: f64) -> Files {
    checkpoint(number).to_files().unwrap()
}

fn on(disk: &Simulated) -> CheckpointFolder {
    CheckpointFolder::with_file_system(Path::new(RUN).join("checkpoints"), Arc::new(disk.clone()))
}

/// A disk with an old checkpoint on it that is safe.
fn with_old() -> Simulated {
    let disk = Simulated::new();
    // The run's own folder is made, and made safe, by whoever starts the run.
    let files_of = Arc::new(disk.clone());
    use gradus_train::checkpoint::FileSystem;
    files_of.make_folder(Path::new(RUN)).unwrap();
    files_of.sync_folder(Path::new("/")).unwrap();
    files_of.sync_folder(Path::new("/runs")).unwrap();
    on(&disk).save(OLD, &files(1.0)).unwrap();
    disk
}

/// As the writer does it: save, then remove the old one.
fn save_new(folder: &CheckpointFolder) -> bool {
    let saved = folder.save(NEW, &files(2.0));
    saved.is_ok() && folder.tidy(|name| name == NEW).is_ok()
}

/// The number of the newest checkpoint, which is there and whole.
fn newest(folder: &CheckpointFolder, context: &dyn std::fmt::Debug) -> f64 {
    let loaded = folder.load_newest(Checkpoint::from_files, |_| ());
    let (name, found) =
        loaded.unwrap_or_else(|e| panic!("{context:?}: {e}")).unwrap_or_else(|| {
            panic!("{context:?}: no checkpoint is left");
        });
    let number = found.state["step"].as_f64().unwrap();
    assert_eq!(name, if number == 1.0 { OLD } else { NEW }, "{context:?}");
    assert_eq!(found.to_files().unwrap(), files(number), "{context:?}");
    number
}

/// How many operations a save has.
fn operations() -> usize {
    let disk = with_old();
    disk.fail(usize::MAX, Fault::Broken);
    assert!(save_new(&on(&disk)));
    disk.heal()
}

#[test]
fn whatever_single_operation_fails_a_checkpoint_is_left() {
    let operations = operations();
    assert!(operations > 20, "{operations}");
    let mut kept_old = 0;
    for fault in [Fault::NoSpace, Fault::Full, Fault::Broken, Fault::Short] {
        for at in 0..operations {
            let context = (fault, at);
            let disk = with_old();
            disk.fail(at, fault);
            let saved = save_new(&on(&disk));
            disk.heal();
            let number = newest(&on(&disk), &context);
            assert!(!saved || number == 2.0, "{context:?}: a success without the checkpoint");
            assert!(fault != Fault::Short || saved, "{context:?}: short writes are no errors");
            kept_old += usize::from(number == 1.0);

            // The next one succeeds, whatever this one has left, and leaves nothing else.
            assert!(save_new(&on(&disk)), "{context:?}");
            assert_eq!(newest(&on(&disk), &context), 2.0);
            assert_eq!(on(&disk).names().unwrap(), [NEW], "{context:?}");
        }
    }
    assert!(kept_old > operations, "the faults did not prevent anything");
}

#[test]
fn wherever_the_power_goes_a_checkpoint_is_left() {
    let operations = operations();
    for survives in SURVIVES {
        for at in 0..operations {
            let context = (survives, at);
            let disk = with_old();
            disk.fail(at, Fault::PowerLoss);
            assert!(!save_new(&on(&disk)), "{context:?}");
            disk.restart(survives);
            newest(&on(&disk), &context);
            assert!(save_new(&on(&disk)), "{context:?}");
            assert_eq!(newest(&on(&disk), &context), 2.0);
        }
        // What was reported as saved is there.
        let disk = with_old();
        on(&disk).save(NEW, &files(2.0)).unwrap();
        disk.restart(survives);
        assert_eq!(newest(&on(&disk), &survives), 2.0, "{survives:?}");
    }
}

/// The test of the test: without syncs, the simulated disk does lose checkpoints.
#[test]
fn the_simulated_disk_forgets_what_is_not_synced() {
    use gradus_train::checkpoint::FileSystem;
    let disk = with_old();
    let file = Path::new(RUN).join("checkpoints/note");
    disk.create(&file).unwrap().write(b"abc").unwrap();
    disk.sync_folder(file.parent().unwrap()).unwrap();
    let after = |survives| {
        let disk = disk.copy();
        disk.restart(survives);
        disk.read(&file).unwrap()
    };
    assert_eq!(after(Survives::All), b"abc");
    assert_eq!(after(Survives::Synced), b"");
    assert_eq!(after(Survives::Torn), b"a");
}

#[test]
fn what_cannot_be_read_is_passed_over_and_said() {
    let disk = with_old();
    on(&disk).save(NEW, &files(2.0)).unwrap();
    disk.fail(usize::MAX, Fault::Broken);
    newest(&on(&disk), &"whole");
    let reads = disk.heal();
    for at in 0..reads {
        disk.fail(at, Fault::Broken);
        let mut warnings = Vec::new();
        let loaded = on(&disk)
            .load_newest(Checkpoint::from_files, |warning| warnings.push(warning.to_owned()));
        disk.heal();
        match loaded {
            Ok(Some((name, _))) => {
                assert_eq!(name, OLD, "read {at}");
                assert_eq!(warnings.len(), 1, "read {at}");
                assert!(warnings[0].contains(NEW) && warnings[0].contains(OLD), "{warnings:?}");
            }
            Ok(None) => panic!("read {at}: silently nothing"),
            // The folder itself could not be read.
            Err(error) => assert!(at == 0, "read {at}: {error}"),
        }
    }
    let none = CheckpointFolder::with_file_system("/elsewhere", Arc::new(disk));
    assert!(none.load_newest(Checkpoint::from_files, |_| ()).unwrap().is_none());
}

/// Ten thousand single bits flipped and a thousand files cut short.
#[test]
fn damage_of_any_kind_is_found() {
    let disk = with_old();
    let folder = on(&disk);
    folder.load(OLD).unwrap();
    let mut names: Vec<(String, usize)> =
        folder.load(OLD).unwrap().into_iter().map(|(n, content)| (n, content.len())).collect();
    let manifest = Path::new(RUN).join("checkpoints").join(OLD).join("MANIFEST");
    let mut length = 0;
    disk.damage(&manifest, |bytes| length = bytes.len());
    names.push(("MANIFEST".to_owned(), length));

    let path = |name: &str| Path::new(RUN).join("checkpoints").join(OLD).join(name);
    let found = |what: &dyn std::fmt::Display| {
        let error = folder.load(OLD).expect_err(&format!("{what} was not found"));
        assert!(error.message().contains(OLD), "{error}");
    };
    let draw = |i: u32, below: usize| {
        let [word, ..] = philox4x32([7, 0], [i, 0, 0, 0]);
        word as usize % below
    };
    for i in 0..10_000 {
        // Small files take as many hits as large ones.
        let (name, length) = &names[i as usize % names.len()];
        let bit = draw(i, 8 * length);
        disk.damage(&path(name), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        found(&format_args!("bit {bit} of {name}"));
        disk.damage(&path(name), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
    }
    for i in 0..1_000 {
        let (name, length) = &names[i as usize % names.len()];
        let at = draw(10_000 + i, *length);
        let mut whole = Vec::new();
        disk.damage(&path(name), |bytes| {
            whole = bytes.clone();
            bytes.truncate(at);
        });
        found(&format_args!("{name} cut at {at}"));
        disk.damage(&path(name), |bytes| *bytes = whole);
    }
    folder.load(OLD).unwrap();
}

#[test]
fn the_writer_keeps_the_last_and_the_best() {
    let disk = with_old();
    let mut writer = CheckpointWriter::new(on(&disk), 2);
    for step in 2..=6u64 {
        let best = Some(CheckpointFolder::name(3, 0));
        let before = writer.save(CheckpointFolder::name(step, 0), files(step as f64), best);
        assert!(before.is_none());
        assert!(writer.wait().unwrap().result.is_ok());
    }
    let kept = [3, 5, 6].map(|step| CheckpointFolder::name(step, 0));
    assert_eq!(on(&disk).names().unwrap(), kept);

    // A run that goes on from an older one gives up the newer ones.
    let name = CheckpointFolder::name(4, 2);
    writer.save(name.clone(), files(4.0), None);
    assert!(writer.wait().unwrap().result.is_ok());
    assert_eq!(on(&disk).names().unwrap(), [CheckpointFolder::name(3, 0), name]);
}

/// A best one that could not be written does not cost the one before.
#[test]
fn the_best_stays_until_there_is_a_better_one() {
    let disk = with_old();
    let mut writer = CheckpointWriter::new(on(&disk), 1);
    let name = |step: u64| CheckpointFolder::name(step, 0);
    let mut save = |step: u64, best: u64| {
        assert!(writer.save(name(step), files(step as f64), Some(name(best))).is_none());
        writer.wait().unwrap().result.is_ok()
    };
    assert!(save(2, 2) && save(3, 2));
    disk.fail(0, Fault::Full);
    assert!(!save(4, 4));
    disk.heal();
    assert!(save(5, 4));
    assert_eq!(on(&disk).names().unwrap(), [name(2), name(5)]);
    assert!(save(6, 6) && save(7, 6));
    assert_eq!(on(&disk).names().unwrap(), [name(6), name(7)]);
}

/// However slow the disk, nobody waits for it: of the checkpoints that come meanwhile, the newest is
/// written, and the best.
#[test]
fn a_slow_disk_makes_nobody_wait() {
    let disk = with_old();
    let mut writer = CheckpointWriter::new(on(&disk), 1);
    let name = |step: u64| CheckpointFolder::name(step, 0);
    let slow = disk.hold();
    let began = std::time::Instant::now();
    for step in 2..=6u64 {
        // The third is the best so far, the others are not.
        let best = (step == 6).then(|| name(step));
        assert!(writer.save(name(step), files(step as f64), best).is_none());
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(5), "somebody has waited");
    drop(slow);
    // It gives way to none that is not better.
    writer.save(name(7), files(7.0), Some(name(6)));
    let written = std::iter::from_fn(|| writer.wait()).inspect(|w| assert!(w.result.is_ok()));
    let written: Vec<String> = written.map(|written| written.name).collect();
    assert!(written.ends_with(&[name(7)]) && !written.contains(&name(3)), "{written:?}");
    assert_eq!(on(&disk).names().unwrap(), [name(6), name(7)]);
}

/// Every version of the format that was ever released is read. `golden/checkpoints.py` wrote the files.
#[test]
fn released_versions_are_read() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/checkpoint-v1");
    let expected = checkpoint(1.0);
    let loaded = CheckpointFolder::new(&folder).load_newest(Checkpoint::from_files, |_| ());
    let (name, found) = loaded.unwrap().expect("the golden files are there");
    assert_eq!(name, OLD);
    assert_eq!(found.state, expected.state);
    for (found, expected) in
        [(&found.model, &expected.model), (&found.training, &expected.training)]
    {
        let mut names = found.names();
        names.sort_unstable();
        let mut wanted = expected.names();
        wanted.sort_unstable();
        assert_eq!(names, wanted);
        for (name, tensor) in expected {
            assert_eq!(
                found[name.as_str()].to_vec::<f64>().unwrap(),
                tensor.to_vec::<f64>().unwrap()
            );
        }
    }
    // And what is written today is that version, to the byte.
    let new = new_folder("version");
    CheckpointFolder::new(&new).save(OLD, &files(1.0)).unwrap();
    for file in ["MANIFEST", "state.json", "model.safetensors", "training.safetensors"] {
        let bytes = |folder: &Path| fs::read(folder.join(OLD).join(file)).unwrap();
        assert!(bytes(&new) == bytes(&folder), "{file}");
    }
}

/// A folder of this test's own that does not exist yet.
fn new_folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("checkpoints").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    path
}
