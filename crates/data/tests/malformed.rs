//! Damaged files of every format: hand-made ones with the messages that they must give, and random
//! changes of good ones.
//!
//! A file `malformed/NAME.txt` begins with the good file, `good READER FILE`, or `good READER FILE
//! inside` if changes are made to what is in its gzip. After it, there is a line for each damaged
//! file, `CHANGE => MESSAGE`, where a change is one or several of `cut N` (to its first N bytes),
//! `set AT HEX`, `insert AT HEX`, `append HEX`, `replace HEX` (the whole file), `text TEXT` (the whole
//! file, with `\n` for a new line), `checksum AT` (of the tar header there), with `; ` between them.
//! `UPDATE_SNAPSHOTS=1 cargo test -p gradus-data --test malformed` writes the messages; read them
//! before they are kept.
//!
//! The random changes are seeded: a number stands for the same file everywhere. They are made of the
//! files in `seeds`.
//!
//! * `GRADUS_MUTATIONS=100000 cargo test --release -p gradus-data --test malformed` changes files of
//!   each format that often; by default, 300 times.
//! * `GRADUS_FUZZ_SECONDS=60` goes on with more and wilder changes for so many seconds for each
//!   format; by default, not at all. It finds less than `fuzz/run`, which needs a C++ compiler, but it
//!   needs nothing.
//! * `GRADUS_FUZZ_READER=png` changes the files of one format only.

use std::fs;
use std::io::{Read, Write};
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use gradus_data::datasets::readers::{READERS, Reader, reader};
use gradus_data::transforms::Draws;
use peak_alloc::PeakAlloc;

/// Knows how much memory a reader takes.
#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// No reader may take more for a file of a few kilobytes, or longer.
const MOST_BYTES: usize = 1 << 28;
const LONGEST: Duration = Duration::from_secs(30);

/// Readers that are left out without the feature `parquet`.
const FEATURES: &[&str] = if cfg!(feature = "parquet") { &[] } else { &["parquet", "arrow"] };

/// Held by each test, so that no other one takes memory at the same time.
static ALONE: Mutex<()> = Mutex::new(());

