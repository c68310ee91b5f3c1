//! What every platform gives: files by their path, and a clear word where there are no threads. `.ci/wasm` runs these tests
//! under WASI, too.

mod common;

use common::single;
use paring::{ErrorKind, MachineKind, Model, Options, Peaks, SaveOptions, SharedPool};
use std::path::Path;

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/demo");
const PIXELS: usize = 28 * 28;

fn network() -> Model {
    Model::open(Path::new(DEMO).join("resnet_s_fashion.onnx")).unwrap()
}

/// The elements of a NumPy file of bytes.
fn elements(name: &str) -> Vec<u8> {
    let file = std::fs::read(Path::new(DEMO).join(name)).unwrap();
    file[10 + usize::from(u16::from_le_bytes([file[8], file[9]]))..].to_vec()
}

/// The scores of ten classes for every image.
fn scores(model: &Model, options: &Options, images: &[f32]) -> Vec<f32> {
    let mut session = model.session(options).unwrap();
    session.resize(0, &[images.len() / PIXELS, 1, 28, 28]).unwrap();
    session.input_mut::<f32>(0).unwrap().copy_from_slice(images);
    session.run().unwrap();
    session.output::<f32>(0).unwrap().to_vec()
}

#[test]
fn files_are_opened_by_path() {
    let images: Vec<f32> = elements("fashion_x.npy").into_iter().map(|p| f32::from(p) / 255.0).collect();
    let labels = elements("fashion_y.npy");
    let onnx = network();
    let expected = scores(&onnx, &single(), &images);
    let best = |row: &[f32]| (0..10).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap();
    let right = expected.chunks(10).zip(&labels).filter(|(row, label)| best(row) == usize::from(**label)).count();
    assert!(labels.len() == 48 && right >= 43, "{right} of {} right", labels.len());

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("platforms.pare");
    let shapes = vec![("input".into(), vec![48, 1, 28, 28])];
    let packed = SaveOptions { pack_for: vec![MachineKind::This], shapes, options: single(), ..SaveOptions::default() };
    onnx.save(&mut std::fs::File::create(&path).unwrap(), &packed).unwrap();
    let pare = Model::open(&path).unwrap();
    assert_eq!(scores(&pare, &single(), &images), expected);
    let (found, made) = pare.packed_blocks();
    assert!(found > 0 && made == 0, "{found} blocks from the file, {made} packed anew");

    let missing = Model::open(path.with_extension("missing")).unwrap_err();
    assert!(missing.kind() == ErrorKind::Io && missing.to_string().contains("platforms.missing"), "{missing}");
}

#[test]
fn threads_are_there_or_refused() {
    let model = network();
    let image = [0.5; PIXELS];
    let expected = scores(&model, &single(), &image);
    assert_eq!(scores(&model, &Options::default(), &image), expected, "threads that nobody asked for");
    let demanded = model.session(&Options::default().with_threads(2)).map(drop);
    let pool = SharedPool::new(1).map(drop);
    let peaks = Peaks::measure(&Options::default().with_threads(2)).map(drop);
    if cfg!(all(target_family = "wasm", not(target_feature = "atomics"))) {
        for (what, refused) in [("2 threads", demanded), ("a pool of 1 threads", pool), ("2 threads", peaks)] {
            let e = refused.unwrap_err();
            assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");
            assert!(e.to_string().starts_with(&format!("{what}: this platform has no threads")), "{e}");
        }
    } else {
        demanded.and(pool).and(peaks).unwrap();
    }
}

#[test]
fn times_are_taken_where_there_is_a_clock() {
    let timed = network().session(&single().with_profile(true));
    if !paring::has_clock() {
        assert_eq!(timed.unwrap_err().kind(), ErrorKind::Unsupported);
        return;
    }
    let mut session = timed.unwrap();
    session.resize(0, &[1, 1, 28, 28]).unwrap();
    session.run().unwrap();
    assert!(session.profile().unwrap().layers.iter().map(|l| l.min_ns).sum::<u64>() > 0);
}
