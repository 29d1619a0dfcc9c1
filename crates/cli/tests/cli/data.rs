//! Data that are damaged, do not belong together or are not there.

use std::fs;
use std::path::Path;

use crate::command::{fails, folder, gradus, succeeds, write_png};

fn idx(dims: &[u32], elements: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, dims.len() as u8];
    file.extend(dims.iter().flat_map(|d| d.to_be_bytes()));
    file.extend(elements);
    file
}

/// Writes MNIST's four files with two images to train on and one to test.
fn write_mnist(dir: &Path) {
    let images = |n: u32| idx(&[n, 28, 28], &vec![7; n as usize * 784]);
    fs::write(dir.join("train-images-idx3-ubyte"), images(2)).unwrap();
    fs::write(dir.join("train-labels-idx1-ubyte"), idx(&[2], &[3, 4])).unwrap();
    fs::write(dir.join("t10k-images-idx3-ubyte"), images(1)).unwrap();
    fs::write(dir.join("t10k-labels-idx1-ubyte"), idx(&[1], &[3])).unwrap();
}

#[test]
fn damaged_idx_files_end_with_1() {
    let dir = folder("idx");
    let data = dir.join("mnist");
    fs::create_dir(&data).unwrap();
    write_mnist(&data);
    let train = ["train", "--data", "mnist", "--data-dir", "mnist", "--epochs", "1"];
    let good = succeeds(&dir, &train);
    assert!(good.contains("mnist: 2 images [1, 28, 28] to train on, 1 to test"), "{good}");
    let whole = fs::read(data.join("train-images-idx3-ubyte")).unwrap();
    let runs = fs::read_dir(dir.join("runs")).unwrap().count();
    let cases = [
        ("train-images-idx3-ubyte", whole[..100].to_vec(), "truncated"),
        ("train-images-idx3-ubyte", whole[..3].to_vec(), "truncated"),
        ("train-images-idx3-ubyte", b"<!DOCTYPE html>".to_vec(), "not an IDX file"),
        ("train-labels-idx1-ubyte", idx(&[3], &[3, 4, 5]), "holds 2 images, but"),
        ("train-labels-idx1-ubyte", idx(&[2], &[3, 10]), "the label of sample 1 is 10 (offset 9)"),
        ("t10k-labels-idx1-ubyte", idx(&[1], &[]), "truncated"),
    ];
    for (name, content, expected) in cases {
        write_mnist(&data);
        fs::write(data.join(name), content).unwrap();
        let message = fails(&dir, &train, 1);
        assert!(message.contains(name) && message.contains(expected), "{message}");
        assert!(message.contains("get "), "no remedy: {message}");
    }
    assert_eq!(fs::read_dir(dir.join("runs")).unwrap().count(), runs, "a folder was made");
}

#[test]
fn damaged_cifar_files_end_with_1() {
    let dir = folder("cifar");
    let train = ["train", "--data", "cifar10", "--data-dir", "."];
    let message = fails(&dir, &train, 1);
    assert!(message.contains("data_batch_1.bin") && message.contains("tar.gz"), "{message}");
    fs::write(dir.join("data_batch_1.bin"), vec![0; 10_000]).unwrap();
    for name in ["data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"] {
        fs::write(dir.join(name), []).unwrap();
    }
    let message = fails(&dir, &train, 1);
    assert!(message.contains("truncated: it ends at offset 10000 within image 3"), "{message}");
    fs::remove_file(dir.join("data_batch_1.bin")).unwrap();
    fs::write(dir.join("cifar-10-binary.tar.gz"), b"\x1f\x8b\x08 no archive").unwrap();
    let message = fails(&dir, &train, 1);
    assert!(
        message.contains("cifar-10-binary.tar.gz: no .tar.gz archive, or damaged"),
        "{message}"
    );
}

#[test]
fn tables_and_texts_that_are_wrong_end_with_1() {
    let dir = folder("tables");
    let config =
        |data: &str| format!("[data]\n{data}\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n");
    let cases = [
        (
            "type = \"table-regression\"\npath = \"t.csv\"\ntarget = \"y\"",
            "x,y\n1,2\nred,3\n",
            "line 3",
        ),
        (
            "type = \"table-regression\"\npath = \"t.csv\"\ntarget = \"z\"",
            "x,y\n1,2\n2,3\n",
            "\"z\"",
        ),
        (
            "type = \"table-classification\"\npath = \"t.csv\"\ntarget = \"y\"",
            "x,y\n,a\n2,b\n",
            "line 2",
        ),
        ("type = \"table-regression\"\npath = \"no.csv\"\ntarget = \"y\"", "", "no.csv"),
        ("type = \"text\"\npath = \"t.csv\"", "short", "give a longer text"),
    ];
    for (data, content, expected) in cases {
        fs::write(dir.join("t.csv"), content).unwrap();
        fs::write(dir.join("my.toml"), config(data)).unwrap();
        let message = fails(&dir, &["train", "my.toml"], 1);
        assert!(message.contains(expected) && message.contains(".csv"), "{message}");
    }
}

