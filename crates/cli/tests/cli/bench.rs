//! Measuring steps: what is printed, and that its numbers go together.

use serde_json::Value;

use crate::command::{fails, folder, succeeds};

/// Numbers as `#`, and runs of spaces as one: timings differ, and columns with them.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        let goes_on = rest.peek().is_some_and(char::is_ascii_digit);
        match (masked.chars().last(), c) {
            (Some(' '), ' ') | (Some('#'), '#') => {}
            (Some('#'), '.' | ',') if goes_on => {}
            _ => masked.push(c),
        }
    }
    // A short time may be given in another unit.
    masked.replace("µs", "ms")
}

#[test]
fn steps_are_measured_and_taken_apart() {
    let out = succeeds(&folder("bench"), &["bench", "--steps", "20", "--threads", "2"]);
    let text = masked(&out);
    let expected = "\
digits, batches of #, # of # threads, no workers

step # ms, the median of #; #% took at most # ms, #% # ms
samples # a second
arithmetic # GFLOP/s, #% of the # that these threads reach at best
fork–join # ms
";
    assert!(text.starts_with(expected), "{out}");
    let lines: Vec<&str> = text.lines().collect();
    let titles = "time share layer phase kernel GFLOP/s peak GB/s threads";
    let table = lines.iter().position(|line| line.trim() == titles).expect(&out);
    assert!(
        lines[table - 3].starts_with("# steps of # ms with # of # threads: #% waiting"),
        "{out}"
    );
    assert!(
        lines[table - 2].contains("% forward; #% backward; #% update") || {
            lines[table - 2].contains("#% forward, #% backward, #% update")
        },
        "{out}"
    );
    // The layers are called as in the configuration.
    assert!(out.contains("1 Linear  forward   matmul [32, 64]·[64, 256]"), "{out}");
    assert!(out.contains("2 updates in place") || out.contains("update in place: "), "{out}");
    // A verdict has a reason and a remedy, and is one line at the end.
    let verdict = out.trim_end().lines().last().unwrap();
    assert!(verdict.contains("% ") && verdict.contains(": "), "{out}");
}

#[test]
fn numbers_for_programs_go_together() {
    let out = succeeds(&folder("bench-json"), &["bench", "--steps", "20", "--json"]);
    assert_eq!(out.lines().count(), 1, "{out}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("{key} of {json}"));
    assert_eq!((number("steps"), number("batch_size")), (20.0, 32.0));
    assert!(
        number("step_ms_p10") <= number("step_ms") && number("step_ms") <= number("step_ms_p90")
    );
    let rate = 32.0 / (1e-3 * number("step_ms"));
    assert!((number("samples_per_second") / rate - 1.0).abs() < 1e-9, "{json}");
    let phases = number("forward_ms") + number("backward_ms") + number("update_ms");
    assert!(phases <= number("computing_ms") && phases > 0.3 * number("computing_ms"), "{json}");
    let kernels = json["kernels"].as_array().unwrap();
    let sum: f64 = kernels.iter().map(|k| k["ms"].as_f64().unwrap()).sum();
    assert!((sum / phases - 1.0).abs() < 1e-6, "{json}");
    assert!(number("gflops") < number("peak_gflops"), "{json}");
    for key in ["reason", "remedy"] {
        assert!(!json["verdict"][key].as_str().unwrap().is_empty(), "{json}");
    }
}

#[test]
fn mistakes_are_named() {
    let dir = folder("bench-mistakes");
    assert!(fails(&dir, &["bench", "--steps", "0"], 2).contains("1 or more"));
    assert!(fails(&dir, &["bench", "none.toml"], 1).contains("none.toml"));
}
