//! Sessions on memory that the program provides.

mod common;

use common::{feed, golden, open, prepared, results, single};
use paring::{ALIGNMENT, Allocator, Block, ErrorKind};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

/// Bytes from somewhere within a vector, which start at a multiple of so many and at none of twice as many.
struct Piece {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
    given: Option<Arc<AtomicUsize>>,
}

fn piece(len: usize, alignment: usize) -> Piece {
    let bytes = vec![0xAA; len + 2 * 2 * ALIGNMENT];
    let start = bytes.as_ptr().align_offset(2 * alignment) + alignment;
    Piece { bytes, start, len, given: None }
}

impl Block for Piece {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        if let Some(given) = &self.given {
            given.fetch_sub(self.len, SeqCst);
        }
    }
}

/// Hands out at most so many bytes, which it counts.
struct Counted {
    given: Arc<AtomicUsize>,
    most: usize,
}

impl Allocator for Counted {
    fn allocate(&self, bytes: usize) -> Option<Box<dyn Block>> {
        if self.given.fetch_add(bytes, SeqCst) + bytes > self.most {
            self.given.fetch_sub(bytes, SeqCst);
            return None;
        }
        let mut block = piece(bytes, ALIGNMENT);
        block.given = Some(self.given.clone());
        Some(Box::new(block))
    }
}

#[test]
fn all_memory_of_a_session_comes_from_its_allocator_and_goes_back() {
    let mut expected = prepared("squeezenet1_1", &single());
    expected.run().unwrap();
    let m = expected.memory();
    let total = m.arena_bytes + m.scratch_bytes + m.io_bytes;

    let given = Arc::new(AtomicUsize::new(0));
    let mut options = single();
    options.allocator = Some(Arc::new(Counted { given: given.clone(), most: total }));
    let mut session = prepared("squeezenet1_1", &options);
    assert_eq!(given.load(SeqCst), total);
    session.run().unwrap();
    assert_eq!(results(&session), results(&expected));
    drop(session);
    assert_eq!(given.load(SeqCst), 0);

    options.allocator = Some(Arc::new(Counted { given: given.clone(), most: total - 1 }));
    let model = open("squeezenet1_1");
    let e = model.session(&options).and_then(|mut s| feed(&mut s, &golden("squeezenet1_1")).and_then(|()| s.prepare()));
    assert_eq!(e.unwrap_err().kind(), ErrorKind::Memory);
    assert_eq!(given.load(SeqCst), 0);
}

#[test]
fn a_block_that_is_too_short_is_refused() {
    struct Short;
    impl Allocator for Short {
        fn allocate(&self, bytes: usize) -> Option<Box<dyn Block>> {
            Some(Box::new(piece(bytes - 1, ALIGNMENT)))
        }
    }
    let mut options = single();
    options.allocator = Some(Arc::new(Short));
    assert_eq!(open("squeezenet1_1").session(&options).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn outputs_and_working_memory_can_be_bound() {
    let mut expected = prepared("squeezenet1_1", &single());
    expected.run().unwrap();
    let mut session = prepared("squeezenet1_1", &single());
    let (len, working) = (results(&expected)[0].len(), session.working_bytes());

    for bad in [piece(len - 1, ALIGNMENT), piece(len, 1)] {
        assert_eq!(session.bind_output(0, Box::new(bad)).unwrap_err().kind(), ErrorKind::Invalid);
    }
    for bad in [piece(working - 1, ALIGNMENT), piece(working, ALIGNMENT / 2)] {
        assert_eq!(session.bind_working(Box::new(bad)).unwrap_err().kind(), ErrorKind::Invalid);
    }
    session.run().unwrap();
    assert_eq!(results(&session), results(&expected), "what was refused changes nothing");

    let out = piece(len + 8, 4);
    let at = out.bytes().as_ptr();
    session.bind_output(0, Box::new(out)).unwrap();
    session.bind_working(Box::new(piece(working, ALIGNMENT))).unwrap();
    assert!(session.output::<f32>(0).is_err(), "nothing has run since");
    session.run().unwrap();
    assert_eq!(results(&session), results(&expected));
    assert_eq!(session.output_bytes(0).unwrap().as_ptr(), at);
}

#[test]
fn bound_memory_stays_over_other_shapes_as_long_as_it_fits() {
    let model = paring::Model::from_bytes(&common::onnx::negation()).unwrap();
    let mut session = model.session(&single()).unwrap();
    let mut run = |n: usize| {
        session.resize(0, &[n]).unwrap();
        session.input_mut::<f32>(0).unwrap().fill(n as f32);
        session.run().map(|()| session.output_bytes(0).unwrap().as_ptr() as usize)
    };
    let own = run(4).unwrap();
    let out = piece(16, 4);
    let at = out.bytes().as_ptr() as usize;
    session.bind_output(0, Box::new(out)).unwrap();
    let mut run = |n: usize| {
        session.resize(0, &[n]).unwrap();
        session.input_mut::<f32>(0).unwrap().fill(n as f32);
        session.run()?;
        assert_eq!(session.output::<f32>(0).unwrap(), vec![-(n as f32); n]);
        Ok::<_, paring::Error>(session.output_bytes(0).unwrap().as_ptr() as usize)
    };
    assert_ne!(own, at);
    assert_eq!((run(4).unwrap(), run(2).unwrap()), (at, at));
    let e = run(5).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Invalid);
    assert!(e.to_string().contains("16 bytes") && e.to_string().contains("20"), "{e}");
    assert_eq!(run(3).unwrap(), at, "an error unbinds nothing");
    session.resize(0, &[5]).unwrap();
    session.bind_output(0, Box::new(piece(20, 4))).unwrap();
    session.run().unwrap();
}