#[test]
fn folders_of_images_are_trained_on_and_wrong_ones_named() {
    let dir = folder("images");
    let write = |path: &str, side: u32, shade: u8| {
        let path = dir.join("pets").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels = vec![shade; (3 * side * side) as usize];
        write_png(&path, (side, side), png::ColorType::Rgb, &pixels);
    };
    for i in 0..10 {
        write(&format!("black/{i}.png"), 4, i);
        write(&format!("white/{i}.png"), 4, 255 - i);
    }
    let config = "[data]\ntype = \"image-folder\"\npath = \"pets\"\nchannels = 1\n\
                  [model]\nlayers = [\"Flatten\", \"Linear\"]\n\
                  [optimizer]\ntype = \"Adam\"\nlr = 0.1\n[train]\nepochs = 20\n";
    fs::write(dir.join("pets.toml"), config).unwrap();
    let out = succeeds(&dir, &["train", "pets.toml", "--out", "run"]);
    assert!(out.contains("16 images [1, 4, 4] to train on, 4 to test, 2 classes"), "{out}");
    assert!(out.contains("test accuracy 100.00%"), "{out}");

    let eager = fs::read(dir.join("run/model.safetensors")).unwrap();
    fs::write(dir.join("lazy.toml"), config.replace("channels", "in_memory = false\nchannels"))
        .unwrap();
    succeeds(&dir, &["train", "lazy.toml", "--workers", "2", "--out", "lazy"]);
    assert!(fs::read(dir.join("lazy/model.safetensors")).unwrap() == eager);

    write("white/3.png", 5, 255);
    let message = fails(&dir, &["train", "pets.toml"], 1);
    assert!(
        message.contains("3.png: the image is 5×5, but ") && message.contains("4×4"),
        "{message}"
    );
    fs::write(dir.join("pets.toml"), config.replace("channels", "resize = 3\nchannels")).unwrap();
    let out = succeeds(&dir, &["train", "pets.toml", "--epochs", "1"]);
    assert!(out.contains("images [1, 3, 3]"), "{out}");
}

#[test]
fn runs_that_cannot_be_written_end_with_1() {
    let dir = folder("unwritable");
    let message = fails(&dir, &["train", "--epochs", "1", "--out", "/dev/null/run"], 1);
    assert!(message.contains("cannot make the folder /dev/null/run"), "{message}");
}

/// A folder of grey squares, `shade` in class `light` or `dark`.
fn write_squares(dir: &Path, shades: &[(&str, u8)]) {
    for (path, shade) in shades {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let pixels: Vec<u8> = (0..36).map(|i| shade.saturating_add(i % 12)).collect();
        write_png(&path, (4, 3), png::ColorType::Rgb, &pixels);
    }
}

/// One bad file may be left out of training if so many are declared: its name is said, and for any
/// number of workers the same weights come out. One more ends the run, and so does one to test on.
#[test]
fn bad_samples_are_left_out_up_to_a_number() {
    let dir = folder("skip_errors");
    let names: Vec<String> = ["train", "test"]
        .iter()
        .flat_map(|part| (1..9).map(move |i| (part, i)))
        .map(|(part, i)| format!("photos/{part}/{}/{i}.png", ["dark", "light"][i % 2]))
        .collect();
    let shades: Vec<(&str, u8)> = names
        .iter()
        .enumerate()
        .map(|(i, name)| (&name[..], 200 * (i % 2) as u8 + i as u8))
        .collect();
    write_squares(&dir, &shades);
    fs::write(dir.join("photos/train/dark/0.png"), "no image").unwrap();
    let config = |skip: &str, in_memory: &str| {
        let text = format!(
            "[data]\ntype = \"image-folder\"\npath = \"photos\"\n{in_memory}\n\
             transforms = [\"RandomHorizontalFlip\"]\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n\
             [train]\nepochs = 2\nbatch_size = 3\n{skip}"
        );
        fs::write(dir.join("photos.toml"), text).unwrap();
    };
    let train = |out: &str, workers: &str| {
        gradus(&dir, &["train", "photos.toml", "--out", out, "--workers", workers])
    };
    config("", "");
    assert!(train("strict", "0").err.contains("0.png"));
    config("skip_errors = 1", "");
    let weights = ["0", "2"].map(|workers| {
        let out = format!("lenient{workers}");
        let outcome = train(&out, workers);
        assert_eq!(outcome.code, 0, "{}", outcome.err);
        let said = format!("{}{}", outcome.out, outcome.err);
        assert!(said.contains("0.png") && said.contains("it was left out"), "{said}");
        fs::read(dir.join(out).join("model.safetensors")).unwrap()
    });
    assert_eq!(weights[0], weights[1]);
    assert_eq!(gradus(&dir, &["verify", "lenient2"]).code, 0);
    config("skip_errors = 1", "in_memory = true");
    assert!(train("memory", "0").err.contains("photos.toml, line 1: `in_memory` reads all"));
    fs::write(dir.join("photos/train/light/9.png"), "no image").unwrap();
    config("skip_errors = 1", "");
    assert!(train("two", "0").err.contains("2 of the 10 looked at cannot be read"));
    config("skip_errors = 2", "");
    fs::write(dir.join("photos/test/light/9.png"), "no image").unwrap();
    assert!(train("test", "0").err.contains("photos (test): sample"));
}

