//! Where the official files of the datasets are, and their checksums.
//!
//! The checksums are those that the authors or torchvision publish (`torchvision/datasets/mnist.py`,
//! `svhn.py`, `stl10.py`; those of CIFAR's binary versions, the page of CIFAR), all of them MD5. It
//! tells a damaged or another file from the right one; it is no protection from an attacker who can
//! choose both.

/// The files of a dataset.
#[derive(Clone, Debug)]
pub struct Download<'a> {
    /// What it is called.
    pub name: &'a str,
    /// Places that have all of its files under their names; the first that works is used.
    pub mirrors: &'a [&'a str],
    /// Its files.
    pub files: &'a [RemoteFile<'a>],
}

/// A file.
#[derive(Clone, Debug)]
pub struct RemoteFile<'a> {
    /// Its name, there and here.
    pub name: &'a str,
    /// The MD5 of its content, in hexadecimal digits.
    pub md5: &'a str,
}

const fn file(name: &'static str, md5: &'static str) -> RemoteFile<'static> {
    RemoteFile { name, md5 }
}

/// The datasets that can be had: each with the readers' file names.
pub const DOWNLOADS: &[Download<'static>] = &[
    Download {
        name: "mnist",
        mirrors: &[
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "http://yann.lecun.com/exdb/mnist/",
        ],
        files: &[
            file("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            file("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            file("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            file("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
        ],
    },
    Download {
        name: "fashion-mnist",
        mirrors: &["http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"],
        files: &[
            file("train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            file("train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
            file("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
            file("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
        ],
    },
    Download {
        name: "kmnist",
        mirrors: &["http://codh.rois.ac.jp/kmnist/dataset/kmnist/"],
        files: &[
            file("train-images-idx3-ubyte.gz", "bdb82020997e1d708af4cf47b453dcf7"),
            file("train-labels-idx1-ubyte.gz", "e144d726b3acfaa3e44228e80efcd344"),
            file("t10k-images-idx3-ubyte.gz", "5c965bf0a639b31b8f53240b1b52f4d7"),
            file("t10k-labels-idx1-ubyte.gz", "7320c461ea6c1c855c0b718fb2a4b134"),
        ],
    },
    Download {
        name: "emnist",
        mirrors: &[
            "https://biometrics.nist.gov/cs_links/EMNIST/",
            "https://www.itl.nist.gov/iaui/vip/cs_links/EMNIST/",
        ],
        files: &[file("gzip.zip", "58c8d27c78d21e728a6bc7b3cc06412e")],
    },
    Download {
        name: "cifar10",
        mirrors: &["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"],
        files: &[file("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530")],
    },
    Download {
        name: "cifar100",
        mirrors: &["https://www.cs.toronto.edu/~kriz/", "https://cave.cs.toronto.edu/kriz/"],
        files: &[file("cifar-100-binary.tar.gz", "03b5dce01913d631647c71ecec9e9cb8")],
    },
    Download {
        name: "svhn",
        mirrors: &["http://ufldl.stanford.edu/housenumbers/"],
        files: &[
            file("train_32x32.mat", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            file("test_32x32.mat", "eb5a983be6a315427106f1b164d9cef3"),
        ],
    },
    Download {
        name: "stl10",
        mirrors: &[
            "http://ai.stanford.edu/~acoates/stl10/",
            "https://cs.stanford.edu/~acoates/stl10/",
        ],
        files: &[file("stl10_binary.tar.gz", "91f7769df0f17e558f3565bffb0c7dfb")],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_place_and_a_checksum() {
        for download in DOWNLOADS {
            assert!(!download.mirrors.is_empty() && !download.files.is_empty());
            for mirror in download.mirrors {
                assert!(mirror.starts_with("http") && mirror.ends_with('/'), "{mirror}");
            }
            for RemoteFile { name, md5 } in download.files {
                assert!(!name.contains(['/', '\\']), "{name}");
                let digit = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
                assert!(md5.len() == 32 && md5.chars().all(digit), "{name}: {md5}");
            }
        }
        let mut sums: Vec<&str> =
            DOWNLOADS.iter().flat_map(|d| d.files.iter().map(|file| file.md5)).collect();
        let all = sums.len();
        sums.sort_unstable();
        sums.dedup();
        assert_eq!(sums.len(), all, "a checksum stands for two files");
    }
}
