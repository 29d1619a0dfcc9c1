//! Samples kept on disk: from run to run, by several at once, and after kills and damage.

use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use gradus_data::{Array, Combine, DataLoader, Dataset, Identity};
use gradus_tensor::{Error, ErrorKind, Result};

/// Rows of numbers of different lengths, which count how often they are made.
struct Rows {
    len: usize,
    version: u32,
    made: AtomicUsize,
}

fn rows(len: usize, version: u32) -> Rows {
    Rows { len, version, made: AtomicUsize::new(0) }
}

fn row(index: usize, version: u32) -> Vec<f32> {
    (0..1 + index % 300).map(|i| (i * index) as f32 + version as f32 / 2.0).collect()
}

impl Dataset for Rows {
    type Item = (Array<f32>, i64);
    fn len(&self) -> usize {
        self.len
    }
    fn get(&self, index: usize) -> Result<Self::Item> {
        if index == 13 {
            return Err(Error::new(ErrorKind::Data, "bad luck"));
        }
        self.made.fetch_add(1, Ordering::Relaxed);
        let row = row(index, self.version);
        Ok((Array::new([row.len()], row)?, index as i64))
    }
    fn name(&self) -> String {
        "rows/of numbers".to_owned()
    }
    fn identify(&self, identity: &mut Identity) {
        identity.add(self.version.to_le_bytes());
    }
}

/// A folder of the test's own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gradus-cache-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Reads all samples, and how many of them had to be made.
fn read(len: usize, version: u32, folder: &Path) -> (PathBuf, usize) {
    let cached = std::sync::Arc::new(rows(len, version)).cache_on_disk(folder).unwrap();
    let path = cached.path().to_owned();
    let shared = std::sync::Arc::new(cached);
    for index in (0..len).rev() {
        match shared.get(index) {
            Ok((array, label)) => {
                assert_eq!((array.data(), label), (&row(index, version)[..], index as i64));
            }
            Err(error) => assert_eq!((index, error.message()), (13, "bad luck")),
        }
    }
    (path, made(len, version, folder))
}

/// How many samples are not in the file.
fn made(len: usize, version: u32, folder: &Path) -> usize {
    let source = std::sync::Arc::new(rows(len, version));
    let cached = std::sync::Arc::clone(&source).cache_on_disk(folder).unwrap();
    (0..len).for_each(|index| drop(cached.get(index)));
    source.made.load(Ordering::Relaxed)
}

#[test]
fn samples_outlive_the_run() {
    let folder = Folder::new("outlive");
    assert_eq!(made(50, 1, &folder.0), 49);
    assert_eq!(made(50, 1, &folder.0), 0);
    assert_eq!(read(50, 1, &folder.0).1, 0);
    // Another identity, another file.
    assert_eq!(made(50, 2, &folder.0), 49);
    assert_eq!(made(50, 1, &folder.0), 0);
    let names: Vec<String> = fs::read_dir(&folder.0)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names.len(), 2);
    assert!(names.iter().all(|n| n.starts_with("rows-of-numbers-") && n.ends_with(".samples")));
}

#[test]
fn threads_and_processes_share_a_file() {
    let folder = Folder::new("share");
    thread::scope(|scope| {
        for _ in 0..4 {
            // Each with a file of its own, as processes have.
            scope.spawn(|| read(200, 1, &folder.0));
        }
    });
    let (path, again) = read(200, 1, &folder.0);
    assert_eq!(again, 0);
    // No sample is there twice: 20 bytes before each, and shape, length, numbers and label.
    let content: usize =
        (0..200).filter(|i| *i != 13).map(|i| 20 + 24 + 4 * row(i, 1).len() + 8).sum();
    assert_eq!(fs::metadata(path).unwrap().len() as usize, 44 + content);
    let loader =
        DataLoader::new(rows(13, 3).map(|(_, label)| Ok(label)).cache_on_disk(&folder.0).unwrap());
    let labels: Vec<i64> = loader
        .workers(4)
        .into_iter()
        .flat_map(|batch| batch.unwrap().to_vec::<i64>().unwrap())
        .collect();
    assert!(labels.into_iter().eq(0..13));
}

#[test]
fn damage_is_found_and_made_good() {
    let folder = Folder::new("damage");
    let (path, _) = read(60, 1, &folder.0);
    let whole = fs::read(&path).unwrap();
    // One byte changed anywhere: what comes back is right, and afterwards the file is.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&path, &changed).unwrap();
        read(60, 1, &folder.0);
        assert_eq!(made(60, 1, &folder.0), 0, "byte {at}");
    }
    // Cut anywhere, as by a kill.
    for end in (0..whole.len()).step_by(whole.len() / 40) {
        fs::write(&path, &whole[..end]).unwrap();
        read(60, 1, &folder.0);
        assert_eq!(made(60, 1, &folder.0), 0, "{end} bytes");
    }
    // Damaged under the hands of one who has looked through it.
    let cached = rows(60, 1).cache_on_disk(&folder.0).unwrap();
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.seek(SeekFrom::Start(200)).unwrap();
    file.write_all(&[0xaa; 5000]).unwrap();
    for index in (0..60).filter(|index| *index != 13) {
        assert_eq!(cached.get(index).unwrap().0.data(), row(index, 1));
    }
}

/// Processes that fill one file are killed at any moment; the test runs itself as such a process.
#[test]
fn kills_leave_a_sound_file() {
    const FOLDER: &str = "GRADUS_TEST_CACHE_FOLDER";
    if let Some(folder) = std::env::var_os(FOLDER) {
        read(1500, 1, Path::new(&folder));
        return;
    }
    let folder = Folder::new("kills");
    let start = || -> Child {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kills_leave_a_sound_file", "--nocapture"])
            .env(FOLDER, &folder.0)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    for round in 0..12u64 {
        let mut children = [start(), start()];
        thread::sleep(Duration::from_millis(3 + 5 * round));
        for child in &mut children {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        // Now and then, kills come one upon the other.
        if round % 3 == 2 {
            assert_eq!(read(1500, 1, &folder.0).1, 0);
            fs::remove_dir_all(&folder.0).unwrap();
        }
    }
    let mut last = start();
    assert!(last.wait().unwrap().success());
    assert_eq!(read(1500, 1, &folder.0).1, 0);
}
