//! A part of a file from a server, by the system's `curl` (see `docs/adr`).
//!
//! It knows the system's certificates and proxies, and speaks every version of HTTP. What it writes
//! is read from a pipe: the headers of each response, and then the content.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

/// The rest of a file, as it comes.
pub(super) struct Transfer {
    curl: Child,
    content: BufReader<ChildStdout>,
    /// How long the whole file is, if the server says so.
    pub(super) total: Option<u64>,
    status: Option<String>,
}

/// Why there is nothing more.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no `curl`.
    NoCurl(String),
    /// The server does not send parts, or has no more than is here.
    NoRange,
    /// It may go better another time.
    Interrupted(String),
    /// It will not.
    Refused(String),
    /// What has come cannot be kept.
    Disk(std::io::Error),
}

/// Without data for so many seconds, a transfer has failed.
const SILENCE: &str = "30";

impl Transfer {
    /// Asks for what follows after the first `from` bytes.
    pub(super) fn start(url: &str, from: u64) -> Result<Transfer, Failure> {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--fail", "--location", "--globoff"]);
        command.args(["--proto", "=http,https", "--proto-redir", "=http,https"]);
        command.args(["--connect-timeout", SILENCE, "--speed-limit", "1", "--speed-time", SILENCE]);
        command.args(["--suppress-connect-headers", "--dump-header", "-", "--output", "-"]);
        if from > 0 {
            command.args(["--continue-at", &from.to_string()]);
        }
        command.args(["--", url]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut curl = command.spawn().map_err(|e| Failure::NoCurl(e.to_string()))?;
        let content = BufReader::new(curl.stdout.take().expect("it is piped"));
        let mut transfer = Transfer { curl, content, total: None, status: None };
        transfer.read_headers(from).map_err(|e| Failure::Interrupted(e.to_string()))?;
        Ok(transfer)
    }

    /// Those of every response: a redirection comes first.
    fn read_headers(&mut self, from: u64) -> std::io::Result<()> {
        // No archive begins like this.
        while self.content.fill_buf()?.starts_with(b"HTTP/") {
            self.total = None;
            let mut first = true;
            loop {
                let mut line = Vec::new();
                (&mut self.content).take(1 << 16).read_until(b'\n', &mut line)?;
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if line.is_empty() {
                    break;
                }
                if first {
                    self.status = line.split_once(' ').map(|(_, status)| status.to_owned());
                    first = false;
                }
                if let Some((name, value)) = line.split_once(':')
                    && name.eq_ignore_ascii_case("content-length")
                    && let Ok(rest) = value.trim().parse::<u64>()
                {
                    self.total = rest.checked_add(from);
                }
            }
        }
        Ok(())
    }

    /// The next bytes; none when there are no more, for whatever reason.
    pub(super) fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.content.read(into)
    }

    /// How it ended.
    pub(super) fn end(mut self) -> Result<(), Failure> {
        let mut why = String::new();
        if let Some(mut errors) = self.curl.stderr.take() {
            let _ = errors.by_ref().take(1 << 12).read_to_string(&mut why);
        }
        let ended = self.curl.wait().map_err(|e| Failure::Interrupted(e.to_string()))?;
        let why = why.lines().last().unwrap_or("it was ended").to_owned();
        let status = self.status.take().unwrap_or_default();
        // Exit codes are documented, and do not change.
        match ended.code() {
            Some(0) => Ok(()),
            Some(33) => Err(Failure::NoRange),
            Some(22) if status.starts_with("416") => Err(Failure::NoRange),
            Some(22) if status.starts_with('5') || status.starts_with("429") => {
                Err(Failure::Interrupted(format!("the server answers {status}")))
            }
            Some(22) => Err(Failure::Refused(format!("the server answers {}", status.trim()))),
            // Connection, partial content, timeout, or broken off while sending or receiving.
            Some(7 | 18 | 28 | 52 | 55 | 56 | 92) | None => Err(Failure::Interrupted(why)),
            Some(_) => Err(Failure::Refused(why)),
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        // Ended already, or to be left: no process stays behind.
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}
