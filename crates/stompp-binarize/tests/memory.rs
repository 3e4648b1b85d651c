//! What a training pass keeps for its backward pass, counted in allocated bytes.

use dfdx::prelude::*;
use std::{alloc, cell::Cell};
use stompp_binarize::{Binarization, Network};
use stompp_graph::{Conv, Graph, GraphBuilder, NodeId};
use stompp_nn::{SwitchTape, ops};

/// Counts the bytes of a thread.
struct Counting;

thread_local! {
    /// Allocated bytes, and their maximum.
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator.
unsafe impl alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: alloc::Layout) -> *mut u8 {
        let _ = HELD.try_with(|held| {
            held.set(held.get() + layout.size() as isize);
            let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
        });
        // SAFETY: the caller guarantees the conditions of this call.
        unsafe { alloc::GlobalAlloc::alloc(&alloc::System, layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: alloc::Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: the caller guarantees the conditions of this call.
        unsafe { alloc::GlobalAlloc::dealloc(&alloc::System, at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const BATCH: usize = 64;
const CHANNELS: usize = 4;
const SIDE: usize = 32;

/// Bytes of every feature map of the networks here. Their weights are a hundredth of it.
const MAP: isize = (4 * BATCH * CHANNELS * SIDE * SIDE) as isize;

/// Adds a binary convolution and its batch norm.
fn branch(g: &mut GraphBuilder, name: &str, x: NodeId) -> NodeId {
    let y = g.binary_conv(&format!("{name}.conv"), x, Conv::k3(CHANNELS)).unwrap();
    g.batch_norm(&format!("{name}.bn"), y).unwrap()
}

/// A network of which `body` adds the part between images and the head.
fn network(body: impl FnOnce(&mut GraphBuilder) -> NodeId) -> Graph {
    let mut g = GraphBuilder::new([CHANNELS, SIDE, SIDE]);
    let x = body(&mut g);
    let x = g.global_average_pool("pool", x).unwrap();
    let x = g.linear("fc", x, 10).unwrap();
    g.finish(x).unwrap()
}

/// Three convolutions, each with a batch norm and an activation.
fn chain() -> Graph {
    network(|g| {
        let mut x = g.activation("act0", g.input()).unwrap();
        for name in ["1", "2", "3"] {
            x = branch(g, name, x);
            x = g.activation(&format!("act{name}"), x).unwrap();
        }
        x
    })
}

/// A block whose shortcut has a convolution and a batch norm.
fn block() -> Graph {
    network(|g| {
        let x = g.activation("act0", g.input()).unwrap();
        let shortcut = branch(g, "shortcut", x);
        let y = branch(g, "1", x);
        let y = g.add("add", y, shortcut).unwrap();
        g.activation("act1", y).unwrap()
    })
}

/// The gradient of an operand needs the other operand only.
#[test]
fn a_convolution_keeps_what_its_gradients_need() {
    let device = Cpu::default();
    let weight = device.sample_normal_like(&(CHANNELS, CHANNELS, 3, 3));
    let kept = |input: bool, parameters: bool| {
        let before = HELD.get();
        let x = device.sample_normal_like(&(BATCH, CHANNELS, SIDE, SIDE));
        let weight = weight.clone().put_tape(SwitchTape::new(parameters));
        let y = ops::conv2d(x.put_tape(SwitchTape::new(input)), weight, 1, 1).unwrap();
        let kept = HELD.get() - before;
        drop(y);
        (kept + MAP / 2) / MAP
    };
    assert_eq!(kept(true, true), 2);
    assert_eq!(kept(true, false), 1, "the input gradient does not read the input");
}

/// How many feature maps a pass has allocated, besides the images.
#[derive(Debug, PartialEq, Eq)]
struct Maps {
    /// At the end of the forward pass.
    kept: isize,
    /// Most in the backward pass.
    most: isize,
}

/// Runs a first training pass of `graph`. The thread of the test allocates all feature maps.
fn maps(graph: &Graph, binarization: Binarization) -> Maps {
    let device = Cpu::default();
    let mut net = Network::new(&device, graph, binarization, 0).unwrap();
    let images = device.sample_normal_like(&(BATCH, CHANNELS, SIDE, SIDE));
    let labels: Vec<usize> = (0..BATCH).map(|image| image % 10).collect();
    let before = HELD.get();
    let count = |bytes: isize| (bytes - before + MAP / 2) / MAP;
    let logits = net.forward_train(images.clone()).unwrap();
    let loss = ops::cross_entropy(logits, &labels).unwrap();
    let kept = count(HELD.get());
    MOST.set(HELD.get());
    SwitchTape::into_owned_tape(loss).unwrap().try_backward().unwrap();
    Maps {
        kept,
        most: count(MOST.get()),
    }
}

/// The outputs of convolutions are kept, and the first activation. Outputs of other activations are computed again, one at a time.
/// `most` has a gradient and such an output besides.
#[test]
fn an_activation_that_follows_from_what_is_kept_is_not_kept() {
    assert_eq!(maps(&chain(), Binarization::BNN), Maps { kept: 4, most: 6 });
}

/// Of the shortcut, the convolution's output is kept, but not that of its batch norm.
#[test]
fn a_normalized_shortcut_is_not_kept() {
    assert_eq!(maps(&block(), Binarization::BNN), Maps { kept: 3, most: 6 });
}

/// Outputs of convolutions and ReLUs are kept, inputs of ReLUs are not.
#[test]
fn the_input_of_a_relu_is_not_kept() {
    assert_eq!(maps(&chain(), Binarization::BWN).kept, 7);
}
