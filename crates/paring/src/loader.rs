//! Opening models in other ways than the usual.

use crate::{
    Limits, Log, Model, Operator, Result,
    import::{import, map_file},
    log::Level,
    operator::definition,
};
use bytes::Bytes;
use paring_core::{AlignedBuf, op::Definition};
use std::{path::Path, path::PathBuf, sync::Arc};

/// Opens models within other limits, with operators of the program's own, or with somebody who listens.
///
/// ```no_run
/// # fn main() -> Result<(), paring::Error> {
/// let mut limits = paring::Limits::default();
/// limits.nodes = 1000;
/// let model = paring::Loader::new().with_limits(limits).open("net.onnx")?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Loader {
    pub(crate) limits: Limits,
    pub(crate) operators: Vec<Definition>,
    log: Option<Log>,
}

impl Loader {
    /// As [`Model::open`] does it.
    pub fn new() -> Loader {
        Loader::default()
    }

    /// The same within these limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Loader {
        self.limits = limits;
        self
    }

    /// The same with an operator of the program's own. Of two with one name the later one counts.
    #[must_use]
    pub fn with_operator(mut self, operator: Arc<dyn Operator>) -> Loader {
        self.operators.insert(0, definition(operator));
        self
    }

    /// The same with somebody who listens.
    #[must_use]
    pub fn with_log(mut self, log: Log) -> Loader {
        self.log = Some(log);
        self
    }

    /// As [`Model::open`].
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<Model> {
        let path = path.as_ref();
        let bytes = map_file(path, &self.limits)?;
        self.import(bytes, Some(path.parent().map(Path::to_path_buf).unwrap_or_default()))
    }

    /// As [`Model::from_bytes`].
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn from_bytes(&self, bytes: &[u8]) -> Result<Model> {
        self.import(Bytes::from_owner(AlignedBuf::from_bytes(bytes)?), None)
    }

    /// As [`Model::from_vec`], of any memory: a file that the program has mapped, or a part of the program itself. It is
    /// kept until the model and all of its sessions are gone.
    ///
    /// # Errors
    /// As for [`Model::open`].
    pub fn from_owner(&self, owner: impl AsRef<[u8]> + Send + 'static) -> Result<Model> {
        self.import(Bytes::from_owner(owner), None)
    }

    fn import(&self, bytes: Bytes, folder: Option<PathBuf>) -> Result<Model> {
        let model = import(bytes, folder, self)?;
        if let Some(log) = &self.log {
            let stats = model.0.graph.stats();
            log.say(Level::Info, || {
                format!(
                    "loaded '{}': {} nodes, {} parameters",
                    model.0.graph.name,
                    model.0.graph.node_count(),
                    stats.params
                )
            });
        }
        Ok(model)
    }
}
