//! Downloads from a server of the test's own, which breaks off, lies and refuses as it is told.
//!
//! They need `curl`, as downloads do.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use gradus_data::{Download, Fetched, RemoteFile, download};
use gradus_tensor::Result;

const NAME: &str = "numbers.bin";

/// Numbers.
fn content() -> Vec<u8> {
    (0..200_000u32).map(|i| (i.wrapping_mul(i) % 251) as u8).collect()
}
/// As Python has it: `md5(bytes(i * i % 2**32 % 251 for i in range(200000)))`.
const MD5: &str = "21c8c741737606ca3ee9d72aa30aa1f1";

/// How the server answers a request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// What is asked for.
    Right,
    /// The whole of it, whatever part was asked for.
    Whole,
    /// As many bytes as this, then the connection is cut.
    Cut(usize),
    /// Other bytes.
    Wrong,
    /// Other bytes, of which as many are sent.
    WrongCut(usize),
    Status(&'static str),
    /// From another place of the same server.
    Redirect,
}

/// A server that gives its answers in order, and records what part each request asked for.
struct Server {
    url: String,
    asked: Arc<Mutex<Vec<Option<usize>>>>,
}

fn serve(answers: &[Answer]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let (mut answers, record) = (VecDeque::from(answers.to_vec()), Arc::clone(&asked));
    thread::spawn(move || {
        while let Some(answer) = answers.pop_front() {
            let Ok((connection, _)) = listener.accept() else { return };
            let from = request(&connection);
            record.lock().unwrap().push(from);
            // Whoever asked may have gone away.
            let _ = respond(connection, answer, from);
        }
    });
    Server { url, asked }
}

/// The first byte that a request asks for.
fn request(connection: &TcpStream) -> Option<usize> {
    let mut from = None;
    for line in BufReader::new(connection).lines() {
        let line = line.unwrap_or_default();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse().ok();
        }
    }
    from
}

