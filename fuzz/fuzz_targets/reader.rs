//! Every target: the reader that is called as the target is.

#![no_main]

use gradus_data::datasets::readers::reader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let reader = reader(env!("CARGO_BIN_NAME")).expect("every target is called as a reader");
    let _ = (reader.read)(bytes);
});
