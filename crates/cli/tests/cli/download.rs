//! `gradus data download`, from a server that has something else.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::process::Command;
use std::thread;

use crate::command::{fails, folder, gradus};

/// Answers every request with the same bytes.
fn serve(content: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let mut connection = connection;
            let lines = BufReader::new(&connection).lines().map_while(Result::ok);
            lines.take_while(|line| !line.is_empty()).for_each(drop);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", content.len());
            let _ = write!(connection, "{head}Connection: close\r\n\r\n");
            let _ = connection.write_all(content);
        }
    });
    url
}

#[test]
fn what_is_not_the_dataset_is_refused() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: curl is not installed");
        return;
    }
    let dir = folder("download");
    let url = serve(b"<html>Sign in to the network</html>");
    let proxy = url.clone();
    // What is not on this machine is asked of a proxy, which has the same to say.
    let output = Command::new(env!("CARGO_BIN_EXE_gradus"))
        .args(["data", "download", "mnist", "digits", "--mirror", &url])
        .envs(["http_proxy", "https_proxy"].map(|name| (name, &proxy)))
        .env("no_proxy", "127.0.0.1")
        .current_dir(&dir)
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    for expected in [
        "error: digits/train-images-idx3-ubyte.gz: could not be fetched; ",
        &format!("{url}/train-images-idx3-ubyte.gz: what it sends has another MD5"),
        "; https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz: ",
        "put the file there from elsewhere (its MD5 is f68b3c2dcbeaaa9fbdd348bbdeb94873)",
    ] {
        assert!(message.contains(expected), "{message}\n{expected}");
    }
    assert!(!dir.join("digits/train-images-idx3-ubyte.gz").exists());
}

#[test]
fn names_and_folders_that_make_no_sense_are_named() {
    let dir = folder("download-wrong");
    let message = fails(&dir, &["data", "download", "mnits"], 2);
    assert!(message.contains("mnits") && message.contains("'mnist'"), "{message}");
    fs::write(dir.join("file"), []).unwrap();
    let message = fails(&dir, &["data", "download", "mnist", "file"], 1);
    assert!(message.contains("error: file: ") && message.contains("choose another"), "{message}");
    let help = gradus(&dir, &["data", "download", "--help"]).out;
    for name in
        ["mnist", "fashion-mnist", "kmnist", "emnist", "cifar10", "cifar100", "svhn", "stl10"]
    {
        assert!(help.contains(name), "{help}");
    }
}
