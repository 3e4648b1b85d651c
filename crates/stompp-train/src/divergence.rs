//! Finds the layer where a value became not finite.

use dfdx::{
    shapes::Shape,
    tensor::{Gradients, Tensor},
};
use stompp_nn::{Backend, TensorKind, VisitTensors, Visitor};

/// The first layer, in the order of the forward pass, with a parameter or running statistic that is not finite.
///
/// Running statistics follow every training batch, so they also show activations that are not finite.
pub(crate) fn first_non_finite_layer<D: Backend>(network: &impl VisitTensors<D>) -> Option<String> {
    network.visit("", &mut FindNonFinite).err()
}

/// The layer where the loss stopped being finite. If all tensors of the network are finite, this is the head, which follows them.
pub(crate) fn layer_of_loss<D: Backend>(network: &impl VisitTensors<D>) -> String {
    first_non_finite_layer(network).unwrap_or_else(|| "the head".to_owned())
}

/// The L2 norms of a step's gradients.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct GradientNorms(Vec<(String, f64)>);

impl GradientNorms {
    /// Computes the norm for every parameter of `network` that is still learning, in the order of the forward pass.
    ///
    /// # Errors
    /// Returns `D::Err` if an allocation or a kernel launch fails.
    pub(crate) fn compute<D: Backend>(
        device: &D,
        network: &impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<Self, D::Err> {
        let mut visitor = CollectNorms {
            device,
            gradients,
            names: Vec::new(),
            norms: D::Norms::default(),
        };
        network.visit("", &mut visitor)?;
        let norms = device.read_norms(visitor.norms)?;
        Ok(Self(visitor.names.into_iter().zip(norms).collect()))
    }

    /// The layer where the backward pass first produced a gradient that is not finite: the last such layer in the order of the forward
    /// pass. `None` if every gradient is finite.
    pub(crate) fn first_non_finite(&self) -> Option<String> {
        let last = self.0.iter().rfind(|(_, norm)| !norm.is_finite());
        last.map(|(tensor, _)| layer_name(tensor))
    }

    /// All norms.
    pub(crate) fn iter(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(|(_, norm)| *norm)
    }

    /// The norm for the parameter `tensor`; 0 if it has stopped learning.
    pub(crate) fn get(&self, tensor: &str) -> f64 {
        let found = self.0.iter().find(|(name, _)| name == tensor);
        found.map_or(0.0, |(_, norm)| *norm)
    }
}

struct FindNonFinite;

impl<D: Backend> Visitor<D> for FindNonFinite {
    type Error = String;

    fn visit_tensor<S: Shape>(&mut self, name: &str, _: TensorKind, tensor: &Tensor<S, f32, D>) -> Result<(), String> {
        if tensor.as_vec().iter().all(|value| value.is_finite()) {
            Ok(())
        } else {
            Err(layer_name(name))
        }
    }
}

struct CollectNorms<'a, D: Backend> {
    device: &'a D,
    gradients: &'a mut Gradients<f32, D>,
    names: Vec<String>,
    norms: D::Norms,
}

impl<D: Backend> Visitor<D> for CollectNorms<'_, D> {
    type Error = D::Err;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), D::Err> {
        if let TensorKind::Parameter { learning: true, .. } = kind {
            let gradient = self.gradients.get_or_alloc_mut(tensor)?;
            self.device.add_norm(&mut self.norms, D::slice(gradient))?;
            self.names.push(name.to_owned());
        }
        Ok(())
    }
}

/// The layer of a tensor: `layer1.0.conv1` of `layer1.0.conv1.weight`.
fn layer_name(tensor: &str) -> String {
    tensor.rsplit_once('.').map_or(tensor, |(layer, _)| layer).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::tensor::{Cpu, TensorFromVec};
    use stompp_binarize::{Binarization, Network};
    use stompp_nn::{TensorMut, VisitorMut};
    use stompp_resnet::Architecture;

    fn network() -> Network<Cpu> {
        let architecture = Architecture::with_stages(vec![1, 1], 4, 10, 8).unwrap();
        Network::new(&Cpu::default(), &architecture.graph(), Binarization::BNN, 0).unwrap()
    }

    /// Puts NaN into the last entry of one tensor.
    struct Spoil(&'static str);

    impl VisitorMut<Cpu> for Spoil {
        type Error = std::convert::Infallible;

        fn visit_tensor_mut<S: Shape>(
            &mut self,
            name: &str,
            _: TensorKind,
            mut tensor: TensorMut<'_, S, Cpu>,
        ) -> Result<(), Self::Error> {
            if name == self.0 {
                let mut values = tensor.as_vec();
                *values.last_mut().unwrap() = f32::NAN;
                tensor.copy_from(&values);
            }
            Ok(())
        }
    }

    #[test]
    fn the_first_layer_with_a_value_that_is_not_finite_is_named() {
        let mut net = network();
        assert_eq!(
            (first_non_finite_layer(&net), layer_of_loss(&net)),
            (None, "the head".to_owned())
        );
        for (tensor, expected) in [("layer2.0.conv1.weight", "layer2.0.conv1"), ("bn1.running_var", "bn1")] {
            let Ok(()) = net.visit_mut("", &mut Spoil(tensor));
            assert_eq!(layer_of_loss(&net), expected);
        }
    }

    /// A value that is not finite in an activation shows in the running statistics of the next layers.
    #[test]
    fn an_activation_is_found_by_the_statistics_that_follow_it() {
        let (mut net, device) = (network(), Cpu::default());
        let mut pixels = vec![0.5; 2 * 3 * 8 * 8];
        pixels[7] = f32::INFINITY;
        let images = device.tensor_from_vec(pixels, (2, 3, 8, 8));
        net.forward_train(images).unwrap();
        assert_eq!(first_non_finite_layer(&net).unwrap(), "bn1");
    }

    #[test]
    fn the_gradient_nearest_to_the_loss_is_named() {
        struct Plant<'a>(&'a mut Gradients<f32, Cpu>, &'static [&'static str]);
        impl Visitor<Cpu> for Plant<'_> {
            type Error = std::convert::Infallible;
            fn visit_tensor<S: Shape>(
                &mut self,
                name: &str,
                _: TensorKind,
                tensor: &Tensor<S, f32, Cpu>,
            ) -> Result<(), Self::Error> {
                if self.1.contains(&name) {
                    self.0.get_or_alloc_mut(tensor).unwrap()[0] = f32::NEG_INFINITY;
                }
                Ok(())
            }
        }
        let (net, mut gradients) = (network(), Gradients::leaky());
        let mut found = |spoiled| {
            let Ok(()) = net.visit("", &mut Plant(&mut gradients, spoiled));
            let norms = GradientNorms::compute(&Cpu::default(), &net, &mut gradients).unwrap();
            norms.first_non_finite()
        };
        assert_eq!(found(&[]), None);
        assert_eq!(found(&["conv1.weight"]).unwrap(), "conv1");
        assert_eq!(found(&["layer2.0.bn2.bias"]).unwrap(), "layer2.0.bn2");
    }
}
