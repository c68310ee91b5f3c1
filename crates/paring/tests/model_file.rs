//! `.pare` files: the same results as the model they were made of, and damaged ones are found out.

mod common;

use common::{feed, golden, noise, open, results, single, slow_tests};
use paring::{ErrorKind, MachineKind, Model, Recipe, SaveOptions, Section, SectionKind, Session, graph::Graph};
use paring_format::fuzz::seal;
use paring_testkit::{trained, zoo};

/// Layers of most kinds, few weights.
const SMALL: &str = r#"
graph "small" {
  input %x "x": f32[1, 3, 6, 6]
  const %w1: f32[8, 3, 3, 3] = random 1
  const %b1: f32[8] = random 2
  %1 = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)(%x, %w1) + bias(%b1)
  %2 = Activation(Relu)(%1)
  const %w2: f32[8, 1, 3, 3] = random 3
  %3 = Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 8)(%2, %w2)
  %4 = Binary(Add)(%3, %2)
  const %axes: i64[2] = [2, 3]
  %5 = Reduce(kind: Mean, axes: None, keep_dims: false, noop_if_empty: false)(%4, %axes)
  const %w3: f32[8, 4] = random 4
  %6 = MatMul(%5, %w3)
  const %w4: f32[4, 256] = [FEW]
  %7 = MatMul(%6, %w4)
  output "y" = %7
}
"#;

/// [`SMALL`], with weights of three different numbers, which are coded in a file.
fn small() -> Model {
    let few: Vec<&str> = (0..1024).map(|i| ["-0.5", "0.0", "0.25"][i * i / 7 % 3]).collect();
    let text = SMALL.replace("FEW", &few.join(", "));
    Model::from_graph(Graph::parse(&text).unwrap_or_else(|e| panic!("{e}"))).unwrap()
}

fn saved_as(model: &Model, options: &SaveOptions) -> Vec<u8> {
    save(model, options).0
}

/// The file, and how many blocks were left out of it.
fn save(model: &Model, options: &SaveOptions) -> (Vec<u8>, usize) {
    let mut file = Vec::new();
    let written = model.save(&mut file, options).unwrap();
    assert_eq!(written.bytes, file.len() as u64);
    (file, written.left_out)
}

fn packed(shapes: &[(&str, &[usize])]) -> SaveOptions {
    let shapes = shapes.iter().map(|(n, s)| (n.to_string(), s.to_vec())).collect();
    SaveOptions { pack_for: vec![MachineKind::This], shapes, options: single(), ..SaveOptions::default() }
}

fn plain() -> SaveOptions {
    SaveOptions { options: single(), ..SaveOptions::default() }
}

/// Fills the input with something and runs.
fn first_output(model: &Model) -> paring::Result<Vec<u8>> {
    let mut session = model.session(&single())?;
    session.input_mut::<f32>(0)?.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
    session.run()?;
    Ok(session.output_tensor(0)?.bytes().to_vec())
}

