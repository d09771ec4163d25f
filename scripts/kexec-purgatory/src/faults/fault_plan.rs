// SPDX-License-Identifier: GPL-2.0-only

//! Chooses the faults to inject.

use fastrand::Rng;

use super::damage_point::DamagePoint;
use super::fault::{Fault, Kind, Place};
use crate::engines::EngineKind;

/// Regions that every image has: kernel, initramfs and boot_params.
const REGIONS: usize = 3;

/// How the machine must end after a mismatch: values of `panic=` that are used in turn.
const PANIC: &[i32] = &[0, -1, 0, -1, 0, -1, 0, -1, 0, 1];

/// One fault, and where, when and on which engine.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub number: usize,
    pub point: DamagePoint,
    pub engine: EngineKind,
    pub fault: Fault,
    /// `panic_timeout` of the kernel that is left, in seconds.
    pub panic: i32,
}

/// The endless sequence of faults of a seed.
///
/// Any 60 in a row have every kind at every place of every region, any 12 every point on every
/// engine, and any 720 every combination of all these. Every other choice is random.
pub fn plan(seed: u64, engines: &[EngineKind]) -> impl Iterator<Item = Planned> {
    let mut random = Rng::with_seed(seed);
    let mut deck: Vec<(Kind, Place, usize)> = (0..REGIONS)
        .flat_map(|region| Kind::ALL.map(|kind| Place::ALL.map(|place| (kind, place, region))))
        .flatten()
        .collect();
    random.shuffle(&mut deck);
    (0..).map(move |number| {
        let (kind, place, region) = deck[number % deck.len()];
        // Moves on by one in each round, so that a card meets another point and engine.
        let turn = number + number / deck.len();
        Planned {
            number,
            point: DamagePoint::ALL[turn % DamagePoint::ALL.len()],
            engine: engines[turn / DamagePoint::ALL.len() % engines.len()],
            fault: Fault {
                kind,
                place,
                region,
                seed: random.u64(..),
            },
            panic: PANIC[number % PANIC.len()],
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Planned, plan};
    use crate::engines::EngineKind;

    const ENGINES: &[EngineKind] = &[EngineKind::Scalar, EngineKind::ShaNiX4, EngineKind::Avx2X8];

    fn different(planned: impl Iterator<Item = Planned>, of: fn(&Planned) -> String) -> usize {
        planned
            .map(|planned| of(&planned))
            .collect::<BTreeSet<_>>()
            .len()
    }

    fn spot(planned: &Planned) -> String {
        format!("{} {}", planned.fault, planned.fault.region)
    }

    fn when(planned: &Planned) -> String {
        format!("{:?} {:?}", planned.point, planned.engine)
    }

    #[test]
    fn nothing_is_left_out() {
        assert_eq!(different(plan(1, ENGINES).take(60), spot), 60);
        assert_eq!(different(plan(1, ENGINES).take(12), when), 12);
        let both = |planned: &Planned| spot(planned) + &when(planned);
        assert_eq!(different(plan(1, ENGINES).take(720), both), 720);
    }

    #[test]
    fn a_seed_chooses() {
        let list = |seed| {
            plan(seed, ENGINES)
                .take(100)
                .map(|planned| format!("{planned:?}"))
                .collect::<Vec<_>>()
        };
        assert_eq!(list(7), list(7));
        assert_ne!(list(7), list(8));
    }
}
