//! Predictions for image files.

use std::fs;
use std::path::Path;

use crate::command::{fails, folder, succeeds, write_png};
use gradus::data::{Dataset, Split, datasets};

/// The pixels of a test digit, black being 0 and white 255; and its label.
fn digit(index: usize) -> (Vec<u8>, i64) {
    let (image, label) = datasets::digits(Split::Test).get(index).unwrap();
    let scale = |&p: &u8| (u32::from(p) * 255 / 16) as u8;
    (image.pixels().data().iter().map(scale).collect(), label)
}

/// Writes a test digit as a PNG file; its name and label.
fn write_digit(dir: &Path, index: usize) -> (String, i64) {
    let (pixels, label) = digit(index);
    let name = format!("{index}.png");
    write_png(&dir.join(&name), (8, 8), png::ColorType::Grayscale, &pixels);
    (name, label)
}

#[test]
fn images_are_recognised() {
    let dir = folder("predict");
    succeeds(&dir, &["train", "--quiet", "--epochs", "10", "--out", "run"]);
    let digits: Vec<(String, i64)> = (0..10).map(|index| write_digit(&dir, index)).collect();
    let names: Vec<&str> = digits.iter().map(|(name, _)| name.as_str()).collect();
    let out = succeeds(&dir, &[&["predict", "run"], &names[..], &["--top", "2"]].concat());
    let blocks: Vec<Vec<&str>> = out.split("\n\n").map(|block| block.lines().collect()).collect();
    assert_eq!(blocks.len(), 10, "{out}");
    let mut right = 0;
    for (block, (name, label)) in blocks.iter().zip(&digits) {
        let [title, first, second] = block[..] else { panic!("{out}") };
        assert_eq!(title, name);
        let (first, second) = (first.split_once('%').unwrap(), second.split_once('%').unwrap());
        let share = |text: &str| text.trim().parse::<f64>().unwrap();
        assert!(share(first.0) >= share(second.0) && share(first.0) <= 100.0, "{out}");
        right += usize::from(first.1.trim() == label.to_string());
    }
    // Of the test digits, some 97 of 100 are right.
    assert!(right >= 9, "{right} of 10 are right:\n{out}");

    // Probabilities of all classes make up 1, and colour becomes grey.
    let colour: Vec<u8> = digit(0).0.into_iter().flat_map(|grey| [grey; 3]).collect();
    write_png(&dir.join("colour.png"), (8, 8), png::ColorType::Rgb, &colour);
    let all = |name| succeeds(&dir, &["predict", "run", name, "--top", "10"]);
    let shares = all("0.png");
    let total: f64 = shares
        .lines()
        .skip(1)
        .map(|line| line.split_once('%').unwrap().0.trim().parse::<f64>().unwrap())
        .sum();
    assert!((total - 100.0).abs() < 0.06, "{shares}");
    assert_eq!(all("colour.png").replace("colour", "0"), shares);
}

#[test]
fn images_that_do_not_fit_are_named() {
    let dir = folder("predict-wrong");
    succeeds(&dir, &["train", "--quiet", "--epochs", "1", "--out", "run"]);
    write_png(&dir.join("wide.png"), (20, 10), png::ColorType::Grayscale, &[0; 200]);
    let (good, _) = write_digit(&dir, 0);
    let message = fails(&dir, &["predict", "run", &good, "wide.png"], 1);
    let expected = "wide.png: the image is 10×20, but the model was trained on 8×8";
    assert!(message.contains(expected) && message.contains("--resize"), "{message}");
    succeeds(&dir, &["predict", "run", "wide.png", "--resize"]);

    fs::write(dir.join("text.png"), "no image").unwrap();
    assert!(fails(&dir, &["predict", "run", "text.png"], 1).contains("text.png: no PNG, JPEG"));
    assert!(fails(&dir, &["predict", "run", "no.png"], 1).contains("no.png"));
    assert!(fails(&dir, &["predict", "nowhere", &good], 1).contains("nowhere"));
    assert!(fails(&dir, &["predict", "run"], 2).contains("<IMAGE>"));
    assert!(fails(&dir, &["predict", "run", &good, "--top", "0"], 2).contains("--top"));

    for (file, content) in [("data.json", "{"), ("data.json", "{\"input\": 1}")] {
        fs::write(dir.join("run").join(file), content).unwrap();
        assert!(fails(&dir, &["predict", "run", &good], 1).contains("run/data.json"));
    }
}
