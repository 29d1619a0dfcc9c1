//! Running the command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder of this test's own, empty.
pub fn folder(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
    if path.exists() {
        fs::remove_dir_all(&path).unwrap();
    }
    fs::create_dir_all(&path).unwrap();
    path
}

pub struct Outcome {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// Runs the command in a folder.
pub fn gradus(folder: &Path, arguments: &[&str]) -> Outcome {
    let output = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the command, which succeeds; what it prints.
pub fn succeeds(folder: &Path, arguments: &[&str]) -> String {
    let Outcome { code, out, err } = gradus(folder, arguments);
    assert_eq!((code, err.as_str()), (0, ""), "gradus {arguments:?}");
    out
}

/// Runs the command, which fails with an exit code and one message; the message.
pub fn fails(folder: &Path, arguments: &[&str], code: i32) -> String {
    let outcome = gradus(folder, arguments);
    assert_eq!(outcome.code, code, "gradus {arguments:?}: {}", outcome.err);
    assert!(outcome.err.starts_with("error: "), "{}", outcome.err);
    assert!(!outcome.err.contains("panicked"), "{}", outcome.err);
    assert_eq!(outcome.err.matches("error:").count(), 1, "{}", outcome.err);
    outcome.err
}

/// Writes an image as a PNG file.
pub fn write_png(path: &Path, (width, height): (u32, u32), colour: png::ColorType, pixels: &[u8]) {
    let mut encoder = png::Encoder::new(fs::File::create(path).unwrap(), width, height);
    encoder.set_color(colour);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(pixels).unwrap();
    writer.finish().unwrap();
}
