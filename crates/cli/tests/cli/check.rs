//! Looking before training: what is printed, what stops, and what `train` makes of it.

use std::fs;

use crate::command::{fails, folder, gradus, succeeds, write_png};

const MODEL: &str =
    "[model]\nlayers = [\"Flatten\", { type = \"Linear\", out_features = 10 }, \"Softmax\"]\n";

#[test]
fn a_good_configuration_is_shown() {
    let out = succeeds(&folder("check"), &["check"]);
    let expected = "
   layer                                                output    parameters   FLOPs  activations
0  Flatten(start_dim=1, end_dim=-1)                     [N, 64]            –       –        256 B
1  Linear(in_features=64, out_features=256, bias=True)  [N, 256]      16,640";
    assert!(out.contains(expected), "{out}");
    assert!(out.contains("\npeak memory of training: "), "{out}");
    assert!(out.contains("\nloss of a first batch of 32: 2."), "{out}");
    let end = "of chance: 2.303\nsamples looked at: 256 of 1,437 to train on, 256 of 360 to test\nnothing is \
               odd\n";
    assert!(out.ends_with(end), "{out}");
}

#[test]
fn a_warning_does_not_stop_training() {
    let dir = folder("check-warning");
    fs::write(dir.join("net.toml"), format!("[data]\ntype = \"digits\"\n\n{MODEL}")).unwrap();
    let warning = "warning: net.toml, line 5: Softmax puts out probabilities, but CrossEntropyLoss takes \
                   logits: it would learn slowly; leave out Softmax\n";
    let out = succeeds(&dir, &["check", "net.toml"]);
    assert!(out.contains(&format!("\n{warning}1 finding\n")), "{out}");
    let trained = gradus(&dir, &["train", "net.toml", "--epochs", "1"]);
    assert_eq!((trained.code, trained.err.as_str()), (0, warning));
    let quiet = gradus(&dir, &["train", "net.toml", "--epochs", "1", "--quiet"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (0, warning));
}

#[test]
fn an_error_stops_before_a_folder_is_made() {
    let dir = folder("check-error");
    let net = format!("[data]\ntype = \"digits\"\n\n{MODEL}\n[loss]\ntype = \"NLLLoss\"\n");
    fs::write(dir.join("net.toml"), net).unwrap();
    let expected = "error: net.toml, line 7: NLLLoss takes log-probabilities, but Softmax puts out something \
                    else; add \"LogSoftmax\" at the end of the model, or choose CrossEntropyLoss\n";
    assert_eq!(fails(&dir, &["check", "net.toml"], 2), expected);
    assert_eq!(fails(&dir, &["train", "net.toml"], 2), expected);
    assert!(!dir.join("runs").exists());
}

#[test]
fn a_damaged_image_is_found() {
    let dir = folder("check-damaged");
    for class in ["cat", "dog"] {
        fs::create_dir_all(dir.join("pets").join(class)).unwrap();
        for i in 0..6 {
            let file = dir.join(format!("pets/{class}/{i}.png"));
            let pixels: Vec<u8> = (0..8 * 8 * 3).map(|p| (p * 7 + i * 31) as u8).collect();
            write_png(&file, (8, 8), png::ColorType::Rgb, &pixels);
        }
    }
    let file = dir.join("pets/dog/3.png");
    let bytes = fs::read(&file).unwrap();
    fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let net = "[data]\ntype = \"image-folder\"\npath = \"pets\"\n\n[model]\nlayers = [\"Flatten\", \"Linear\"]\n";
    fs::write(dir.join("net.toml"), net).unwrap();
    let error = fails(&dir, &["check", "net.toml"], 1);
    assert!(error.contains("3.png"), "{error}");
    assert!(error.contains("; repair or remove it (1 of the "), "{error}");
}
