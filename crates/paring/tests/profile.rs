//! Times of layers: whole runs only, of every kind of run.

use paring::graph::{DType, Graph};
use paring::{ErrorKind, Model, Options, View, ViewMut};
use paring_ir::GraphBuilder;

fn network() -> Graph {
    let mut b = GraphBuilder::new("network");
    let x = b.input("x", DType::F32, &[1.into(), 8.into(), 6.into(), 6.into()]);
    let y = b.name("mean").global_average_pool(x).unwrap();
    let y = b.name("flat").flatten(y).unwrap();
    let y = b.name("softmax").softmax(y, -1).unwrap();
    b.output("y", y);
    b.finish().unwrap()
}

#[test]
fn spans_are_those_of_the_last_whole_run() {
    let model = Model::from_graph(network()).unwrap();
    let mut session = model.session(&Options::default().with_threads(1).with_profile(true)).unwrap();
    assert!(session.spans().is_empty());
    for _ in 0..3 {
        session.run().unwrap();
    }
    let profile = session.profile().unwrap();
    let spans = session.spans().to_vec();
    assert_eq!((profile.runs, profile.layers.len()), (3, spans.len()));
    assert!(spans.len() > 1 && spans.windows(2).all(|s| s[0].start_ns + s[0].ns <= s[1].start_ns));
    assert!(profile.layers.iter().zip(&spans).all(|(l, s)| l.min_ns <= s.ns && l.min_ns <= l.mean_ns));

    session.canceller().cancel();
    assert_eq!(session.run().unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((session.profile().unwrap().runs, session.spans()), (3, &spans[..]));

    // Runs on memory of the caller's count as well.
    let (x, mut y) = ([1f32; 8 * 36], [0f32; 8]);
    session.run_on(&[View::of(&x)], &mut [ViewMut::of(&mut y)], None).unwrap();
    assert_eq!(session.profile().unwrap().runs, 4);

    session.reset_profile();
    assert!(session.spans().is_empty());
    assert_eq!(session.profile().unwrap().runs, 0);
}

#[test]
fn no_profile_takes_no_times() {
    let mut session = Model::from_graph(network()).unwrap().session(&Options::default().with_threads(1)).unwrap();
    session.run().unwrap();
    assert!(session.spans().is_empty() && session.profile().is_none());
}
