//! Layers: parameters and the op that uses them.
//!
//! Each layer implements dfdx's [`Module`](dfdx::nn::Module) and [`ModuleMut`](dfdx::nn::ModuleMut) (training), and, where its
//! sizes are compile-time constants, [`TensorCollection`](dfdx::nn::TensorCollection), so that dfdx can build and visit it.
//! [`builder`] holds the names to write in a network's type. With `forward`, the parameters are on the tape if the input is;
//! with `forward_with`, the caller decides separately.

mod batch_norm;
mod conv2d;
mod linear;
mod pool;

pub use batch_norm::BatchNorm2d;
pub use conv2d::Conv2d;
pub use linear::Linear;
pub use pool::{GlobalAveragePool, MaxPool2d};

/// Types to write in a network: `type Net = (Conv2d<3, 16, 3, 1, 1>, BatchNorm2d<16>);`, then `dev.build_module::<Net, f32>()`.
pub mod builder {
    pub use super::{batch_norm::builder::BatchNorm2d, conv2d::builder::Conv2d, linear::builder::Linear};
}

/// Fills a tensor by `draw`, from a stream of its own that the device's generator seeds. dfdx resets a layer with it.
fn reset<S, D>(
    tensor: &mut dfdx::tensor::Tensor<S, f32, D>,
    draw: impl FnOnce(usize, &mut dyn rand::Rng) -> Vec<f32>,
) -> Result<(), D::Err>
where
    S: dfdx::shapes::Shape,
    D: dfdx::tensor_ops::Device<f32>,
{
    use dfdx::shapes::HasShape;
    let seed = tensor.device().random_u64();
    let mut rng = stompp_rng::stream(seed, stompp_rng::Purpose::INITIAL_WEIGHTS, 0, 0);
    tensor.copy_from(&draw(tensor.shape().num_elements(), &mut rng));
    Ok(())
}
