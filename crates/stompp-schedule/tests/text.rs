//! What users write in a configuration: names of curves and orders, refresh rates.

use proptest::prelude::*;
use stompp_schedule::{Curve, Order, RateError, RefreshRate};

#[test]
fn names_round_trip() {
    for curve in Curve::ALL {
        assert_eq!(curve.to_string().parse(), Ok(curve));
    }
    for order in Order::ALL {
        assert_eq!(order.to_string().parse(), Ok(order));
    }
    assert_eq!(
        Curve::ALL.map(Curve::name),
        ["linear", "quadratic", "cubic", "cosine", "flipped-quadratic"]
    );
    assert_eq!(Order::ALL.map(Order::name), ["forward", "global", "reverse"]);
}

#[test]
fn unknown_names_say_what_is_known() {
    assert_eq!(
        "sqrt".parse::<Curve>().unwrap_err().to_string(),
        "unknown curve `sqrt`, expected one of: linear, quadratic, cubic, cosine, flipped-quadratic"
    );
    assert_eq!(
        "Forward".parse::<Order>().unwrap_err().to_string(),
        "unknown order `Forward`, expected one of: forward, global, reverse"
    );
}

#[test]
fn defaults_are_the_papers() {
    assert_eq!((Curve::default(), Order::default()), (Curve::Cubic, Order::Forward));
    assert_eq!(RefreshRate::default(), RefreshRate::from_steps(100.0).unwrap());
}

#[test]
fn rates_resolve() {
    let resolve = |text: &str, window| text.parse::<RefreshRate>().unwrap().resolve(window);
    assert_eq!(resolve("100", 50..60), 100.0);
    assert_eq!(resolve("1.5", 0..10), 1.5);
    assert_eq!(resolve("0.25w", 100..500), 100.0);
    assert_eq!(resolve("1w", 7..9), 2.0);
    assert_eq!(resolve("1e-300w", 0..u64::MAX), 1.0);
}

#[test]
fn refused_rates() {
    for text in ["0", "0.99", "-100", "inf", "1e999"] {
        assert!(
            matches!(text.parse::<RefreshRate>(), Err(RateError::Steps(_))),
            "{text}"
        );
    }
    for text in ["0w", "-0.1w", "1.01w", "10w", "infw"] {
        assert!(
            matches!(text.parse::<RefreshRate>(), Err(RateError::WindowFraction(_))),
            "{text}"
        );
    }
    for text in ["", "w", "fast", "10%", "0.1 w", "0.1ww", "100ba"] {
        assert_eq!(text.parse::<RefreshRate>(), Err(RateError::Syntax(text.into())));
    }
    assert!(RefreshRate::from_steps(f64::NAN).is_err());
    assert!(RefreshRate::from_window_fraction(f64::NAN).is_err());
    assert_eq!(
        "10%".parse::<RefreshRate>().unwrap_err().to_string(),
        "`10%` is not a refresh rate: expected steps, as in `100`, or a fraction of the window, as in `0.1w`"
    );
}

proptest! {
    #[test]
    fn rates_round_trip(r in 1.0..1e9f64, fraction in 1e-9..=1.0f64, start in 0..u64::MAX / 2, length in 1..u64::MAX / 2) {
        for rate in [RefreshRate::from_steps(r).unwrap(), RefreshRate::from_window_fraction(fraction).unwrap()] {
            prop_assert_eq!(rate.to_string().parse(), Ok(rate));
            let r = rate.resolve(start..start + length);
            prop_assert!(r.is_finite() && r >= 1.0);
        }
    }
}