/// Images that cannot all be in memory are refused before any is asked for.
#[test]
fn folders_that_exceed_the_memory_are_refused() {
    let dir = folder("exceeds");
    let names: Vec<String> = (0..800).map(|i| format!("many/{}/{i}.png", i % 2)).collect();
    write_squares(&dir, &names.iter().map(|name| (&name[..], 9)).collect::<Vec<_>>());
    let config = "[data]\ntype = \"image-folder\"\npath = \"many\"\nresize = [16384, 16384]\n\
                  [model]\nlayers = [\"Flatten\", \"Linear\"]\n";
    fs::write(dir.join("many.toml"), config).unwrap();
    let error = fails(&dir, &["train", "many.toml"], 1);
    assert!(error.contains("640 images take 515.4 GB in memory, but the machine has"), "{error}");
    assert!(error.contains("set `in_memory = false`"), "{error}");
}

#[test]
fn lint_finds_leaks_and_unreadable_files() {
    let dir = folder("lint");
    let squares = [
        ("sound/train/dark/1.png", 10),
        ("sound/train/light/2.png", 200),
        ("sound/test/dark/3.png", 20),
        ("sound/test/light/4.png", 210),
    ];
    write_squares(&dir, &squares);
    let sound = succeeds(&dir, &["data", "lint", "sound"]);
    assert!(sound.contains("2 + 2 samples looked at, 0 warnings"), "{sound}");
    assert!(sound.contains("mean = [") && sound.contains("std = ["), "{sound}");

    write_squares(&dir, &[("sound/test/light/5.png", 200)]);
    fs::write(dir.join("sound/train/dark/6.jpg"), "no image").unwrap();
    let outcome = gradus(&dir, &["data", "lint", "sound", "--threads", "2"]);
    assert_eq!(outcome.code, 1, "{}", outcome.err);
    assert!(outcome.err.contains("2 findings are serious"), "{}", outcome.err);
    for expected in ["1 of 3 cannot be read: ", "6.jpg", "are also in", "2.png", "5.png"] {
        assert!(outcome.out.contains(expected), "{expected}: {}", outcome.out);
    }
    assert!(fails(&dir, &["data", "lint", "nowhere"], 1).contains("nowhere"));
    fs::write(dir.join("table.csv"), "a,y\n1,2\n").unwrap();
    let error = gradus(&dir, &["data", "lint", "table.csv"]).err;
    assert!(error.contains("table.csv is neither a folder nor a configuration file"), "{error}");
}

#[test]
fn stats_count_and_show_draws() {
    let dir = folder("stats");
    let stats = "[data]\ntype = \"digits\"\ntransforms = [{ type = \"RandomRotation\", degrees = 20 }]\n\
                 [model]\nlayers = [\"Flatten\", \"Linear\"]\n";
    fs::write(dir.join("my.toml"), stats).unwrap();
    let counts = succeeds(&dir, &["data", "stats", "my.toml"]);
    assert!(counts.contains("digits (train): 1437 samples"), "{counts}");
    assert!(counts.contains("of shape [1, 8, 8]") && counts.contains("of class 9, 9"), "{counts}");
    assert!(counts.contains("mean = [0.30"), "{counts}");
    let sheet = |epoch: &str, out: &str| {
        let show = ["data", "show", "my.toml", "--epoch", epoch, "--out", out, "--count", "12"];
        let said = succeeds(&dir, &show);
        assert!(said.contains("12 of digits (train)"), "{said}");
        fs::read(dir.join(out)).unwrap()
    };
    assert_eq!(sheet("0", "a.png"), sheet("0", "b.png"));
    assert_ne!(sheet("0", "a.png"), sheet("1", "c.png"));
}

