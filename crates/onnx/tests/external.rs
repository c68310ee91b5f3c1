//! Data outside the model file stays within the model's folder.

mod common;

use common::*;
use paring_ir::Graph;
use paring_onnx::{ExternalData, Folder, ImportError, ImportOptions, import, proto::*};
use prost::Message;
use std::{fs, path::Path, sync::Arc};

fn entry(key: &str, value: &str) -> StringStringEntryProto {
    StringStringEntryProto { key: key.into(), value: value.into() }
}

fn bytes(location: &str, extra: &[(&str, &str)]) -> bytes::Bytes {
    let mut external_data = vec![entry("location", location)];
    external_data.extend(extra.iter().map(|(k, v)| entry(k, v)));
    let weights = TensorProto { raw_data: None, external_data, data_location: 1, ..floats("w", &[4], &[]) };
    model(graph(vec![node("Add", &["x", "w"], &["y"])], vec![weights])).encode_to_vec().into()
}

fn read_in(folder: &Path, location: &str, extra: &[(&str, &str)]) -> Result<Graph, ImportError> {
    let options = ImportOptions::default().with_external(Arc::new(Folder::reading(folder)));
    import(bytes(location, extra), &options)
}

/// A folder `model` with a file of five numbers, and a secret next to it.
fn folders() -> (tempfile::TempDir, std::path::PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let inner = outer.path().join("model");
    fs::create_dir_all(inner.join("sub")).unwrap();
    let data: Vec<u8> = [9.0f32, 1.0, 2.0, 3.0, 4.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    fs::write(inner.join("w.bin"), &data).unwrap();
    fs::write(inner.join("sub/w.bin"), &data).unwrap();
    fs::write(outer.path().join("secret.bin"), &data).unwrap();
    (outer, inner)
}

#[test]
fn data_in_the_folder_is_read_at_its_place() {
    let (_outer, inner) = folders();
    for location in ["w.bin", "sub/w.bin", "./w.bin"] {
        for extra in [&[("offset", "4"), ("length", "16")][..], &[("offset", "4")]] {
            let g = read_in(&inner, location, extra).unwrap();
            let (_, w) = g.values().find(|(_, v)| v.name == "w").unwrap();
            assert_eq!(w.fact.constant.as_ref().unwrap().elements::<f32>().unwrap().to_vec(), [1.0, 2.0, 3.0, 4.0]);
        }
    }
}

#[test]
fn places_outside_the_file() {
    let (_outer, inner) = folders();
    for extra in [
        [("offset", "8"), ("length", "16")],
        [("offset", "18446744073709551615"), ("length", "16")],
        [("offset", "100"), ("length", "0")],
    ] {
        refused(read_in(&inner, "w.bin", &extra), &["'w'", "'w.bin'", "outside the 20 bytes"]);
    }
    refused(read_in(&inner, "w.bin", &[("offset", "-4")]), &["'w'", "offset '-4'"]);
    refused(read_in(&inner, "w.bin", &[("length", "8")]), &["'w'", "16 bytes", "8"]);
}

#[test]
fn locations_outside_the_folder() {
    let (outer, inner) = folders();
    let absolute = outer.path().join("secret.bin").display().to_string();
    let cases = ["../secret.bin", "sub/../../secret.bin", "sub/..", &absolute, "", "\\\\host\\x", "C:x", "a\0b"];
    for location in cases {
        refused(read_in(&inner, location, &[]), &["tensor 'w'"]);
    }
    refused(read_in(&inner, "../secret.bin", &[]), &["'../secret.bin'", "leave the model's folder"]);
    refused(read_in(&inner, &absolute, &[]), &["absolute"]);
    refused(read_in(&inner, "gone.bin", &[]), &["'gone.bin'"]);
    refused(read_in(&inner, "sub", &[]), &["not a regular file"]);
}

#[cfg(unix)]
#[test]
fn links_pipes_and_devices() {
    let (outer, inner) = folders();
    let link = |from: &Path, to: &str| std::os::unix::fs::symlink(from, inner.join(to)).unwrap();
    link(&outer.path().join("secret.bin"), "leaf");
    link(outer.path(), "parent");
    link(&inner.join("w.bin"), "inside");
    link(Path::new("/dev/zero"), "zero");
    for location in ["leaf", "parent/secret.bin", "inside", "zero"] {
        refused(read_in(&inner, location, &[]), &["'w'", "symbolic link"]);
    }
    fs::hard_link(outer.path().join("secret.bin"), inner.join("hard")).unwrap();
    refused(read_in(&inner, "hard", &[]), &["'w'", "hard link"]);
    // A socket stands for all that is neither file nor folder; a pipe cannot be made without a system call.
    let _socket = std::os::unix::net::UnixListener::bind(inner.join("socket")).unwrap();
    refused(read_in(&inner, "socket", &[]), &["'w'", "not a regular file"]);
    let devices = Folder::reading("/dev");
    assert_eq!(devices.open("zero").unwrap_err(), "not a regular file");
}

#[test]
fn a_model_given_as_bytes_has_no_folder() {
    refused(import(bytes("w.bin", &[]), &ImportOptions::default()), &["'w'", "'w.bin'", "given as bytes"]);
}

#[test]
fn sparse_data_is_confined_as_well() {
    let (_outer, inner) = folders();
    let external_data = vec![entry("location", "../secret.bin")];
    let values = TensorProto { raw_data: None, external_data, data_location: 1, ..floats("w", &[4], &[]) };
    let indices = TensorProto { dims: vec![4], data_type: INT64, int64_data: vec![0, 1, 2, 3], ..Default::default() };
    let mut g = graph(vec![node("Add", &["x", "w"], &["y"])], Vec::new());
    g.sparse_initializer = vec![SparseTensorProto { values: Some(values), indices: Some(indices), dims: vec![4] }];
    let options = ImportOptions::default().with_external(Arc::new(Folder::reading(inner)));
    refused(import(model(g).encode_to_vec().into(), &options), &["'w'", "leave the model's folder"]);
}
