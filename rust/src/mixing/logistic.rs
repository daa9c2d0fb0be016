//! The logistic function and its inverse, in tables of integers.

use std::sync::LazyLock;

/// Stretched values have 8 fractional bits and lie within (-2048, 2048).
const HALF: i32 = 2048;
/// e^(1/256).
const STEP: f64 = 1.003_913_889_338_347_5;

/// The tables; the same on every machine, because only single IEEE products and quotients make them.
pub struct Logistic {
    /// 16-bit probability of a stretched value.
    squashed: [u16; 2 * HALF as usize],
    /// Stretched value of a 12-bit probability.
    stretched: [i16; 4096],
}

pub fn logistic() -> &'static Logistic {
    static TABLES: LazyLock<Logistic> = LazyLock::new(Logistic::new);
    &TABLES
}

impl Logistic {
    fn new() -> Self {
        let mut squashed = [0; 2 * HALF as usize];
        let mut power = 1.0;
        for x in 0..HALF {
            let probability = 65536.0 * power / (power + 1.0);
            squashed[(HALF + x) as usize] = (probability as u32).min(65535) as u16;
            squashed[(HALF - x) as usize] = (65536 - probability as u32) as u16;
            power *= STEP;
        }
        squashed[0] = squashed[1];
        let mut stretched = [0; 4096];
        let mut x = 0usize;
        for (probability, value) in stretched.iter_mut().enumerate() {
            while x < squashed.len() - 1 && usize::from(squashed[x]) < probability * 16 + 8 {
                x += 1;
            }
            *value = (x as i32 - HALF) as i16;
        }
        Self { squashed, stretched }
    }

    /// 16-bit probability, never 0 or 65536.
    #[inline]
    pub fn squash(&self, x: i32) -> u32 {
        self.squashed[(x.clamp(1 - HALF, HALF - 1) + HALF) as usize].into()
    }

    /// Stretched value of a 12-bit probability.
    #[inline]
    pub fn stretch(&self, probability: u32) -> i32 {
        self.stretched[(probability & 4095) as usize].into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squash_undoes_stretch() {
        let tables = logistic();
        for probability in 8..4088 {
            let back = tables.squash(tables.stretch(probability)) as i32;
            assert!((back - probability as i32 * 16).abs() < 160, "{probability} {back}");
        }
        assert!(tables.squash(-9999) > 0 && tables.squash(9999) < 65536);
    }
}