#[test]
fn transforms_are_part_of_the_configuration() {
    let dir = folder("transforms");
    let images: Vec<(String, u8)> = (0..12u8)
        .map(|i| (format!("photos/{}/{i}.png", if i % 2 == 0 { "dark" } else { "light" }), i * 20))
        .collect();
    let images: Vec<(&str, u8)> = images.iter().map(|(path, shade)| (&**path, *shade)).collect();
    write_squares(&dir, &images);
    let config = |transforms: &str| {
        format!(
            "[data]\ntype = \"image-folder\"\npath = \"photos\"\nany_size = true\n{transforms}\n\
             [model]\nlayers = [\"Flatten\", \"Linear\"]\n[train]\nepochs = 2\n"
        )
    };
    let good = "transforms = [{ type = \"Resize\", size = 6 }, { type = \"RandomCrop\", size = [6, 6] },\n\
                { type = \"RandomAffine\", degrees = 9, shear = 5 },\n\
                { type = \"RandomRotation\", degrees = [0, 9] }]\n\
                test_transforms = [{ type = \"Resize\", size = [6, 6] }]";
    fs::write(dir.join("my.toml"), config(good)).unwrap();
    let table = succeeds(&dir, &["summary", "my.toml"]);
    assert!(table.contains("[N, 3, 6, 6]"), "{table}");
    let workers = |workers: &str, out: &str| {
        succeeds(&dir, &["train", "my.toml", "--workers", workers, "--out", out]);
        fs::read(dir.join(out).join("model.safetensors")).unwrap()
    };
    assert_eq!(workers("0", "a"), workers("3", "b"));
    // What is written is what was read.
    let written = fs::read_to_string(dir.join("a/config.toml")).unwrap();
    assert!(written.contains("type = \"RandomCrop\", size = [6, 6], padding = 0"), "{written}");
    let mistakes = [
        ("transforms = \"Resize\"", "line 5: `transforms` is a list of transforms"),
        ("transforms = [\"Resise\"]", "did you mean `Resize`?"),
        ("transforms = [\"Resize\"]", "Resize: `size` is missing"),
        ("transforms = [{ type = \"Pad\", padding = 1, fill = 300 }]", "from 0 to 255"),
        ("transforms = [{ type = \"RandomCrop\", size = 9 }]", "no window of 9×9 fits"),
        ("transforms = [{ type = \"RandomRotation\", degrees = [9, -9] }]", "[from, to]"),
    ];
    for (transforms, expected) in mistakes {
        fs::write(dir.join("bad.toml"), config(transforms)).unwrap();
        let outcome = gradus(&dir, &["summary", "bad.toml"]);
        assert!(outcome.code != 0 && outcome.err.contains(expected), "{}", outcome.err);
    }
}

#[test]
fn batches_are_mixed_as_the_configuration_says() {
    let dir = folder("mixing");
    let config = |data: &str, loss: &str| {
        format!(
            "[data]\ntype = \"digits\"\n{data}\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n\
             {loss}\n[train]\nepochs = 2\n"
        )
    };
    let all = "transforms = [\"RandAugment\", \"TrivialAugmentWide\", \"AutoAugment\"]\n\
               batch_transforms = [{ type = \"MixUp\", alpha = 0.4 }, \"CutMix\", \"LabelSmoothing\"]";
    fs::write(dir.join("my.toml"), config(all, "")).unwrap();
    let trained = |workers: &str, out: &str| {
        succeeds(&dir, &["train", "my.toml", "--workers", workers, "--out", out]);
        fs::read(dir.join(out).join("model.safetensors")).unwrap()
    };
    let weights = trained("0", "a");
    assert_eq!(weights, trained("3", "b"));
    let written = fs::read_to_string(dir.join("a/config.toml")).unwrap();
    assert!(written.contains("{ type = \"CutMix\", alpha = 1.0 }"), "{written}");
    fs::write(dir.join("my.toml"), config("", "")).unwrap();
    assert_ne!(weights, trained("0", "c"));
    fs::write(dir.join("table.csv"), "a,y\n1,2\n3,4\n5,6\n").unwrap();
    let table = "[data]\ntype = \"table-regression\"\npath = \"table.csv\"\ntarget = \"y\"\n\
                 batch_transforms = [\"MixUp\"]\n[model]\nlayers = [\"Linear\"]\n";
    let mistakes = [
        (config("batch_transforms = \"MixUp\"", ""), "`batch_transforms` is a list of transforms"),
        (config("batch_transforms = [\"MixUpp\"]", ""), "did you mean `MixUp`?"),
        (config("batch_transforms = [{ type = \"MixUp\", alpha = 0 }]", ""), "alpha"),
        (
            config("batch_transforms = [\"MixUp\"]", "[loss]\ntype = \"MultiMarginLoss\""),
            "MultiMarginLoss does not take the probabilities that `batch_transforms` make",
        ),
        (table.to_owned(), "MixUp is for images with a class"),
    ];
    for (config, expected) in mistakes {
        fs::write(dir.join("bad.toml"), config).unwrap();
        let outcome = gradus(&dir, &["check", "bad.toml"]);
        assert!(outcome.code != 0 && outcome.err.contains(expected), "{}", outcome.err);
    }
}
