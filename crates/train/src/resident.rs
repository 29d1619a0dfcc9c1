//! How much memory the process holds, where the system says so.

use std::fs;

/// Bytes of memory that the process holds now; unknown where there is no `/proc`.
pub fn resident_memory() -> Option<usize> {
    from_status("VmRSS:")
}

/// The most bytes of memory that the process has held so far.
pub fn peak_resident_memory() -> Option<usize> {
    from_status("VmHWM:")
}

/// Bytes of memory that the machine can still give away.
pub fn available_memory() -> Option<usize> {
    kilobytes(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

fn from_status(key: &str) -> Option<usize> {
    kilobytes(&fs::read_to_string("/proc/self/status").ok()?, key)
}

/// The value of a line such as `VmRSS:     1234 kB`, in bytes.
fn kilobytes(text: &str, key: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    let number: usize = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    Some(number * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read() {
        let text = "VmPeak:\t  1024 kB\nVmRSS:\t     12 kB\n";
        assert_eq!(kilobytes(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kilobytes(text, "VmHWM:"), None);
    }
}
