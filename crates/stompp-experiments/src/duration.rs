//! Lengths of time for readers.
//!
//! This is not indicatif's `HumanDuration`, which rounds to one unit: `2 minutes` for 2 min 29 s is too coarse for the cost of a sweep.
//! Also, these texts are in reports that are compared byte by byte.

/// Formats a number of seconds for readers: `8.5 s`, `2 min 05 s`, `3 h 20 min`, `12 days`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round().max(0.0) as u64;
    match whole {
        0..10 => format!("{:.1} s", seconds.max(0.0)),
        10..60 => format!("{whole} s"),
        60..3_600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3_600..172_800 => format!("{} h {:02} min", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{} days", whole / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn units_follow_the_length() {
        let shown = [
            (0.04, "0.0 s"),
            (9.44, "9.4 s"),
            (9.6, "10 s"),
            (59.6, "1 min 00 s"),
            (125.0, "2 min 05 s"),
            (3_725.0, "1 h 02 min"),
            (200_000.0, "2 days"),
        ];
        for (seconds, text) in shown {
            assert_eq!(duration(seconds), text);
        }
    }
}