/// Saved with and without packed weights, and once more from the file: the same results and the same file.
fn check_round_trip(name: &str, model: &Model, shapes: &[(&str, &[usize])], feed: &dyn Fn(&mut Session)) {
    let run = |model: &Model| {
        let mut session = model.session(&single()).unwrap();
        feed(&mut session);
        session.run().unwrap_or_else(|e| panic!("{name}: {e}"));
        results(&session)
    };
    let expected = run(model);
    for options in [plain(), packed(shapes)] {
        let (file, left_out) = save(model, &options);
        let again = Model::from_vec(file.clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(run(&again) == expected, "{name}: other results");
        assert_eq!(again.metadata(), model.metadata(), "{name}");
        assert_eq!(again.inputs(), model.inputs(), "{name}");
        assert_eq!(again.outputs(), model.outputs(), "{name}");
        let (found, made) = again.packed_blocks();
        if options.pack_for.is_empty() {
            assert_eq!(found, 0, "{name}: blocks of a file without any");
        } else {
            assert!(found > 0, "{name}: no block of the file was used");
            assert_eq!(made, left_out, "{name}: blocks packed beside those of the file");
            // Where bytes have no fast kernel, layers compute on numbers that planning makes of them.
            assert!(made == 0 || !paring::machine_name().contains("avx2"), "{name}: {made} blocks left out");
            assert_eq!(again.packed_for().len(), 1, "{name}");
        }
        // Blocks are packed anew for this one, and have to be the same.
        assert!(saved_as(&again, &options) == file, "{name}: saved again, the file is another");
    }
}

#[test]
fn a_small_network_keeps_its_results() {
    let x: Vec<f32> = (0..108).map(|i| (i % 11) as f32 - 5.0).collect();
    check_round_trip("small", &small(), &[], &|s| s.input_mut::<f32>(0).unwrap().copy_from_slice(&x));
}

#[test]
fn the_zoo_keeps_its_results() {
    let few = ["mobilenet_v2", "squeezenet1_1", "mnist_lenet"];
    let all = zoo::names().unwrap();
    let slow = slow_tests("the other networks of the zoo as model files");
    for name in all.iter().filter(|n| slow || few.contains(&n.as_str())) {
        let golden = golden(name);
        check_round_trip(name, &open(name), &common::shapes(&golden), &|s| feed(s, &golden).unwrap());
    }
}

#[test]
fn trained_networks_keep_their_results() {
    for (name, data) in
        [("resnet_s_fashion", "fashion"), ("resnet_s_fashion_int8qdq", "fashion"), ("xnor_s_fashion", "fashion")]
    {
        let model = Model::from_vec(trained::model(name).unwrap()).unwrap();
        let image = trained::images(data).unwrap()[..trained::SIDE * trained::SIDE].to_vec();
        let shape = [1, 1, trained::SIDE, trained::SIDE];
        let input = model.inputs()[0].name.clone();
        let x = paring::Tensor::new(&shape, &image).unwrap();
        check_round_trip(name, &model, &[(&input, &shape)], &|s| s.set_input(&input, &x).unwrap());
    }
}

#[test]
fn a_file_is_mapped_and_says_how_it_was_made() {
    let path = std::env::temp_dir().join(format!("paring-model-file-{}.pare", std::process::id()));
    let compression = vec!["weights stored as f16".into()];
    let recipe = Recipe { source: "small.onnx".into(), compression, ..Recipe::default() };
    let file = saved_as(&small(), &SaveOptions { recipe, ..packed(&[]) });
    std::fs::write(&path, &file).unwrap();
    let model = Model::open(&path).unwrap();
    assert_eq!(first_output(&model).unwrap(), first_output(&small()).unwrap());
    let recipe = model.recipe().unwrap();
    assert!(recipe.optimized && recipe.tool.starts_with("paring "), "{recipe:?}");
    assert_eq!((recipe.source.as_str(), recipe.compression.len()), ("small.onnx", 1));
    assert!(recipe.passes.iter().any(|(_, n)| *n > 0), "{recipe:?}");
    // Written again without optimising, it is still what the optimizer left.
    let as_it_is = SaveOptions { options: single().with_optimize(false), ..plain() };
    assert!(Model::from_vec(saved_as(&model, &as_it_is)).unwrap().recipe().unwrap().optimized);
    let sections = model.sections().unwrap();
    assert!(sections.iter().all(|s| s.range.start % 64 == 0));
    assert!(sections.iter().any(|s| s.kind == SectionKind::Packed));
    assert!(sections.iter().any(|s| s.kind == SectionKind::CodedConstant));
    // From an address that is no multiple of 64.
    let mut moved = vec![0; 1];
    moved.extend_from_slice(&file);
    assert_eq!(first_output(&Model::from_bytes(&moved[1..]).unwrap()).unwrap(), first_output(&model).unwrap());
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn a_file_without_optimising_optimises_when_opened() {
    let options = SaveOptions { options: single().with_optimize(false), ..plain() };
    let model = Model::from_vec(saved_as(&small(), &options)).unwrap();
    assert!(!model.recipe().unwrap().optimized);
    let fused = model.optimized(&single()).unwrap();
    assert!(!fused.applied.is_empty());
    assert_eq!(first_output(&model).unwrap(), first_output(&small()).unwrap());
}

const HEADER: usize = 64;
const ENTRY: usize = 32;

fn sections(file: &[u8]) -> Vec<Section> {
    Model::from_bytes(file).unwrap().sections().unwrap().to_vec()
}

#[test]
fn a_file_of_the_future_is_refused_by_its_version() {
    let mut file = saved_as(&small(), &plain());
    file[8..10].copy_from_slice(&7u16.to_le_bytes());
    file[10..12].copy_from_slice(&3u16.to_le_bytes());
    let e = Model::from_vec(file.clone()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("7.3"), "{e}");
    // Even if all else is another way then.
    let e = Model::from_vec(file[..12].to_vec()).map(|_| ()).unwrap_err();
    assert!(e.kind() == ErrorKind::Corrupt || e.to_string().contains("7.3"), "{e}");
    // A lesser one only adds sections.
    file[8..10].copy_from_slice(&1u16.to_le_bytes());
    seal(&mut file);
    first_output(&Model::from_vec(file).unwrap()).unwrap();
}

#[test]
fn unknown_sections_are_skipped() {
    let mut file = saved_as(&small(), &packed(&[]));
    // Without its recipe and its metadata the file is still a model.
    for kind in [SectionKind::Metadata, SectionKind::Recipe] {
        let i = sections(&file).iter().position(|s| s.kind == kind).unwrap();
        file[HEADER + i * ENTRY..][..4].copy_from_slice(&0x7000_0000u32.to_le_bytes());
        seal(&mut file);
    }
    let model = Model::from_vec(file).unwrap();
    assert_eq!(first_output(&model).unwrap(), first_output(&small()).unwrap());
    let unknown = model.sections().unwrap().iter().filter(|s| s.kind == SectionKind::Unknown(0x7000_0000));
    assert_eq!(unknown.count(), 2);
}

#[test]
fn packed_weights_of_other_kernels_are_not_used() {
    let mut file = saved_as(&small(), &packed(&[]));
    let of_version = format!("kernels:\"{}\"", env!("CARGO_PKG_VERSION"));
    let at = file.windows(of_version.len()).position(|w| w == of_version.as_bytes()).expect("the index");
    file[at + of_version.len() - 2] ^= 1;
    seal(&mut file);
    let model = Model::from_vec(file).unwrap();
    assert_eq!(first_output(&model).unwrap(), first_output(&small()).unwrap());
    assert_eq!(model.packed_blocks().0, 0);
    assert!(model.packed_blocks().1 > 0);
}

/// What came of a damaged file: the right answer or an error. Everything else fails the test.
fn check_damaged(file: Vec<u8>, expected: &[u8], what: &dyn Fn() -> String) -> Option<ErrorKind> {
    match Model::from_vec(file).and_then(|m| first_output(&m)) {
        Ok(found) => {
            assert!(found == expected, "{}: a wrong answer", what());
            None
        }
        Err(e) => {
            assert_ne!(e.kind(), ErrorKind::Internal, "{}: {e}", what());
            assert!(!e.to_string().is_empty());
            Some(e.kind())
        }
    }
}

#[test]
fn every_truncation_is_found() {
    let file = saved_as(&small(), &packed(&[]));
    for len in 0..file.len() {
        let result = check_damaged(file[..len].to_vec(), &[], &|| format!("{len} of {} bytes", file.len()));
        assert_eq!(result, Some(ErrorKind::Corrupt), "{len} of {} bytes", file.len());
    }
    let mut longer = file;
    longer.push(0);
    assert_eq!(check_damaged(longer, &[], &|| "a byte more".into()), Some(ErrorKind::Corrupt));
}

#[test]
fn every_flipped_byte_is_found_or_does_not_matter() {
    let expected = first_output(&small()).unwrap();
    let bits: &[u8] = if slow_tests("each bit by itself") { &[1, 2, 4, 8, 16, 32, 64, 128, 255] } else { &[255] };
    for options in [plain(), packed(&[])] {
        let file = saved_as(&small(), &options);
        let (mut harmless, mut read) = (0, 0);
        for at in 0..file.len() {
            for &bit in bits {
                let mut damaged = file.clone();
                damaged[at] ^= bit;
                let found = check_damaged(damaged, &expected, &|| format!("byte {at} xor {bit}"));
                if found.is_none() { harmless += 1 } else { read += 1 }
            }
        }
        println!("{} bytes: {read} defects found, {harmless} did not matter", file.len());
        assert!(read > harmless);
    }
}

/// A writer who means harm makes the checksums right.
#[test]
fn damage_behind_right_checksums_is_no_fault_of_a_kernel() {
    let rounds = if slow_tests("many more sealed files") { 60_000 } else { 3_000 };
    let mut next = noise();
    let file = saved_as(&small(), &packed(&[]));
    // Weights may be anything; the structure and the texts are what can do harm.
    let all = sections(&file);
    let is_text = |s: &&Section| !matches!(s.kind, SectionKind::Constant | SectionKind::Packed);
    let texts: Vec<usize> = all.iter().filter(is_text).flat_map(|s| s.range.clone()).collect();
    let table = HEADER + all.len() * ENTRY;
    let mut options = single();
    options.limits.tensor_bytes = 1 << 18;
    options.limits.arena_bytes = 1 << 20;
    let (mut ran, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut damaged = file.clone();
        for _ in 0..=next(3) {
            let at = if next(3) == 0 { next(table) } else { texts[next(texts.len())] };
            match next(3) {
                0 => damaged[at] = next(256) as u8,
                1 => damaged[at] ^= 1 << next(8),
                // Digits are what shapes and numbers of constants are made of.
                _ => damaged[at] = b'0' + next(10) as u8,
            }
        }
        seal(&mut damaged);
        let result = Model::from_vec(damaged).and_then(|m| m.session(&options)).and_then(|mut s| s.run());
        match result {
            Ok(()) => ran += 1,
            Err(e) if e.kind() == ErrorKind::Internal => panic!("round {round}: {e}"),
            Err(_) => refused += 1,
        }
    }
    println!("{ran} ran, {refused} were refused");
    assert!(ran > rounds / 50 && refused > rounds / 50, "{ran} ran, {refused} were refused");
}
