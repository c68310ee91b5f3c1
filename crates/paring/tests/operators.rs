//! Operators that the program brings.

mod common;

use common::{onnx::*, single};
use paring::{
    ErrorKind, Level, Loader, Log, Operator, SaveOptions,
    graph::op::{CustomAttrs, CustomOperand, CustomType, CustomValue},
    kernel::{KernelError, Prepared, Problem, RunCx, Scratch},
};
use paring_onnx::proto::*;
use prost::Message;
use std::sync::{Arc, Mutex};

/// `factor * x`, with the two halves of the first axis exchanged.
struct Swap {
    newest: i64,
}

struct Ready {
    factor: f32,
}

impl Operator for Swap {
    fn domain(&self) -> &str {
        "org.example"
    }

    fn name(&self) -> &str {
        "Swap"
    }

    fn version(&self) -> Option<i64> {
        Some(self.newest)
    }

    fn infer(&self, attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Result<Vec<CustomType>, String> {
        let [Some(x)] = inputs else { return Err(format!("expected one input, found {}", inputs.len())) };
        factor(attrs)?;
        Ok(vec![CustomType { dtype: x.dtype, shape: x.shape.clone() }])
    }

    fn scratch(&self, p: &Problem) -> Result<Scratch, String> {
        Ok(Scratch { shared: 4 * p.inputs[0].as_ref().map_or(0, |x| x.len()), per_worker: 0 })
    }

    fn prepare(&self, p: &Problem) -> Result<Box<dyn Prepared>, KernelError> {
        let attrs = p.op.as_custom().expect("an operator of the program's");
        let factor = factor(attrs).map_err(KernelError::Program)?;
        if factor == 0.0 {
            return Err(KernelError::Program("a factor of 0".into()));
        }
        Ok(Box::new(Ready { factor }))
    }
}

fn factor(attrs: &CustomAttrs) -> Result<f32, String> {
    let found = attrs.attributes.iter().find(|(n, _)| n == "factor").map(|(_, v)| v);
    match found {
        Some(CustomValue::Int(i)) => Ok(*i as f32),
        other => Err(format!("expected an integer attribute 'factor', found {other:?}")),
    }
}

impl Prepared for Ready {
    fn run(&self, cx: &mut RunCx<'_>) -> Result<(), KernelError> {
        let x: &[f32] = cx.input(0);
        if x[0].is_nan() {
            return Err(KernelError::Program("not a number".into()));
        }
        // SAFETY: the only slice of the scratch.
        let scratch: &mut [f32] = unsafe { cx.scratch::<f32>().slice(0, x.len()) };
        for (s, x) in scratch.iter_mut().zip(x) {
            *s = self.factor * x;
        }
        let y = cx.output::<f32>(0);
        let (a, b) = scratch.split_at(scratch.len() / 2);
        y[..b.len()].copy_from_slice(b);
        y[b.len()..].copy_from_slice(a);
        Ok(())
    }
}

/// `relu -> Swap -> neg`, of four numbers or of any.
fn model(version: i64, factor: i64, symbolic: bool) -> Vec<u8> {
    let x = floats(&[4], &[0.0; 4]);
    let name = |s: &str| s.to_string();
    let swap = node("Swap", "swap", &[name("a")], &[name("b")], vec![int("factor", factor)]);
    let graph = GraphProto {
        name: "swap".into(),
        input: vec![declared("x", &x, symbolic)],
        output: vec![output("y")],
        node: vec![
            node("Relu", "relu", &[name("x")], &[name("a")], vec![]),
            NodeProto { domain: "org.example".into(), ..swap },
            node("Neg", "neg", &[name("b")], &[name("y")], vec![]),
        ],
        ..Default::default()
    };
    let set = |domain: &str, version| OperatorSetIdProto { domain: domain.into(), version };
    let opset_import = vec![set("", 17), set("org.example", version)];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..Default::default() }.encode_to_vec()
}

fn loader() -> Loader {
    Loader::new().with_operator(Arc::new(Swap { newest: 2 }))
}

#[test]
fn they_run_within_a_network_whether_its_shapes_are_known_or_not() {
    for symbolic in [false, true] {
        let model = loader().from_bytes(&model(1, 3, symbolic)).unwrap();
        let mut session = model.session(&single()).unwrap();
        let mut run = |x: &[f32]| {
            session.set_input("x", &floats(&[x.len()], x)).unwrap();
            session.run().unwrap();
            session.output::<f32>("y").unwrap().to_vec()
        };
        assert_eq!(run(&[1.0, -2.0, 3.0, 4.0]), [-9.0, -12.0, -3.0, 0.0]);
        if symbolic {
            assert_eq!(run(&[1.0, 2.0]), [-6.0, -3.0]);
        }
    }
}

#[test]
fn they_run_within_a_network_from_a_model_file() {
    let mut file = Vec::new();
    loader().from_bytes(&model(2, 3, true)).unwrap().save(&mut file, &SaveOptions::default()).unwrap();
    let mut session = loader().from_bytes(&file).unwrap().session(&single()).unwrap();
    session.set_input("x", &floats(&[4], &[1.0, -2.0, 3.0, 4.0])).unwrap();
    session.run().unwrap();
    assert_eq!(session.output::<f32>("y").unwrap(), [-9.0, -12.0, -3.0, 0.0]);

    let e = paring::Model::from_bytes(&file).unwrap_err();
    assert_eq!((e.kind(), e.node()), (ErrorKind::Unsupported, Some("swap")));
    assert!(e.to_string().contains("org.example.Swap"), "{e}");
    let e = Loader::new().with_operator(Arc::new(Swap { newest: 1 })).from_bytes(&file).unwrap_err();
    assert_eq!((e.kind(), e.node()), (ErrorKind::Unsupported, Some("swap")));
    assert!(e.to_string().contains("version 1"), "{e}");
}

#[test]
fn what_they_refuse_is_an_error_with_their_words() {
    let kind = |bytes: &[u8]| loader().from_bytes(bytes).map(drop).unwrap_err();
    let e = kind(&model(3, 3, false));
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("version 2"), "{e}");
    let e = paring::Model::from_bytes(&model(1, 3, false)).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported, "{e}");

    let e = loader().from_bytes(&model(1, 0, false)).unwrap().session(&single()).unwrap_err();
    assert_eq!((e.kind(), e.node()), (ErrorKind::Program, Some("swap")));
    assert!(e.to_string().contains("a factor of 0"), "{e}");

    let mut session = loader().from_bytes(&model(1, 1, false)).unwrap().session(&single()).unwrap();
    // Relu keeps what is not a number.
    session.input_mut::<f32>("x").unwrap()[0] = f32::NAN;
    let e = session.run().unwrap_err();
    assert_eq!((e.kind(), e.node()), (ErrorKind::Program, Some("swap")));
    assert!(session.output::<f32>("y").is_err(), "a failed run leaves no results");
}

#[test]
fn who_listens_hears_what_was_loaded_and_planned() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let log = {
        let heard = heard.clone();
        Log::new(Level::Info, move |level, text| heard.lock().unwrap().push((level, text.to_string())))
    };
    let mut options = single();
    options.log = Some(log.clone());
    let model = loader().with_log(log).from_bytes(&model(1, 3, false)).unwrap();
    model.session(&options).unwrap();
    let heard = heard.lock().unwrap();
    assert!(heard.iter().all(|(level, _)| *level <= Level::Info));
    for beginning in ["loaded 'swap': 3 nodes", "optimised:", "planned:"] {
        assert!(heard.iter().any(|(_, text)| text.starts_with(beginning)), "{beginning}: {heard:?}");
    }
}
