//! Files that were saved here, by others, or damaged.

use std::fs;
use std::path::{Path, PathBuf};

use gradus_io::{load_safetensors, load_safetensors_metadata, save_safetensors};
use gradus_tensor::{DType, Tensor};

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("gradus-io-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.0).unwrap();
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn named(tensors: Vec<(&str, Tensor)>) -> Vec<(String, Tensor)> {
    tensors.into_iter().map(|(name, t)| (name.to_owned(), t)).collect()
}

fn message(result: Result<Vec<(String, Tensor)>, gradus_tensor::Error>, path: &Path) -> String {
    result.unwrap_err().to_string().replace(&path.display().to_string(), "FILE")
}

#[test]
fn every_dtype_returns_bit_for_bit() {
    let folder = Folder::new("dtypes");
    let path = folder.file("all");
    let source = Tensor::from_slice(&[0.0f64, 1.0, 3.25, 200.0, 0.1, 7.0], [2, 3]);
    let saved = named(DType::ALL.map(|d| (d.name(), source.cast(d))).into_iter().collect());
    save_safetensors(&path, &saved, &[]).unwrap();
    let loaded = load_safetensors(&path).unwrap();
    assert_eq!(loaded.len(), DType::ALL.len());
    for (name, tensor) in &saved {
        let (_, same) = loaded.iter().find(|(n, _)| n == name).unwrap();
        assert_eq!((same.dtype(), same.shape()), (tensor.dtype(), tensor.shape()));
        assert_eq!(same.to_vec::<f64>().unwrap(), tensor.to_vec::<f64>().unwrap(), "{name}");
    }
    assert!(load_safetensors_metadata(&path).unwrap().is_empty());
}

#[test]
fn special_values_empty_and_scalar_tensors() {
    let folder = Folder::new("special");
    let path = folder.file("x");
    let floats = [f32::NAN, f32::INFINITY, -0.0, f32::from_bits(1)];
    let saved = named(vec![
        ("f", Tensor::from_slice(&floats, [4])),
        ("empty", Tensor::zeros([0, 3], DType::F32)),
        ("scalar", Tensor::scalar(5)),
        ("büro \"quoted\"\n", Tensor::from_slice(&[true, false], [2])),
    ]);
    save_safetensors(&path, &saved, &[("note", "line\n\"two\""), ("a", "")]).unwrap();
    let loaded = load_safetensors(&path).unwrap();
    let find = |name: &str| loaded.iter().find(|(n, _)| n == name).unwrap().1.clone();
    let bits = |x: &[f32]| x.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    assert_eq!(bits(&find("f").to_vec().unwrap()), bits(&floats));
    assert_eq!(find("empty").shape().dims(), [0, 3]);
    assert_eq!(find("scalar").item::<i64>().unwrap(), 5);
    assert_eq!(find("büro \"quoted\"\n").to_vec::<bool>().unwrap(), [true, false]);
    assert_eq!(load_safetensors_metadata(&path).unwrap()["note"], "line\n\"two\"");
}

#[test]
fn the_bytes_are_those_of_the_specification() {
    let folder = Folder::new("bytes");
    let path = folder.file("x");
    let saved = named(vec![
        ("narrow", Tensor::from_slice(&[1u8, 2], [2])),
        ("b", Tensor::from_slice(&[1.0f32], [1])),
        ("a", Tensor::from_slice(&[-2.0f32], [1])),
    ]);
    save_safetensors(&path, &saved, &[("z", "1"), ("y", "2")]).unwrap();
    let json = "{\"__metadata__\":{\"y\":\"2\",\"z\":\"1\"},\
        \"a\":{\"data_offsets\":[4,8],\"dtype\":\"F32\",\"shape\":[1]},\
        \"b\":{\"data_offsets\":[0,4],\"dtype\":\"F32\",\"shape\":[1]},\
        \"narrow\":{\"data_offsets\":[8,10],\"dtype\":\"U8\",\"shape\":[2]}}";
    let bytes = fs::read(&path).unwrap();
    let start = 8 + json.len().next_multiple_of(8);
    assert_eq!(bytes[..8], (start as u64 - 8).to_le_bytes());
    assert_eq!(std::str::from_utf8(&bytes[8..start]).unwrap().trim_end(), json);
    assert_eq!(bytes[start..], [0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0, 1, 2]);
    // Loading gives the order in the file: the order of saving, the widest first.
    let names: Vec<String> = load_safetensors(&path).unwrap().into_iter().map(|(n, _)| n).collect();
    assert_eq!(names, ["b", "a", "narrow"]);
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let folder = Folder::new("replace");
    let path = folder.file("x");
    save_safetensors(&path, &named(vec![("a", Tensor::scalar(1))]), &[]).unwrap();
    let failed = Tensor::zeros([2], DType::F32).matmul(&Tensor::zeros([3], DType::F32));
    let error = save_safetensors(&path, &named(vec![("a", failed)]), &[]).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("saving {}: tensor `a`: matmul", path.display())),
        "{error}"
    );
    assert_eq!(load_safetensors(&path).unwrap()[0].1.item::<i64>().unwrap(), 1);
    save_safetensors(&path, &named(vec![("a", Tensor::scalar(2))]), &[]).unwrap();
    assert_eq!(load_safetensors(&path).unwrap()[0].1.item::<i64>().unwrap(), 2);
    assert_eq!(folder.names(), ["x"], "no temporary file stays");
}

