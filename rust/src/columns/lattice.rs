//! The lattice of patterned Illumina flow cells: cluster coordinates are rounded points of a hexagonal lattice.
//!
//! A point (kx, ky) with odd kx + ky lies near `offset + pitch * k` on each axis; what rounding and the optics add is at
//! most one, and the same for all points of one k. So a tile stores k of each point, and for each k that
//! occurs what is to be added.

use std::collections::BTreeMap;

use super::ints;
use crate::error::{corrupt, Result};
use crate::stream::{Reader, Writer};

/// Fractional bits of offsets and pitches.
const POINT: u32 = 20;
const LARGEST: i64 = 1 << 20;

/// One axis of an instrument: coordinate of k = 0 and distance between neighbours.
struct Axis {
    offset: i64,
    pitch: i64,
}

const fn axis(offset: f64, pitch: f64) -> Axis {
    let one = (1u64 << POINT) as f64;
    Axis { offset: (offset * one) as i64, pitch: (pitch * one) as i64 }
}

/// x and y: NovaSeq 6000, HiSeq X.
const INSTRUMENTS: [[Axis; 2]; 2] = [
    [axis(999.9947, 9.0405267), axis(1015.9163, 15.6572687)],
    [axis(1009.8, 10.15), axis(1009.9, 17.58)],
];

impl Axis {
    fn at(&self, k: i64) -> i64 {
        (self.offset + k * self.pitch + (1 << (POINT - 1))) >> POINT
    }

    /// The nearest k.
    fn k(&self, coordinate: i64) -> i64 {
        ((coordinate << POINT) - self.offset + self.pitch / 2).div_euclid(self.pitch)
    }
}

/// Points as k, and by k what is to be added to the coordinate.
struct Fit {
    k: [Vec<i64>; 2],
    added: [BTreeMap<i64, i64>; 2],
}

fn fit(instrument: &[Axis; 2], x: &[i64], y: &[i64]) -> Option<Fit> {
    let mut fit = Fit { k: [Vec::new(), Vec::new()], added: [BTreeMap::new(), BTreeMap::new()] };
    for (&x, &y) in x.iter().zip(y) {
        let k = [instrument[0].k(x), instrument[1].k(y)];
        for (side, coordinate) in [x, y].into_iter().enumerate() {
            let add = coordinate - instrument[side].at(k[side]);
            let known = *fit.added[side].entry(k[side]).or_insert(add);
            if add != known || add.abs() > 1 {
                return None;
            }
            fit.k[side].push(k[side]);
        }
        if (k[0] + k[1]) & 1 == 0 {
            return None;
        }
    }
    Some(fit)
}

/// Write coordinates; false, and nothing written, where they lie on no known lattice.
pub fn write(out: &mut Writer, x: &[i64], y: &[i64]) -> bool {
    let in_range = |value: &i64| (0..LARGEST).contains(value);
    if !x.iter().chain(y).all(in_range) {
        return false;
    }
    let fits = INSTRUMENTS.iter().enumerate();
    let Some((number, fit)) = fits.filter_map(|(at, axes)| Some((at, fit(axes, x, y)?))).next()
    else {
        return false;
    };
    out.varint(number as u64);
    ints::write(out, &fit.k[0]);
    // The parity of ky follows from kx.
    ints::write(out, &fit.k[1].iter().map(|k| k >> 1).collect::<Vec<_>>());
    for added in fit.added {
        ints::write(out, &added.into_values().collect::<Vec<_>>());
    }
    true
}

/// Read `count` coordinates.
pub fn read(input: &mut Reader, count: usize) -> Result<[Vec<i64>; 2]> {
    let bad = || corrupt("cluster coordinates are damaged");
    let instrument = &INSTRUMENTS[input.count(INSTRUMENTS.len() - 1)?];
    let kx = ints::read(input, count)?;
    let halves = ints::read(input, count)?;
    if kx.iter().chain(&halves).any(|k| k.abs() > LARGEST) {
        return Err(bad());
    }
    let ky = kx.iter().zip(halves).map(|(kx, half)| 2 * half + i64::from(kx & 1 == 0)).collect();
    let mut coordinates = [kx, ky];
    for (values, axis) in coordinates.iter_mut().zip(instrument) {
        let mut added: BTreeMap<i64, i64> = values.iter().map(|&k| (k, 0)).collect();
        let stored = ints::read(input, added.len())?;
        added.values_mut().zip(stored).for_each(|(add, stored)| *add = stored);
        values.iter_mut().for_each(|k| *k = axis.at(*k).wrapping_add(added[k]));
    }
    Ok(coordinates)
}
