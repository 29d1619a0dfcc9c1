//! Damaged files of every format: hand-made ones with the messages that they must give, and random
//! changes of good ones.
//!
//! `tests/malformed/FORMAT.txt` has a line for each file, `CHANGE => MESSAGE`, where a change of the
//! good file is one or several of `cut N` (to its first N bytes), `set AT HEX`, `insert AT HEX`,
//! `append HEX`, `replace HEX` (the whole file). `UPDATE_SNAPSHOTS=1 cargo test -p gradus-data malformed` writes the messages;
//! read them before they are kept. `GRADUS_MUTATIONS=100000 cargo test --release -p gradus-data
//! mutations` changes each file that often.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::decode::decode;
use crate::transforms::Draws;
use crate::{idx, mat, npy};

/// A format, a good file of it, and its reader: how many bytes it made of the file, or why none.
struct Format {
    name: &'static str,
    good: Vec<u8>,
    read: fn(&[u8]) -> Result<usize, String>,
}

fn golden(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    fs::read(PathBuf::from(folder).join(name)).unwrap()
}

fn image(bytes: &[u8]) -> Result<usize, String> {
    decode(bytes).map(|decoded| decoded.pixels.len())
}

fn read_idx(bytes: &[u8]) -> Result<usize, String> {
    let sizes = [None, Some(2), Some(2)];
    let read = idx::read("file", bytes, bytes.len() as u64, &sizes);
    read.map(|idx| idx.bytes.len()).map_err(|e| e.message().to_owned())
}

fn read_array(array: Result<npy::NpyArray, String>) -> Result<usize, String> {
    array.map(|array| array.shape.numel() * 8)
}

fn formats() -> Vec<Format> {
    let mut plain = vec![0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 2];
    plain.extend(1..=12);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    std::io::Write::write_all(&mut gzip, &plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut array = b"\x93NUMPY\x01\x00\x46\x00".to_vec();
    let header = "{'descr': '<i4', 'fortran_order': True, 'shape': (2, 3), }";
    array.extend(format!("{header:<69}\n").bytes());
    array.extend((0..24).map(|i| i as u8));
    let of = |name, good, read| Format { name, good, read };
    vec![
        of("png", golden("picture.png"), image),
        of("jpeg", golden("picture.jpg"), image),
        of("webp", golden("picture.webp"), image),
        of("webp-lossless", golden("picture-lossless.webp"), image),
        of("bmp", golden("picture.bmp"), image),
        of("idx", plain, read_idx),
        of("idx-gzip", gzip, read_idx),
        of("mat", golden("svhn_small.mat"), |bytes| {
            mat::read(bytes).map(|all| all.iter().map(|m| 8 * m.numbers().len()).sum())
        }),
        of("npy", array, |bytes| read_array(npy::read_npy(bytes))),
        of("npz", golden("arrays.npz"), |bytes| read_array(npy::read_npz(bytes, "f4"))),
    ]
}

fn hex(text: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal bytes");
    (0..text.len()).step_by(2).map(byte).collect()
}

/// The file after a change.
fn changed(good: &[u8], change: &str) -> Vec<u8> {
    let mut file = good.to_vec();
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
            _ => panic!("no change: {change}"),
        }
    }
    file
}

#[test]
fn every_malformed_file_says_what_is_wrong() {
    let update = std::env::var_os("UPDATE_SNAPSHOTS").is_some();
    let mut failures = Vec::new();
    for format in formats() {
        let size = (format.read)(&format.good).unwrap_or_else(|e| panic!("{}: {e}", format.name));
        assert!(size > 0);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/malformed");
        let path = PathBuf::from(folder).join(format!("{}.txt", format.name));
        let table = fs::read_to_string(&path).unwrap();
        let mut found = String::new();
        for line in table.lines() {
            let (change, expected) = line.split_once(" => ").unwrap_or((line, ""));
            let error = match (format.read)(&changed(&format.good, change.trim_end_matches(" =>")))
            {
                Ok(size) => format!("(read: {size} bytes)"),
                Err(error) => error,
            };
            let error = error.replace('\n', " ");
            if error != expected {
                failures
                    .push(format!("{}: {change}\n  is  {error}\n  not {expected}", format.name));
            }
            found += &format!("{} => {error}\n", change.trim_end_matches(" =>"));
        }
        assert!(table.lines().count() >= 20, "{}: too few", format.name);
        if update {
            fs::write(&path, found).unwrap();
        }
    }
    assert!(update || failures.is_empty(), "{}", failures.join("\n"));
}

/// One to four changes at random places: bytes, bits, cuts, repetitions, extreme numbers.
fn mutated(good: &[u8], draws: &mut Draws) -> Vec<u8> {
    let mut file = good.to_vec();
    for _ in 0..=draws.below(4) {
        if file.is_empty() {
            return file;
        }
        let at = draws.below(file.len());
        match draws.below(6) {
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
            _ => {
                let extreme = [0, 1, 0x7f, 0x80, 0xff][draws.below(5)];
                let end = (at + 4).min(file.len());
                file[at..end].fill(extreme);
            }
        }
    }
    file
}

#[test]
fn mutations_neither_panic_nor_hang_nor_fill_the_memory() {
    let times = std::env::var("GRADUS_MUTATIONS").ok().and_then(|n| n.parse().ok());
    let times = times.unwrap_or(300);
    for format in formats() {
        let mut accepted = 0u64;
        for number in 0..times {
            let mut draws = Draws::new(0, 0, number, 0);
            let file = mutated(&format.good, &mut draws);
            let start = Instant::now();
            let outcome = std::panic::catch_unwind(|| (format.read)(&file));
            let outcome = outcome.unwrap_or_else(|_| panic!("{}: mutation {number}", format.name));
            accepted += u64::from(outcome.is_ok());
            assert!(start.elapsed() < Duration::from_secs(60), "{}: {number} hangs", format.name);
            // What no file of this size can hold is not made of it.
            let most = (1 << 28).max(file.len() * 1032);
            assert!(outcome.unwrap_or(0) <= most, "{}: {number} fills the memory", format.name);
        }
        // Some changes do no harm, but damage must be the rule.
        assert!(accepted < times * 9 / 10, "{}: {accepted} of {times} pass", format.name);
    }
}