#[test]
fn saving_names_the_file_and_the_remedy() {
    let folder = Folder::new("saving");
    let path = folder.file("no-such-folder/x");
    let error = save_safetensors(&path, &[], &[]).unwrap_err().to_string();
    assert!(error.starts_with("saving ") && error.contains("no-such-folder"), "{error}");
    assert!(
        error.ends_with("check that the folder exists, may be written and has space"),
        "{error}"
    );
    let twice = named(vec![("a", Tensor::scalar(1)), ("a", Tensor::scalar(2))]);
    let error = save_safetensors(folder.file("x"), &twice, &[]).unwrap_err().to_string();
    assert!(error.ends_with("the name `a` is taken; rename one of the tensors"), "{error}");
    let reserved = named(vec![("__metadata__", Tensor::scalar(1))]);
    assert!(save_safetensors(folder.file("x"), &reserved, &[]).is_err());
    assert!(folder.names().is_empty());
}

#[test]
fn damage_is_noticed_and_explained() {
    let folder = Folder::new("damage");
    let path = folder.file("x");
    assert!(message(load_safetensors(&path), &path).starts_with("loading FILE: No such file"));

    save_safetensors(&path, &named(vec![("a", Tensor::ones([100], DType::F32))]), &[]).unwrap();
    let good = fs::read(&path).unwrap();
    for len in 0..good.len() {
        fs::write(&path, &good[..len]).unwrap();
        let found = message(load_safetensors(&path), &path);
        if len >= 8 {
            let start =
                format!("loading FILE: the file ends after {len} bytes, but its header needs");
            assert!(found.starts_with(&start), "{len}: {found}");
        }
    }
    let longer = [&good[..], &[0]].concat();
    fs::write(&path, longer).unwrap();
    assert!(message(load_safetensors(&path), &path).contains("copy it again"));

    fs::write(&path, b"PK\x03\x04 and so on").unwrap();
    assert_eq!(
        message(load_safetensors(&path), &path),
        "loading FILE: this is a zip archive, such as torch.save writes, and no safetensors file; \
         save it with safetensors.torch.save_file"
    );

    let text = String::from_utf8_lossy(&good[8..]).into_owned();
    let header = &text[..text.rfind('}').unwrap() + 1];
    for (from, to) in [("[100]", "[101]"), ("[0,400]", "[4,404]"), ("\"F32\"", "\"F99\"")] {
        let changed = header.replace(from, to);
        assert_ne!(changed, header);
        let mut bytes = (changed.len() as u64).to_le_bytes().to_vec();
        bytes.extend(changed.as_bytes());
        bytes.extend(&good[good.len() - 400..]);
        fs::write(&path, bytes).unwrap();
        assert!(message(load_safetensors(&path), &path).starts_with("loading FILE: "), "{to}");
    }

    let changed = header.replace("F32", "U32");
    let mut bytes = (changed.len() as u64).to_le_bytes().to_vec();
    bytes.extend(changed.as_bytes());
    bytes.extend(&good[good.len() - 400..]);
    fs::write(&path, bytes).unwrap();
    assert_eq!(
        message(load_safetensors(&path), &path),
        "loading FILE: tensor `a` holds U32, which Gradus does not have; convert it to one of \
         bool, uint8, int32, int64, float16, bfloat16, float32, float64"
    );
}