fn respond(mut connection: TcpStream, answer: Answer, from: Option<usize>) -> std::io::Result<()> {
    let mut content = content();
    if matches!(answer, Answer::Wrong | Answer::WrongCut(_)) {
        content.iter_mut().for_each(|byte| *byte ^= 1);
    }
    let all = content.len();
    let (status, start) = match (answer, from) {
        (Answer::Status(status), _) => {
            return write!(connection, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        }
        (Answer::Redirect, _) => {
            let head = "HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n";
            return write!(connection, "{head}Connection: close\r\n\r\n");
        }
        (Answer::Whole, _) | (_, None) => ("200 OK", 0),
        (_, Some(from)) if from >= all => {
            let head =
                format!("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */{all}");
            return write!(connection, "{head}\r\nContent-Length: 0\r\n\r\n");
        }
        (_, Some(from)) => ("206 Partial Content", from),
    };
    write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n", all - start)?;
    if status.starts_with("206") {
        write!(connection, "Content-Range: bytes {start}-{}/{all}\r\n", all - 1)?;
    }
    write!(connection, "Connection: close\r\n\r\n")?;
    let end = match answer {
        Answer::Cut(count) | Answer::WrongCut(count) => (start + count).min(all),
        _ => all,
    };
    connection.write_all(&content[start..end])
}

/// A folder of the test's own, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Folder {
        let path =
            std::env::temp_dir().join(format!("gradus-download-{test}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }
    fn part(&self) -> PathBuf {
        self.0.join(format!("{NAME}.part"))
    }
    fn is_whole(&self) -> bool {
        fs::read(self.0.join(NAME)).is_ok_and(|found| found == content()) && !self.part().exists()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn fetch(mirrors: &[&Server], folder: &Path) -> Result<Vec<Fetched>> {
    let mirrors: Vec<&str> = mirrors.iter().map(|server| server.url.as_str()).collect();
    let files = [RemoteFile { name: NAME, md5: MD5 }];
    let dataset = Download { name: "numbers", mirrors: &mirrors, files: &files };
    let mut last = 0;
    download(&dataset, folder, |progress| {
        assert_eq!(progress.file, NAME);
        assert!(progress.done > 0 && progress.total.is_none_or(|total| progress.done <= total));
        last = progress.done;
    })
}

/// Whether there is `curl`; tests that need it say when they are left out.
fn has_curl() -> bool {
    let there = Command::new("curl").arg("--version").output().is_ok();
    if !there {
        println!("skipped: curl is not installed");
    }
    there
}

#[test]
fn a_file_is_fetched_once() {
    if !has_curl() {
        return;
    }
    let folder = Folder::new("once");
    let server = serve(&[Answer::Redirect, Answer::Right]);
    // The folder is made.
    let inner = folder.0.join("a/b");
    assert_eq!(fetch(&[&server], &inner).unwrap(), [Fetched::New]);
    assert_eq!(fs::read(inner.join(NAME)).unwrap(), content());
    // Without asking the server, which answers no more.
    assert_eq!(fetch(&[&server], &inner).unwrap(), [Fetched::Present]);
    // What is there but wrong is fetched again.
    fs::write(inner.join(NAME), b"something else").unwrap();
    let server = serve(&[Answer::Right]);
    assert_eq!(fetch(&[&server], &inner).unwrap(), [Fetched::New]);
    assert_eq!(fs::read(inner.join(NAME)).unwrap(), content());
}

#[test]
fn a_broken_connection_is_taken_up_where_it_broke() {
    if !has_curl() {
        return;
    }
    let folder = Folder::new("resume");
    let server = serve(&[
        Answer::Cut(70_000),
        Answer::Status("503 Service Unavailable"),
        Answer::Cut(50_000),
        Answer::Right,
    ]);
    assert_eq!(fetch(&[&server], &folder.0).unwrap(), [Fetched::New]);
    assert!(folder.is_whole());
    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked, [None, Some(70_000), Some(70_000), Some(120_000)]);

    // So is one of an earlier call, of a program that was stopped.
    let folder = Folder::new("later");
    fs::write(folder.part(), &content()[..150_000]).unwrap();
    let server = serve(&[Answer::Right]);
    assert_eq!(fetch(&[&server], &folder.0).unwrap(), [Fetched::New]);
    assert!(folder.is_whole());
    assert_eq!(*server.asked.lock().unwrap(), [Some(150_000)]);

    // And one that had come to its end needs no server.
    fs::rename(folder.0.join(NAME), folder.part()).unwrap();
    assert_eq!(fetch(&[&serve(&[])], &folder.0).unwrap(), [Fetched::New]);
    assert!(folder.is_whole());
}

#[test]
fn a_server_without_parts_begins_again() {
    if !has_curl() {
        return;
    }
    let folder = Folder::new("whole");
    let server = serve(&[Answer::Cut(9_000), Answer::Whole, Answer::Whole]);
    assert_eq!(fetch(&[&server], &folder.0).unwrap(), [Fetched::New]);
    assert!(folder.is_whole());
}

#[test]
fn what_was_here_of_another_file_is_thrown_away() {
    if !has_curl() {
        return;
    }
    for length in [1000, 200_000, 300_000] {
        let folder = Folder::new(&format!("other-{length}"));
        fs::write(folder.part(), vec![7; length]).unwrap();
        let server = serve(&[Answer::Right, Answer::Right]);
        assert_eq!(fetch(&[&server], &folder.0).unwrap(), [Fetched::New], "{length}");
        assert!(folder.is_whole());
    }
}

#[test]
fn the_next_mirror_goes_on() {
    if !has_curl() {
        return;
    }
    let folder = Folder::new("mirrors");
    let missing = serve(&[Answer::Status("404 Not Found")]);
    let wrong = serve(&[Answer::WrongCut(5000), Answer::Wrong, Answer::Wrong]);
    let right = serve(&[Answer::Right]);
    assert_eq!(fetch(&[&missing, &wrong, &right], &folder.0).unwrap(), [Fetched::New]);
    assert!(folder.is_whole());
}

#[test]
fn where_no_mirror_helps_each_answer_is_told() {
    if !has_curl() {
        return;
    }
    let folder = Folder::new("none");
    let missing = serve(&[Answer::Status("404 Not Found")]);
    let wrong = serve(&[Answer::Wrong]);
    let gone = {
        // Nobody listens there any more.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        Server { url, asked: Arc::default() }
    };
    let error = fetch(&[&missing, &wrong, &gone], &folder.0).unwrap_err().to_string();
    for expected in [
        format!("{NAME}: could not be fetched; "),
        format!("{}{NAME}: the server answers 404", missing.url),
        format!("{}{NAME}: what it sends has another MD5", wrong.url),
        format!("{}{NAME}: curl: (7)", gone.url),
        MD5.to_owned(),
    ] {
        assert!(error.contains(&expected), "{error}\n{expected}");
    }
    assert!(!folder.0.join(NAME).exists());
    fs::write(folder.0.join(NAME), "another file").unwrap();
    let error = fetch(&[&gone], &folder.0).unwrap_err().to_string();
    assert!(error.contains("could not be fetched (what is there has another MD5); "), "{error}");
}
