//! Stochastic gradient descent with momentum.

use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Gradients, Tensor},
};
use stompp_nn::{
    Backend, TensorKind, TensorMut, VisitTensors, Visitor, VisitorMut,
    backend::{Buffer, SgdStep},
};

/// SGD with momentum: `v = momentum v + g; w -= rate v` for every parameter, then `w` is clamped where its
/// [`TensorKind`] bounds it (latent weights to [-1, 1], *ours*).
///
/// The velocity `v` starts at 0. A parameter that no gradient reached has `g = 0`, so it drifts on by its velocity, which
/// decays; one whose kind says that it has stopped learning keeps weight and velocity both.
///
/// An optimizer belongs to one network: velocities are found by the identity of the network's tensors and named by its visit.
#[derive(Clone, Debug)]
pub struct Sgd<D: Backend> {
    learning_rate: f32,
    momentum: f32,
    velocities: Gradients<f32, D>,
}

impl<D: Backend> Sgd<D> {
    /// An optimizer at rest.
    pub fn new(learning_rate: f32, momentum: f32) -> Self {
        Self {
            learning_rate,
            momentum,
            velocities: Gradients::leaky(),
        }
    }

    /// Moves every parameter of `network` by one step against `gradients`.
    ///
    /// # Errors
    /// The device's.
    pub fn step(
        &mut self,
        device: &D,
        network: &mut impl VisitTensors<D>,
        gradients: &mut Gradients<f32, D>,
    ) -> Result<(), D::Err> {
        let mut step = Step {
            device,
            optimizer: self,
            gradients,
        };
        network.visit_mut("", &mut step)
    }

    /// The velocity of every parameter, by name, in the order of the network's visit: all the state there is.
    ///
    /// # Errors
    /// The device's.
    pub fn velocities(&mut self, network: &impl VisitTensors<D>) -> Result<Vec<(String, Vec<f32>)>, D::Err> {
        let mut read = Read {
            velocities: &mut self.velocities,
            found: Vec::new(),
        };
        network.visit("", &mut read)?;
        Ok(read.found)
    }

    /// Puts velocities back: `saved` has that of each parameter by its name and length.
    ///
    /// # Errors
    /// The first of `saved`, and the device's.
    pub(crate) fn restore(
        &mut self,
        device: &D,
        network: &impl VisitTensors<D>,
        saved: impl FnMut(&str, usize) -> Result<Vec<f32>, String>,
    ) -> Result<(), String> {
        let velocities = &mut self.velocities;
        network.visit(
            "",
            &mut Restore {
                device,
                velocities,
                saved,
            },
        )
    }

    /// The learning rate in use.
    pub(crate) fn learning_rate(&self) -> f32 {
        self.learning_rate
    }

    /// Goes on with another learning rate.
    pub(crate) fn set_learning_rate(&mut self, learning_rate: f32) {
        self.learning_rate = learning_rate;
    }
}

/// Moves every parameter that it visits.
struct Step<'a, D: Backend> {
    device: &'a D,
    optimizer: &'a mut Sgd<D>,
    gradients: &'a mut Gradients<f32, D>,
}

impl<D: Backend> VisitorMut<D> for Step<'_, D> {
    type Error = D::Err;

    fn visit_tensor_mut<S: Shape>(
        &mut self,
        _: &str,
        kind: TensorKind,
        mut tensor: TensorMut<'_, S, D>,
    ) -> Result<(), D::Err> {
        let TensorKind::Parameter { learning: true, bound } = kind else {
            return Ok(());
        };
        let step = SgdStep {
            learning_rate: self.optimizer.learning_rate,
            momentum: self.optimizer.momentum,
            bound,
        };
        let velocity: &mut Buffer<D> = self.optimizer.velocities.get_or_alloc_mut(&*tensor)?;
        let gradient = self.gradients.get_or_alloc_mut(&*tensor)?;
        self.device.sgd_step(step, &mut tensor, velocity, gradient)
    }
}

/// Collects the velocity of every parameter that it visits.
struct Read<'a, D: Backend> {
    velocities: &'a mut Gradients<f32, D>,
    found: Vec<(String, Vec<f32>)>,
}

impl<D: Backend> Visitor<D> for Read<'_, D> {
    type Error = D::Err;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), D::Err> {
        if let TensorKind::Parameter { .. } = kind {
            self.velocities.try_alloc_for(tensor)?;
            self.found.push((name.to_owned(), self.velocities.get(tensor).as_vec()));
        }
        Ok(())
    }
}

