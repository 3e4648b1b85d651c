//! Times single convolutions: dense ones against the peer's, and those on bits against our own dense ones.

use super::{
    IN_A_ROW,
    peer::{Peer, PeerTask},
    report::Comparison,
    wait_for_peer_threads,
};
use anyhow::Result;
use std::time::Instant;
use stompp_kernels::{
    BitTensor, BitWeights, ConvShape, conv2d_backward_input, conv2d_backward_weight, conv2d_forward, xnor_conv2d,
};

/// `(input channels, side, output channels, kernel)`: the 3x3 convolutions of ResNet-18 and the 1x1 ones of ResNet-50 on
/// images of 32x32, stride 1, batch 32.
const SHAPES: [(usize, usize, usize, usize); 12] = [
    (64, 32, 64, 3),
    (128, 16, 128, 3),
    (256, 8, 256, 3),
    (512, 4, 512, 3),
    (64, 32, 256, 1),
    (256, 32, 64, 1),
    (128, 16, 512, 1),
    (512, 16, 128, 1),
    (256, 8, 1024, 1),
    (1024, 8, 256, 1),
    (512, 4, 2048, 1),
    (2048, 4, 512, 1),
];

/// The pass of a convolution to time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConvPass {
    Forward,
    /// The gradients of input and weight.
    Backward,
    /// The forward pass on signs. Input and output are floats.
    Xnor,
}

impl ConvPass {
    fn name(self) -> &'static str {
        match self {
            Self::Forward => "conv-forward",
            Self::Backward => "conv-backward",
            Self::Xnor => "xnor",
        }
    }
}

/// Times the convolutions that `wanted` selects by name, and adds the geometric mean over the shapes for each pass.
///
/// # Errors
/// The errors of [`Peer::time`].
pub(super) fn measure(
    wanted: &dyn Fn(&str) -> bool,
    turns: u16,
    mut peer: Option<&mut Peer>,
) -> Result<Vec<Comparison>> {
    let mut found = Vec::new();
    for pass in [ConvPass::Forward, ConvPass::Backward, ConvPass::Xnor] {
        let mut of_pass = Vec::new();
        for shape in SHAPES
            .into_iter()
            .filter(|shape| pass != ConvPass::Xnor || shape.3 == 3)
        {
            let (inputs, side, outputs, kernel) = shape;
            let name = format!("{}-{kernel}x{kernel}-{inputs}-{outputs}@{side}", pass.name());
            if wanted(&name) {
                let comparison = compare(&conv_shape(shape), pass, name, turns, peer.as_deref_mut())?;
                stompp_console::errln!("{comparison}");
                of_pass.push(comparison);
            }
        }
        let parts: Vec<&Comparison> = of_pass.iter().collect();
        if parts.len() > 1 {
            let mean = |seconds: &[f64]| (seconds.iter().map(|s| s.ln()).sum::<f64>() / seconds.len() as f64).exp();
            let all = Comparison::combined(format!("{}-geometric-mean", pass.name()), &parts, mean);
            of_pass.push(all);
        }
        found.extend(of_pass);
    }
    Ok(found)
}

fn conv_shape((in_channels, side, out_channels, kernel): (usize, usize, usize, usize)) -> ConvShape {
    ConvShape {
        batch: 32,
        in_channels,
        in_height: side,
        in_width: side,
        out_channels,
        kernel,
        stride: 1,
        padding: kernel / 2,
    }
}

/// Values of both signs.
fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| (i * 7919 % 1009) as f32 / 504.5 - 1.0).collect()
}

fn seconds(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_secs_f64()
}

fn compare(s: &ConvShape, pass: ConvPass, name: String, turns: u16, mut peer: Option<&mut Peer>) -> Result<Comparison> {
    let (x, w, gy) = (values(s.input_len()), values(s.weight_len()), values(s.output_len()));
    let (mut y, mut gx, mut gw) = (gy.clone(), x.clone(), w.clone());
    let signs = BitWeights::from_signs(s.out_channels, s.in_channels, s.kernel, &w);
    let mut ours = |pass: ConvPass| {
        seconds(|| match pass {
            ConvPass::Forward => conv2d_forward(s, &x, &w, &mut y),
            ConvPass::Backward => {
                conv2d_backward_input(s, &w, &gy, &mut gx);
                conv2d_backward_weight(s, &x, &gy, &mut gw);
            }
            ConvPass::Xnor => {
                let x = BitTensor::from_signs(s.batch, s.in_channels, s.in_height, s.in_width, &x);
                xnor_conv2d(s.stride, s.padding, &x, &signs, &mut y);
            }
        })
    };
    let task = PeerTask::convolution(name.clone(), s, pass == ConvPass::Backward);
    if let (Some(peer), true) = (&mut peer, pass != ConvPass::Xnor) {
        peer.warm_up(&task)?;
    }
    let mut fastest = |pass: ConvPass| (0..IN_A_ROW).map(|_| ours(pass)).fold(f64::INFINITY, f64::min);
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        wait_for_peer_threads();
        here.push(fastest(pass));
        match &mut peer {
            _ if pass == ConvPass::Xnor => there.push(fastest(ConvPass::Forward)),
            Some(peer) => there.push(peer.time(&task, IN_A_ROW)?),
            None => {}
        }
    }
    Ok(Comparison::new(name, here, there))
}