fn tests(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(path)
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content).unwrap();
    content
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal bytes");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The file after a change.
fn changed(good: &[u8], change: &str) -> Vec<u8> {
    let mut file = good.to_vec();
    if let Some(text) = change.strip_prefix("text ") {
        return text.replace("\\n", "\n").into_bytes();
    }
    for change in change.split("; ") {
        let parts: Vec<&str> = change.split(' ').collect();
        let at = |text: &str| text.parse::<usize>().expect("an offset");
        match parts[..] {
            ["cut", length] => file.truncate(at(length)),
            ["set", offset, bytes] => {
                let bytes = hex(bytes);
                file[at(offset)..][..bytes.len()].copy_from_slice(&bytes);
            }
            ["insert", offset, bytes] => {
                file.splice(at(offset)..at(offset), hex(bytes));
            }
            ["append", bytes] => file.extend(hex(bytes)),
            ["replace", bytes] => file = hex(bytes),
            ["replace"] => file.clear(),
            ["checksum", offset] => {
                let header = &mut file[at(offset)..][..512];
                header[148..156].fill(b' ');
                let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
                header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            _ => panic!("no change: {change}"),
        }
    }
    file
}

#[test]
fn every_malformed_file_says_what_is_wrong() {
    let _alone = ALONE.lock();
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let (mut failures, mut covered) = (Vec::new(), Vec::new());
    for path in fs::read_dir(tests("malformed")).unwrap().map(|entry| entry.unwrap().path()) {
        let table = fs::read_to_string(&path).unwrap();
        let (good, rows) = table.split_once('\n').unwrap();
        let words: Vec<&str> = good.split(' ').collect();
        let (name, file, inside) = match words[..] {
            ["good", name, file] => (name, file, false),
            ["good", name, file, "inside"] => (name, file, true),
            _ => panic!("{}: {good}", path.display()),
        };
        let Some(reader) = reader(name) else {
            assert!(FEATURES.contains(&name), "{good}: no such reader");
            continue;
        };
        covered.push(reader.name);
        let original = fs::read(tests(file)).unwrap();
        let read = |bytes: &[u8]| {
            if inside { (reader.read)(&packed(bytes)) } else { (reader.read)(bytes) }
        };
        let original = if inside { unpacked(&original) } else { original };
        assert!(read(&original).unwrap_or_else(|e| panic!("{good}: {e}")) > 0, "{good}");
        let (mut found, mut refused) = (format!("{good}\n"), 0);
        for line in rows.lines() {
            let (change, expected) = line.split_once(" =>").unwrap_or((line, ""));
            let error = match read(&changed(&original, change)) {
                Ok(size) => format!("(read: {size})"),
                Err(error) => {
                    refused += 1;
                    error.trim().replace('\n', " ")
                }
            };
            if error != expected.trim() {
                let of = path.display();
                failures.push(format!("{of}: {change}\n  is  {error}\n  not {expected}"));
            }
            found += &format!("{change} => {error}\n");
        }
        if update {
            fs::write(&path, found).unwrap();
        }
        assert!(refused >= 20, "{}: {refused} are too few", path.display());
    }
    assert!(update || failures.is_empty(), "{}", failures.join("\n"));
    for Reader { name, .. } in READERS {
        assert!(covered.contains(name), "there are no malformed files for the reader {name}");
    }
}

#[test]
fn every_reader_is_a_fuzz_target() {
    let targets = include_str!("../../../fuzz/Cargo.toml");
    for Reader { name, .. } in READERS {
        assert!(targets.contains(&format!("name = \"{name}\"\n")), "fuzz/Cargo.toml lacks {name}");
    }
}

/// Good files of a format, in the order of their names.
fn seeds(name: &str) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(tests("seeds").join(name));
    let entries = entries.unwrap_or_else(|e| panic!("the seeds of {name}: {e}"));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// Random changes: bytes, bits, cuts, repetitions, extreme numbers, parts of other seeds.
fn mutated(seeds: &[Vec<u8>], draws: &mut Draws, most: usize) -> Vec<u8> {
    let mut file = seeds[draws.below(seeds.len())].clone();
    for _ in 0..=draws.below(most) {
        if file.is_empty() {
            return file;
        }
        let at = draws.below(file.len());
        match draws.below(8) {
            0 => file[at] = draws.below(256) as u8,
            1 => file[at] ^= 1 << draws.below(8),
            2 => file.truncate(at),
            3 => {
                let end = (at + 1 + draws.below(16)).min(file.len());
                let part = file[at..end].to_vec();
                let to = draws.below(file.len());
                file.splice(to..to, part);
            }
            4 => {
                let end = (at + 1 + draws.below(8)).min(file.len());
                file.drain(at..end);
            }
            5 => {
                let extreme = [0, 1, 0x7f, 0x80, 0xff][draws.below(5)];
                let end = (at + 4).min(file.len());
                file[at..end].fill(extreme);
            }
            // Headers are small and decide everything.
            6 => {
                let at = draws.below(file.len().min(64));
                file[at] = draws.below(256) as u8;
            }
            _ => {
                let other = &seeds[draws.below(seeds.len())];
                let start = draws.below(other.len());
                let end = (start + 1 + draws.below(64)).min(other.len());
                let to = (at + end - start).min(file.len());
                file.splice(at..to, other[start..end].iter().copied());
            }
        }
    }
    // Most changes would be found by checksums, and nothing behind them tested.
    if file.starts_with(b"\x89PNG") && draws.chance(0.9) {
        correct_checksums(&mut file);
    }
    if file.starts_with(&[0x1f, 0x8b]) && draws.chance(0.9) {
        let gzip: Vec<&Vec<u8>> = seeds.iter().filter(|s| s.starts_with(&[0x1f, 0x8b])).collect();
        let inner = unpacked(gzip[draws.below(gzip.len())]);
        return packed(&mutated(&[inner], draws, most));
    }
    file
}

/// Those of the chunks of a PNG, as far as there are chunks.
fn correct_checksums(png: &mut [u8]) {
    let mut at = 8;
    while let Some(&[a, b, c, d]) = png.get(at..at + 4) {
        let end = at.saturating_add(u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(8);
        let Some(content) = png.get(at + 4..end) else { return };
        let mut sum = flate2::Crc::new();
        sum.update(content);
        let Some(place) = png.get_mut(end..end + 4) else { return };
        place.copy_from_slice(&sum.sum().to_be_bytes());
        at = end + 4;
    }
}

/// What a reader makes of a file, if it neither panics nor takes too long or too much memory.
fn survives(reader: &Reader, number: u64, file: &[u8]) -> Result<usize, String> {
    let name = reader.name;
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let start = Instant::now();
    let outcome = catch_unwind(|| (reader.read)(file));
    let took = PeakAlloc.peak_usage().saturating_sub(before);
    assert!(start.elapsed() < LONGEST, "{name}: mutation {number} hangs");
    assert!(took < MOST_BYTES, "{name}: mutation {number} takes {took} bytes");
    outcome.unwrap_or_else(|_| panic!("{name}: mutation {number} panics"))
}

#[test]
fn mutations_neither_panic_nor_hang_nor_fill_the_memory() {
    let _alone = ALONE.lock();
    let times = number("GRADUS_MUTATIONS").unwrap_or(300);
    let seconds = number("GRADUS_FUZZ_SECONDS").unwrap_or(0);
    let only = std::env::var("GRADUS_FUZZ_READER").ok();
    let chosen = |name: &str| only.as_deref().is_none_or(|only| only == name);
    assert!(READERS.iter().any(|reader| chosen(reader.name)), "GRADUS_FUZZ_READER names no reader");
    for (format, reader) in (0..).zip(READERS).filter(|(_, reader)| chosen(reader.name)) {
        let seeds = seeds(reader.name);
        for (at, seed) in seeds.iter().enumerate() {
            let read = survives(reader, 0, seed);
            assert!(read.is_ok_and(|size| size > 0), "{}: seed {at} is damaged", reader.name);
        }
        let start = Instant::now();
        let mut accepted = 0;
        for number in 0..times {
            let file = mutated(&seeds, &mut Draws::new(0, 0, number, format), 4);
            accepted += u64::from(survives(reader, number, &file).is_ok());
        }
        // Some changes do no harm, but damage must be the rule. Any text in UTF-8 is a text.
        assert!(accepted < times * 9 / 10, "{}: {accepted} of {times} pass", reader.name);
        let mut number = times;
        let fuzzing = Instant::now();
        while fuzzing.elapsed().as_secs() < seconds {
            let file = mutated(&seeds, &mut Draws::new(1, 0, number, format), 24);
            let _ = survives(reader, number, &file);
            number += 1;
        }
        if times > 300 || seconds > 0 {
            let (name, elapsed) = (reader.name, start.elapsed().as_secs_f64());
            println!(
                "{name}: {number} mutations in {elapsed:.1} s, {accepted} of {times} accepted"
            );
        }
    }
}
