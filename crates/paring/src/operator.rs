//! Operators of the program's own: from their definition to a kernel.

use crate::{
    Error, ErrorKind,
    kernel::{
        Cost, Isa, Kernel, KernelDescriptor, KernelError, Machine, NumericClass, Offer, Packed, Prepared, Problem,
        Reject, Scratch,
    },
};
use paring_core::{
    Op,
    op::{CustomAttrs, CustomOperand, CustomType, Define, Definition},
};
use paring_ir::Graph;
use std::{any::Any, sync::Arc};

/// An operator that models use and Paring does not know, or one to take the place of Paring's own. Given to a
/// [`crate::Loader`].
///
/// Its operands lie in plain row-major layout. Everything is called from whichever thread loads a model, makes a session
/// or runs it, at once where several do.
pub trait Operator: Send + Sync {
    /// The domain, such as `com.example`; empty for ONNX's own.
    fn domain(&self) -> &str;

    /// The name within the domain.
    fn name(&self) -> &str;

    /// The newest version of the domain's operator set that this implements: a model that uses a newer one is refused.
    /// `None` for all.
    fn version(&self) -> Option<i64> {
        None
    }

    /// The types of all outputs. Asked when a model is loaded, with what is known of the operands then, and again when
    /// their shapes are known: then those of the outputs must be.
    ///
    /// # Errors
    /// What is wrong with operands and attributes, for people.
    fn infer(&self, attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Result<Vec<CustomType>, String>;

    /// Memory that [`Prepared::run`] gets besides the operands.
    ///
    /// # Errors
    /// Why the operator cannot run this problem, for people.
    fn scratch(&self, problem: &Problem) -> Result<Scratch, String> {
        let _ = problem;
        Ok(Scratch::default())
    }

    /// Settles all that can be settled before running. The result is shared by all sessions with these shapes.
    ///
    /// # Errors
    /// [`KernelError::Program`] with what is wrong.
    fn prepare(&self, problem: &Problem) -> Result<Box<dyn Prepared>, KernelError>;
}

/// `operator` as the graph carries it.
pub(crate) fn definition(operator: Arc<dyn Operator>) -> Definition {
    Definition(Arc::new(Own(operator)))
}

/// Gives the operators of a graph that was read from its text their definitions.
pub(crate) fn define(graph: &mut Graph, all: &[Definition], opsets: &[(String, i64)]) -> crate::Result<()> {
    let custom: Vec<_> = graph.nodes().filter(|(_, n)| n.op.as_custom().is_some()).map(|(id, _)| id).collect();
    for id in custom {
        let Some(node) = graph.node_mut(id) else { continue };
        let Op::Custom(a) = &mut node.op else { continue };
        let unsupported = |why: String| Error::new(ErrorKind::Unsupported, why).at(&node.name);
        let Some(definition) = all.iter().find(|d| d.is_of(&a.domain, &a.name)) else {
            return Err(unsupported(format!(
                "the model uses the operator {}, which the program does not bring",
                a.full_name()
            )));
        };
        let opset = opsets.iter().find(|(domain, _)| *domain == a.domain);
        opset.map_or(Ok(()), |&(_, version)| definition.check_version(version)).map_err(unsupported)?;
        a.definition = Some(definition.clone());
    }
    Ok(())
}

struct Own(Arc<dyn Operator>);

impl Define for Own {
    fn domain(&self) -> &str {
        self.0.domain()
    }

    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> Option<i64> {
        self.0.version()
    }

    fn infer(&self, attrs: &CustomAttrs, inputs: &[Option<CustomOperand<'_>>]) -> Result<Vec<CustomType>, String> {
        self.0.infer(attrs, inputs)
    }
}

/// The operator that a problem is about.
fn of(p: &Problem) -> Option<&dyn Operator> {
    let definition: &dyn Any = &*p.op.as_custom()?.definition.as_ref()?.0;
    definition.downcast_ref::<Own>().map(|own| &*own.0)
}

/// The one kernel of all such operators: each problem brings its own.
pub(crate) static KERNEL: &dyn Kernel = &OwnOperator;

struct OwnOperator;

impl Kernel for OwnOperator {
    fn descriptor(&self) -> &'static KernelDescriptor {
        static DESCRIPTOR: KernelDescriptor = KernelDescriptor {
            name: "program",
            summary: "an operator that the program brings",
            ops: &["Custom"],
            isa: Isa::Portable,
            numerics: NumericClass::Exact,
        };
        &DESCRIPTOR
    }

    fn offers(&self, p: &Problem, _: &Machine, out: &mut Vec<Offer>) -> Result<(), Reject> {
        let operator = of(p).ok_or(Reject::because("the program brings no such operator"))?;
        let scratch = operator.scratch(p)?;
        out.push(Offer { scratch, numerics: NumericClass::Exact, ..Offer::plain(p) });
        Ok(())
    }

    /// One candidate only: what matters is that the time grows with the operands.
    fn cost(&self, p: &Problem, _: &Offer, m: &Machine) -> Cost {
        let operands = p.inputs.iter().chain(&p.outputs).flatten();
        let bytes = operands.filter_map(|x| x.dtype.bytes(x.len())).map(|b| b as f64).sum();
        Cost { ns: bytes / m.memory_bandwidth, bytes }
    }

    fn prepare(&self, p: &Problem, _: &Offer, _: Arc<Packed>) -> Result<Box<dyn Prepared>, KernelError> {
        let operator = of(p).ok_or_else(|| KernelError::Program("the program brings no such operator".into()))?;
        operator.prepare(p)
    }
}
