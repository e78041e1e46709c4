//! Where a value is on an axis. Both axes are logarithmic; one that has a nothing on it has places instead, which
//! lie side by side.

/// From a value to a part of the axis' length.
#[derive(Clone, Debug)]
pub(super) enum Scale {
    Logarithmic { low: f64, high: f64 },
    Places(Vec<u64>),
}

impl Scale {
    /// For exactly these values.
    pub(super) fn of(values: impl Iterator<Item = u64>) -> Self {
        let values: Vec<u64> = values.collect();
        let ends = values.iter().min().zip(values.iter().max());
        match ends {
            Some((low, high)) if *low > 0 && low < high => Self::Logarithmic { low: *low as f64, high: *high as f64 },
            _ => Self::Places(values),
        }
    }

    /// From the power of ten below all values to the one above them.
    pub(super) fn around(values: impl Iterator<Item = f64>) -> Self {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self::Logarithmic { low: 1.0, high: 10.0 };
        }
        let (low, high) = (10_f64.powf(low.log10().floor()), 10_f64.powf(high.log10().ceil()));
        Self::Logarithmic { low, high: if high > low { high } else { low * 10.0 } }
    }

    /// From 0 at its beginning to 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        match self {
            Self::Logarithmic { low, high } => (value / low).ln() / (high / low).ln(),
            Self::Places(values) => {
                let place = values.iter().position(|known| *known as f64 == value).unwrap_or(0);
                (place as f64 + 0.5) / values.len().max(1) as f64
            }
        }
    }

    /// Where there are numbers: powers of ten, or all places.
    pub(super) fn ticks(&self) -> Vec<f64> {
        match self {
            Self::Places(values) => values.iter().map(|value| *value as f64).collect(),
            Self::Logarithmic { low, high } => {
                let powers = low.log10().ceil() as i32..=(high * 1.000_001).log10().floor() as i32;
                let powers: Vec<f64> = powers.map(|power| 10_f64.powi(power)).collect();
                // A short axis has numbers at its ends as well.
                let twos = |power: &f64| [*power, power * 2.0, power * 5.0];
                let all = || powers.iter().flat_map(twos).filter(|tick| tick <= high);
                if powers.len() > 2 { powers } else { all().collect() }
            }
        }
    }
}

/// A number as short as it can be said: 10 k, 2 M.
pub(super) fn short(value: f64) -> String {
    let (scaled, unit) = match value {
        1e9.. => (value / 1e9, " G"),
        1e6.. => (value / 1e6, " M"),
        1e3.. => (value / 1e3, " k"),
        _ => (value, ""),
    };
    // Powers of ten are not what they are called, in the last digit.
    format!("{}{unit}", (scaled * 1000.0).round() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_lie_side_by_side() {
        let scale = Scale::around([15.0, 900.0].into_iter());
        assert!((scale.place(100.0) - 0.5).abs() < 1e-9, "from 10 to 1000");
        assert_eq!(scale.ticks().into_iter().map(short).collect::<Vec<_>>(), ["10", "100", "1 k"]);
        assert_eq!(Scale::of([1_u64, 10, 200].into_iter()).ticks().len(), 3);
    }

    #[test]
    fn nothing_has_a_place_of_its_own() {
        let scale = Scale::of([0_u64, 1, 10, 100].into_iter());
        assert!((scale.place(0.0) - 0.125).abs() < 1e-9);
        assert_eq!(scale.ticks(), [0.0, 1.0, 10.0, 100.0]);
    }

    #[test]
    fn a_short_axis_has_more_numbers() {
        assert_eq!(Scale::of([1_u64, 64].into_iter()).ticks(), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
    }
}
