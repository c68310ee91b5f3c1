use super::from_str;
use alloc::{
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use paring_core::{
    DType, Op,
    op::{Act, CustomValue, Padding},
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

fn refusal(text: &str) -> String {
    from_str::<Op>(text).expect_err(text).to_string()
}

#[test]
fn parentheses_of_an_only_value_may_be_left_out() {
    let short = "Conv(kernel: [3, 3], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 2)";
    let long =
        "Conv((kernel: [3, 3,], stride: [1, 1], dilation: [1, 1], padding: SameUpper, groups: 2, select: None,))";
    let (short, long) = (from_str::<Op>(short).unwrap(), from_str::<Op>(long).unwrap());
    assert_eq!(short, long);
    let Op::Conv(attrs) = short else { panic!() };
    assert_eq!((attrs.kernel, attrs.padding, attrs.groups, attrs.select), (vec![3, 3], Padding::SameUpper, 2, None));
}

#[test]
fn some_may_be_left_out() {
    for text in ["[1, 0]", "Some([1, 0])", "Some(\n[1, // first\n 0])"] {
        assert_eq!(from_str::<Option<Vec<u32>>>(text).unwrap(), Some(vec![1, 0]), "{text}");
    }
    assert_eq!(from_str::<Option<Vec<u32>>>("None").unwrap(), None);
    assert_eq!(from_str::<Option<(u8, u8)>>("(1, 2)").unwrap(), Some((1, 2)));
    assert_eq!(from_str::<Option<(u8, u8)>>("Some((1, 2))").unwrap(), Some((1, 2)));
}

#[test]
fn numbers_are_what_rust_makes_of_them() {
    assert_eq!(from_str::<(DType, f32, i32)>("(U8, 1.5e-3, -4)").unwrap(), (DType::U8, 1.5e-3, -4));
    assert_eq!(from_str::<Vec<f32>>("[inf, -inf, 3, +2.5]").unwrap(), [f32::INFINITY, f32::NEG_INFINITY, 3.0, 2.5]);
    assert!(from_str::<f32>("NaN").unwrap().is_nan());
    assert_eq!(from_str::<u64>(&u64::MAX.to_string()).unwrap(), u64::MAX);
    assert_eq!(from_str::<i64>(&i64::MIN.to_string()).unwrap(), i64::MIN);
    assert!(from_str::<u8>("256").unwrap_err().to_string().contains("256"));
    assert!(from_str::<u8>("-1").unwrap_err().to_string().contains("found '-1'"));
}

#[test]
fn refusals_name_the_place() {
    for (text, wanted) in [
        ("Conv(kernel: [3, x], stride: [1])", "kernel: expected a positive integer, found 'x'"),
        ("Conv(kernel: 3)", "kernel: expected a list, found '3'"),
        ("Conv(kernel: [3], stride: [1])", "missing field `dilation`"),
        ("Conv(kernel: [3], kernel: [3])", "duplicate field `kernel`"),
        ("Conv(kernel: [3], [3])", "expected a name and ':', found a list"),
        ("Swirl(a: 1)", "unknown variant `Swirl`"),
        ("MatMul(1)", "expected a name alone, found (...)"),
        ("Conv", "expected values in parentheses"),
        ("[1]", "expected a name, found a list"),
        ("Conv(kernel: [3]", "expected ',' or ')', found the end"),
        ("MatMul MatMul", "expected the end, found 'M' at character 7"),
        ("Conv(kernel: )", "expected a value, found ')'"),
        ("Einsum(equation: \"a)", "a string is not closed"),
        ("Einsum(equation: \"\\q\")", "an escape is not valid"),
        ("Einsum(equation: \"\\u{110000}\")", "an escape is not valid"),
        ("", "expected a value, found the end"),
    ] {
        let found = refusal(text);
        assert!(found.contains(wanted), "{text}: {found}");
    }
    for text in ["(U8, 0.5)", "(U8, 0.5, 3, 7)", "(a: U8, b: 0.5, c: 3)", "[U8, 0.5, 3]"] {
        let found = from_str::<(DType, f32, i32)>(text).expect_err(text).to_string();
        assert!(found.contains("expected"), "{text}: {found}");
    }
    let long = format!("[{}]", "1,".repeat(1 << 21));
    assert!(from_str::<Vec<u8>>(&long).unwrap_err().to_string().contains("more than 1048576 items"));
    assert!(refusal(&"(".repeat(100_000)).contains("nests deeper"));
    assert!(refusal(&"a(".repeat(100_000)).contains("nests deeper"));
    assert!(refusal(&"[".repeat(100_000)).contains("nests deeper"));
}

/// All shapes of types that attributes and descriptions have.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Anything {
    text: String,
    pairs: Vec<(String, i64)>,
    number: f32,
    wide: f64,
    yes: bool,
    maybe: Option<u32>,
    act: Act,
    values: Vec<CustomValue>,
    padding: Padding,
    nested: Option<Padding>,
    #[serde(default)]
    absent: Option<u8>,
}

fn anything() -> impl Strategy<Value = Anything> {
    let text = || any::<Vec<char>>().prop_map(String::from_iter);
    let padding = || {
        prop_oneof![
            Just(Padding::SameUpper),
            (any::<Vec<usize>>(), any::<Vec<usize>>()).prop_map(|(before, after)| Padding::Explicit { before, after }),
        ]
    };
    let act = prop_oneof![Just(Act::Relu), (any::<f32>(), any::<f32>()).prop_map(|(lo, hi)| Act::Clamp { lo, hi })];
    let value = prop_oneof![
        any::<i64>().prop_map(CustomValue::Int),
        any::<f32>().prop_map(CustomValue::Float),
        text().prop_map(CustomValue::Text),
        any::<Vec<i64>>().prop_map(CustomValue::Ints),
        any::<Vec<f32>>().prop_map(CustomValue::Floats),
    ];
    let first = (text(), any::<Vec<(String, i64)>>(), any::<f32>(), any::<f64>(), any::<bool>());
    let second =
        (any::<Option<u32>>(), act, prop::collection::vec(value, 0..4), padding(), prop::option::of(padding()));
    (first, second).prop_map(|((text, pairs, number, wide, yes), (maybe, act, values, padding, nested))| Anything {
        text,
        pairs,
        number,
        wide,
        yes,
        maybe,
        act,
        values,
        padding,
        nested,
        absent: None,
    })
}

proptest! {
    #[test]
    fn what_ron_prints_is_read(value in anything(), pretty in any::<bool>(), short in any::<bool>()) {
        use ron::extensions::Extensions;
        let short = if short { Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME } else { Extensions::empty() };
        let options = ron::Options::default().with_default_extension(short);
        let text = match pretty {
            true => options.to_string_pretty(&value, ron::ser::PrettyConfig::new()),
            false => options.to_string(&value),
        };
        let text = text.unwrap();
        prop_assert_eq!(from_str::<Anything>(&text), Ok(value), "{}", text);
    }

    #[test]
    fn no_text_panics(text in r#"[a-zA-Z0-9(),:\[\]"\\{}./ é-]{0,40}"#) {
        let _ = from_str::<Op>(&text);
        let _ = from_str::<Anything>(&text);
        let _ = from_str::<Vec<String>>(&format!("[{text}]"));
    }
}
