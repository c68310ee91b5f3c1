//! Models of the zoo, opened and fed.
#![allow(dead_code)]

pub mod onnx;

use paring::{Model, Options, Session};
use paring_testkit::zoo::{self, Golden};

/// The model of that name with the weights of seed 0.
pub fn open(name: &str) -> Model {
    let bytes = zoo::model(name, 0).unwrap_or_else(|e| panic!("{name}: {e}"));
    Model::from_vec(bytes.into()).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// What is known of that model.
pub fn golden(name: &str) -> Golden {
    zoo::goldens().unwrap().remove(name).unwrap_or_else(|| panic!("{name} has no golden results"))
}

/// Options that do not depend on the number of cores.
pub fn single() -> Options {
    Options::default().with_threads(1)
}

/// Gives a session the inputs that the golden results belong to.
pub fn feed(session: &mut Session, golden: &Golden) -> paring::Result<()> {
    for (name, tensor) in zoo::golden_inputs(golden).unwrap() {
        session.set_input(&name, &tensor)?;
    }
    Ok(())
}

/// The shapes of the golden inputs, by name.
pub fn shapes(golden: &Golden) -> Vec<(&str, &[usize])> {
    golden.inputs.iter().map(|(n, i)| (n.as_str(), i.shape.as_slice())).collect()
}

/// A session with golden inputs, prepared.
pub fn prepared(name: &str, options: &Options) -> Session {
    let mut session = open(name).session(options).unwrap_or_else(|e| panic!("{name}: {e}"));
    feed(&mut session, &golden(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    session.prepare().unwrap_or_else(|e| panic!("{name}: {e}"));
    session
}

/// Whether the long tests are asked for; says so where not.
pub fn slow_tests(what: &str) -> bool {
    let wanted = std::env::var_os("PARING_SLOW_TESTS").is_some_and(|v| v == "1");
    if !wanted {
        println!("skipped: {what} (set PARING_SLOW_TESTS=1)");
    }
    wanted
}

/// Bytes of every output after a run.
pub fn results(session: &Session) -> Vec<Vec<u8>> {
    (0..session.outputs().len()).map(|k| session.output_tensor(k).unwrap().bytes().to_vec()).collect()
}

/// Numbers below what is asked for, the same ones each time (Marsaglia: Xorshift RNGs, 2003).
pub fn noise() -> impl FnMut(usize) -> usize {
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % below
    }
}
