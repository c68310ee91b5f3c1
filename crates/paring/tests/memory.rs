//! Memory: what sessions take, and what can be done about it.

mod common;

use common::{feed, golden, open, prepared, single, slow_tests};
use paring::{ErrorKind, Memory, Options};

/// What running takes, over the weights of the model and the least that the values between the layers take.
fn ratio(m: &Memory) -> f64 {
    let taken = m.packed_bytes + m.constant_bytes + m.arena_bytes + m.scratch_bytes;
    taken as f64 / (m.model_bytes + m.arena_bound_bytes) as f64
}

#[test]
fn figures_fit_together() {
    for name in ["squeezenet1_1", "mobilenet_v2", "shufflenet_v2_x1_0", "bert_plain_dyn", "enet_256x512"] {
        for optimize in [true, false] {
            let session = prepared(name, &single().with_optimize(optimize));
            let m = session.memory();
            let plan = session.plan().unwrap();
            assert!(0 < m.arena_bound_bytes && m.arena_bound_bytes <= m.arena_bytes, "{name}: {m:?}");
            // Greedy placement is close to the bound on networks.
            assert!(m.arena_bytes as f64 <= 1.2 * m.arena_bound_bytes as f64, "{name}: {m:?}");
            let largest = plan.steps.iter().flat_map(|s| s.outputs.iter().flatten());
            let largest = largest.filter(|s| s.location == paring_plan::Location::Arena).map(|s| s.len).max();
            assert!(Some(m.arena_bound_bytes) >= largest, "{name}: {m:?}");
            assert_eq!(session.working_bytes(), m.arena_bytes + m.scratch_bytes);
            let stats = open(name).stats();
            assert_eq!(m.model_bytes as u64, stats.weight_bytes, "{name}");
        }
    }
}

#[test]
fn threads_take_scratch_and_nothing_else() {
    let of = |threads| prepared("squeezenet1_1", &Options::default().with_threads(threads)).memory();
    let (one, two, three) = (of(1), of(2), of(3));
    assert!(one.scratch_bytes < two.scratch_bytes);
    assert_eq!(three.scratch_bytes - two.scratch_bytes, two.scratch_bytes - one.scratch_bytes);
    assert_eq!(Memory { scratch_bytes: 0, ..three }, Memory { scratch_bytes: 0, ..one });
}

#[test]
fn running_takes_little_more_than_the_weights_and_the_least_arena() {
    let m = prepared("mobilenet_v2", &single()).memory();
    assert!(ratio(&m) <= 1.5, "mobilenet_v2: {} of {m:?}", ratio(&m));
    if slow_tests("the memory of resnet50") {
        let m = prepared("resnet50", &single()).memory();
        assert!(ratio(&m) <= 1.5, "resnet50: {} of {m:?}", ratio(&m));
    }
}

#[test]
fn sessions_share_packed_weights_and_come_back_to_the_same_results() {
    let (model, golden) = (open("squeezenet1_1"), golden("squeezenet1_1"));
    let run = |options: &Options| {
        let mut session = model.session(options).unwrap();
        feed(&mut session, &golden).unwrap();
        session.run().unwrap();
        common::results(&session)
    };
    let first = run(&single());
    // Other options make another plan of a graph that is optimised anew: the first one is gone.
    let mut strict = single().with_numerics(paring::Numerics::Strict);
    strict.plan_cache = 1;
    run(&strict);
    assert!(run(&single()) == first);
}

#[test]
fn dear_forms_of_weights_are_given_up_for_memory() {
    let dear = prepared("resnet18", &single());
    let kernels = |s: &paring::Session| s.plan().unwrap().steps.iter().map(|s| s.kernel).collect::<Vec<_>>();
    let footprint = |s: &paring::Session| s.memory().packed_bytes + s.working_bytes();
    let winograd = |s: &paring::Session| kernels(s).iter().filter(|k| k.contains("winograd")).count();
    assert!(winograd(&dear) > 0, "{:?}", kernels(&dear));
    let mut without = single();
    // Of every instruction set: without those that were chosen, others may be.
    let names = paring::builtin_registry().iter().map(|k| k.descriptor().name).collect::<Vec<_>>();
    without.exclude_kernels = names.into_iter().filter(|k| k.contains("winograd")).map(Into::into).collect();
    let plain = prepared("resnet18", &without);
    let (most, least) = (footprint(&dear), footprint(&plain));
    assert!(least < most, "{least} and {most}");

    let run = |mut session: paring::Session| {
        session.run().unwrap();
        let t = session.output_tensor(0).unwrap();
        t.elements::<f32>().unwrap().to_vec()
    };
    let expected = run(dear);
    for limit in [least, (least + most) / 2, most] {
        let mut thrifty = single();
        thrifty.max_memory = Some(limit);
        let session = prepared("resnet18", &thrifty);
        assert!(footprint(&session) <= limit, "{} of {limit}", footprint(&session));
        // In between, forms that grow the weights less may stay.
        match limit {
            l if l == most => assert!(winograd(&session) > 0, "{limit}: {:?}", kernels(&session)),
            l if l == least => assert_eq!(winograd(&session), 0, "{limit}: {:?}", kernels(&session)),
            _ => {}
        }
        let found = run(session);
        let rms = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
        let apart = expected.iter().zip(&found).map(|(e, f)| (e - f).abs()).fold(0.0, f32::max);
        assert!(apart <= 1e-4 * rms, "{limit}: {apart} apart at an RMS of {rms}");
    }

    let mut starved = single();
    starved.max_memory = Some(1000);
    let error = open("resnet18").session(&starved).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    assert!(error.to_string().contains("1000") && error.to_string().contains("packed weights"), "{error}");
}

/// Three layers whose fastest kernels pack four times their weights: some take kernels that pack less, and say so.
#[test]
fn packed_weights_take_little_more_than_the_weights() {
    let conv = "Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 1)";
    let layer =
        |i: usize| format!("const %w{i}: f32[512, 512, 3, 3] = random {i}\n %x{i} = {conv}(%x{}, %w{i})\n", i - 1);
    let layers: String = (1..4).map(layer).collect();
    let text = format!("graph \"t\" {{\n input %x0: f32[1, 512, 14, 14]\n {layers} output \"y\" = %x3\n}}");
    let model = paring::Model::from_graph(paring::graph::Graph::parse(&text).unwrap()).unwrap();
    // Of the transforms only F(4, 3), whatever is fastest on this machine.
    let mut options = single();
    let all = model.explain(&options, &[]).unwrap().layers.into_iter().flat_map(|l| l.candidates).map(|c| c.kernel);
    options.exclude_kernels = all.filter(|k| ["f2x3", "f6x3", "fft"].iter().any(|other| k.contains(other))).collect();
    let report = model.explain(&options, &[]).unwrap();
    let offers = report.layers.iter().flat_map(|l| &l.candidates).map(|c| &c.verdict);
    let packed = offers.filter_map(|v| match v {
        paring::Verdict::Offer { chosen: true, packed_bytes, .. } => Some(packed_bytes),
        _ => None,
    });
    let packed: usize = packed.sum();
    let weights = 3 * 512 * 512 * 9 * size_of::<f32>();
    assert!(packed <= weights + (50 << 20), "{packed} of {weights}");
    let given_up = |v: &paring::Verdict| matches!(v, paring::Verdict::Reject { reason } if reason.contains("given up"));
    let switched = report.layers.iter().filter(|l| l.candidates.iter().any(|c| given_up(&c.verdict))).count();
    assert!((1..3).contains(&switched), "{switched} layers");
}
