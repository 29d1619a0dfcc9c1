//! Completions and the manual page.

use crate::command::{fails, folder, succeeds};

#[test]
fn every_shell_completes_every_command() {
    let dir = folder("completions");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = succeeds(&dir, &["completions", shell]);
        for word in ["train", "eval", "predict", "compare", "summary", "batch-size"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        // Not every shell's script completes the values of options.
        if ["bash", "zsh", "fish"].contains(&shell) {
            assert!(script.contains("fashion-mnist"), "{shell}");
        }
    }
    assert!(fails(&dir, &["completions", "csh"], 2).contains("possible values: bash"));
}

#[test]
fn the_manual_page_is_made_from_the_help() {
    let dir = folder("manual");
    let page = succeeds(&dir, &["man"]);
    assert!(page.contains(".TH gradus 1") && page.contains("predict"), "{page}");
    let page = succeeds(&dir, &["man", "train"]);
    assert!(page.contains(".TH gradus-train 1") && page.contains("batch\\-size"), "{page}");
    assert!(fails(&dir, &["man", "trian"], 2).contains("there are train, eval"));
}