/// Fills the velocity of every parameter that it visits.
struct Restore<'a, D: Backend, F> {
    device: &'a D,
    velocities: &'a mut Gradients<f32, D>,
    saved: F,
}

impl<D: Backend, F: FnMut(&str, usize) -> Result<Vec<f32>, String>> Visitor<D> for Restore<'_, D, F> {
    type Error = String;

    fn visit_tensor<S: Shape>(
        &mut self,
        name: &str,
        kind: TensorKind,
        tensor: &Tensor<S, f32, D>,
    ) -> Result<(), String> {
        let TensorKind::Parameter { .. } = kind else {
            return Ok(());
        };
        let values = (self.saved)(name, tensor.shape().num_elements())?;
        let velocity = self
            .velocities
            .get_or_alloc_mut(tensor)
            .map_err(|error| error.to_string())?;
        self.device.write(&values, velocity).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dfdx::{
        shapes::Const,
        tensor::{AsArray, Cpu, TensorFrom},
    };

    /// Two parameters: one that learns freely, one that is bounded and may have stopped.
    struct Pair {
        free: Tensor<(Const<2>,), f32, Cpu>,
        bounded: Tensor<(Const<1>,), f32, Cpu>,
        learning: bool,
    }

    impl VisitTensors<Cpu> for Pair {
        fn visit<V: Visitor<Cpu>>(&self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
            visitor.visit_tensor(&format!("{prefix}free"), TensorKind::PARAMETER, &self.free)?;
            visitor.visit_tensor(&format!("{prefix}bounded"), self.bounded_kind(), &self.bounded)
        }

        fn visit_mut<V: VisitorMut<Cpu>>(&mut self, prefix: &str, visitor: &mut V) -> Result<(), V::Error> {
            let kind = self.bounded_kind();
            let (free, bounded) = (TensorMut::new(&mut self.free), TensorMut::new(&mut self.bounded));
            visitor.visit_tensor_mut(&format!("{prefix}free"), TensorKind::PARAMETER, free)?;
            visitor.visit_tensor_mut(&format!("{prefix}bounded"), kind, bounded)
        }
    }

    impl Pair {
        fn bounded_kind(&self) -> TensorKind {
            TensorKind::Parameter {
                learning: self.learning,
                bound: Some(1.0),
            }
        }

        /// Gradients [a, b] of `free` and c of `bounded`; none for a parameter that is `None`.
        fn gradients(&self, free: Option<[f32; 2]>, bounded: Option<f32>) -> Gradients<f32, Cpu> {
            let mut gradients = Gradients::leaky();
            if let Some(values) = free {
                gradients.get_or_alloc_mut(&self.free).unwrap().copy_from_slice(&values);
            }
            if let Some(value) = bounded {
                gradients.get_or_alloc_mut(&self.bounded).unwrap()[0] = value;
            }
            gradients
        }
    }

    /// Rate 1/4 and momentum 1/2, so that every number below is exact and can be followed by hand.
    #[test]
    fn a_sequence_by_hand() {
        let device = Cpu::default();
        let mut net = Pair {
            free: device.tensor([1.0, -2.0]),
            bounded: device.tensor([0.75]),
            learning: true,
        };
        let mut sgd = Sgd::new(0.25, 0.5);

        // v = g; free - g/4 = [0.5, -2], bounded 0.75 + 1 is clamped to 1.
        let mut gradients = net.gradients(Some([2.0, 0.0]), Some(-4.0));
        sgd.step(&device, &mut net, &mut gradients).unwrap();
        assert_eq!((net.free.array(), net.bounded.array()), ([0.5, -2.0], [1.0]));

        // Without a gradient v halves and still moves: v = [1, 0], bounded v = -2 pushes against the bound.
        let mut gradients = net.gradients(None, None);
        sgd.step(&device, &mut net, &mut gradients).unwrap();
        assert_eq!((net.free.array(), net.bounded.array()), ([0.25, -2.0], [1.0]));
        let expected = [("free".to_owned(), vec![1.0, 0.0]), ("bounded".to_owned(), vec![-2.0])];
        assert_eq!(sgd.velocities(&net).unwrap(), expected);

        // What has stopped keeps weight and velocity, whatever its gradient.
        net.learning = false;
        let mut gradients = net.gradients(Some([0.5, 1.0]), Some(100.0));
        sgd.step(&device, &mut net, &mut gradients).unwrap();
        assert_eq!((net.free.array(), net.bounded.array()), ([0.0, -2.25], [1.0]));
        assert_eq!(sgd.velocities(&net).unwrap()[1].1, [-2.0]);
    }
}
