//! Every target: the reader that is called as the target is.

#![no_main]

use std::panic::{catch_unwind, set_hook};
use std::sync::Mutex;

use gradus_data::datasets::readers::reader;
use libfuzzer_sys::fuzz_target;

static LAST_PANIC: Mutex<String> = Mutex::new(String::new());

fuzz_target!(
    // libFuzzer's own hook ends the process at every panic, also at those that a reader contains.
    init: set_hook(Box::new(|panic| *LAST_PANIC.lock().unwrap() = panic.to_string())),
    |bytes: &[u8]| {
        let reader = reader(env!("CARGO_BIN_NAME")).expect("every target is called as a reader");
        if catch_unwind(|| (reader.read)(bytes)).is_err() {
            eprintln!("{}", LAST_PANIC.lock().unwrap());
            std::process::abort();
        }
    }
);
