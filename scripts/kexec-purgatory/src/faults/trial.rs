// SPDX-License-Identifier: GPL-2.0-only

//! One machine on its way to the next kernel, with a fault or without: what is tried.

mod trial_run;

use super::damage_point::DamagePoint;
use super::fault_plan::Planned;
use super::handoff_record;
use super::purgatory_damage::{DAMAGES, PurgatoryDamage};
use super::stopped::NO_ENGINE;
use crate::guest::Purpose;

/// How many damaged normal images the running kernel must refuse to enter.
const REFUSALS: usize = 4;

/// What is tried.
#[derive(Clone, Copy, Debug)]
pub enum Trial {
    /// A fault in a verified image.
    Fault(Planned),
    /// An image that was loaded before and is not touched.
    Clean(DamagePoint),
    /// An image that is loaded and not touched, and whose kernel boots.
    CleanLoad(Purpose),
    /// The purgatory is told to verify what the kernel has loaded.
    Coverage(DamagePoint),
    /// A purgatory that is damaged itself.
    Purgatory {
        point: DamagePoint,
        damage: &'static PurgatoryDamage,
        panic: i32,
    },
    /// Damage where nothing is verified: after the part of the kernel that was loaded.
    Unverified(DamagePoint),
    /// A fault in an image that is entered directly.
    Direct(Planned),
    /// A fault in an image that the running kernel checks.
    AtRest(Planned),
    /// An image that the running kernel checks, and that was not touched.
    CleanAtRest(DamagePoint),
    /// A normal image that the running kernel checks before it enters it, and that was not touched.
    EnterChecked,
    /// A fault in a normal image that the running kernel checks before it enters it.
    Refused(Planned),
    /// A mismatch that is reported on an 8250 in memory.
    Mmio,
    /// A fault in a normal image that is loaded beside a crash image.
    Dump(Planned),
    /// The same with a fault in the crash image as well.
    NoDump(Planned),
    /// A fault in a normal image beside a crash image that is not entered, as its kernel uses CMA.
    CrashCma(Planned),
    /// A record that is damaged when the next kernel is entered.
    Record(&'static handoff_record::RecordDamage),
}

/// The group of checks by the running kernel, for reports. Images that are entered directly have no
/// engine.
fn checked(point: DamagePoint, engine: &str) -> String {
    match engine {
        NO_ENGINE => format!("checked direct {}", point.name()),
        _ => format!("checked {}", point.name()),
    }
}

/// How trials are counted.
#[derive(Clone, Copy, PartialEq)]
pub enum Class {
    Fault,
    Clean,
    Purgatory,
    Unverified,
    AtRest,
    CleanAtRest,
    Dump,
    NoDump,
    Record,
    Other,
}

/// Crash images and normal ones that are loaded, entered and booted.
pub fn clean(count: usize) -> impl Iterator<Item = Trial> {
    [Purpose::Crash, Purpose::Enter]
        .into_iter()
        .cycle()
        .take(count)
        .map(Trial::CleanLoad)
}

/// Trials that run once with each engine, whatever the number of faults.
pub fn fixed() -> Vec<Trial> {
    let mut trials = vec![
        Trial::Coverage(DamagePoint::CRASH_BEFORE_CHECK),
        Trial::Coverage(DamagePoint::NORMAL_BEFORE_CHECK),
        Trial::Unverified(DamagePoint::CRASH_AT_REST),
        Trial::Unverified(DamagePoint::NORMAL_BEFORE_CHECK),
        Trial::Mmio,
    ];
    trials.extend(DamagePoint::ALL.map(Trial::Clean));
    trials
}

/// Checks by the running kernel: `count` faults in an image of each of `points`, one image
/// without a fault for every four of them, and refusals to enter a normal image.
pub fn at_rest(faults: &[Planned], count: usize, points: &[DamagePoint]) -> Vec<Trial> {
    let mut trials = Vec::new();
    for &point in points {
        let at_rest = |planned: &Planned| Planned { point, ..*planned };
        let faults = faults.iter().cycle().take(count).map(at_rest);
        trials.extend(faults.clone().map(Trial::AtRest));
        trials.extend((0..count.div_ceil(4)).map(|_| Trial::CleanAtRest(point)));
        if point == DamagePoint::NORMAL_AT_REST {
            trials.extend(faults.take(REFUSALS).map(Trial::Refused));
            trials.push(Trial::EnterChecked);
        }
    }
    trials
}

/// Faults in normal images that are loaded beside a crash image: `count` of them that end in a
/// dump, and one with a damaged crash image for every four of these.
pub fn dumps(faults: &[Planned], count: usize) -> Vec<Trial> {
    let points = [
        DamagePoint::NORMAL_BEFORE_COPY,
        DamagePoint::NORMAL_BEFORE_CHECK,
    ];
    let mut faults = faults
        .iter()
        .cycle()
        .enumerate()
        .map(|(number, planned)| Planned {
            point: points[number % points.len()],
            ..*planned
        });
    let mut trials: Vec<Trial> = faults.by_ref().take(count).map(Trial::Dump).collect();
    trials.extend(faults.take(count.div_ceil(4)).map(Trial::NoDump));
    trials
}

/// Every damage to a record.
pub fn records() -> impl Iterator<Item = Trial> {
    handoff_record::DAMAGES.iter().map(Trial::Record)
}

/// Every damage to a purgatory, in a crash image or a normal one.
pub fn purgatory() -> impl Iterator<Item = Trial> {
    let points = [
        DamagePoint::CRASH_BEFORE_CHECK,
        DamagePoint::NORMAL_BEFORE_CHECK,
    ];
    DAMAGES
        .iter()
        .enumerate()
        .map(move |(number, damage)| Trial::Purgatory {
            point: points[number % 2],
            damage,
            panic: if number % 4 < 2 { 0 } else { -1 },
        })
}

impl Trial {
    pub fn name(&self) -> String {
        let planned_name = |planned: &Planned, how: &str| {
            let Planned { number, fault, .. } = planned;
            format!("{number}: {}, {how}: {fault}", planned.point.name())
        };
        let with_panic = |planned: &Planned, how: &str| {
            format!("{}, panic={}", planned_name(planned, how), planned.panic)
        };
        match self {
            Self::Fault(planned) | Self::Direct(planned) => format!(
                "{}: {}{}, engine {}: {}, panic={}",
                planned.number,
                if matches!(self, Self::Direct(_)) {
                    "direct "
                } else {
                    ""
                },
                planned.point.name(),
                planned.engine.name(),
                planned.fault,
                planned.panic
            ),
            Self::Clean(point) => format!("clean {}", point.name()),
            Self::CleanLoad(purpose) => format!("clean load of a {} image", purpose.name()),
            Self::Coverage(point) => format!("regions of a {}", point.name()),
            Self::Purgatory {
                point,
                damage,
                panic,
            } => format!(
                "purgatory of a {}: {}, panic={panic}",
                point.name(),
                damage.name
            ),
            Self::Unverified(point) => format!("tail of a {}", point.name()),
            Self::Mmio => "mismatch on an 8250 in memory".to_owned(),
            Self::Dump(planned) => planned_name(planned, "with a crash image"),
            Self::NoDump(planned) => with_panic(planned, "with a crash image that is damaged, too"),
            Self::CrashCma(planned) => with_panic(planned, "with crash memory in CMA"),
            Self::Record(damage) => format!("record for the next kernel: {}", damage.name),
            Self::AtRest(planned) => planned_name(planned, "checked"),
            Self::CleanAtRest(point) => format!("clean {}, checked", point.name()),
            Self::EnterChecked => "clean normal image, checked before it is entered".to_owned(),
            Self::Refused(planned) => planned_name(planned, "checked before it is entered"),
        }
    }

    /// The group that the trial belongs to, for reports.
    pub fn group(&self, engine: &str) -> String {
        match self {
            Self::Fault(planned) => format!("{}, {engine}", planned.point.name()),
            Self::Direct(_) => "direct image".to_owned(),
            Self::Clean(_) => format!("clean image, {engine}"),
            Self::CleanLoad(_) if engine == NO_ENGINE => "clean load, direct".to_owned(),
            Self::CleanLoad(_) => format!("clean load, {engine}"),
            Self::Coverage(_) => format!("regions, {engine}"),
            Self::Purgatory { .. } => "purgatory".to_owned(),
            Self::Unverified(..) => format!("what is not verified, {engine}"),
            Self::Mmio => format!("8250 in memory, {engine}"),
            Self::Dump(_) | Self::NoDump(_) => "mismatch with a crash image".to_owned(),
            Self::CrashCma(_) => "mismatch with crash memory in CMA".to_owned(),
            Self::Record(_) => "record".to_owned(),
            Self::AtRest(planned) | Self::Refused(planned) => checked(planned.point, engine),
            Self::CleanAtRest(point) => checked(*point, engine),
            Self::EnterChecked => checked(DamagePoint::NORMAL_AT_REST, engine),
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::Fault(_) | Self::CrashCma(_) => Class::Fault,
            Self::AtRest(_) | Self::Refused(_) => Class::AtRest,
            Self::CleanAtRest(_) | Self::EnterChecked => Class::CleanAtRest,
            Self::Clean(_) | Self::CleanLoad(_) => Class::Clean,
            Self::Purgatory { .. } => Class::Purgatory,
            Self::Unverified(..) | Self::Direct(_) => Class::Unverified,
            Self::Dump(_) => Class::Dump,
            Self::NoDump(_) => Class::NoDump,
            Self::Record(_) => Class::Record,
            Self::Coverage(_) | Self::Mmio => Class::Other,
        }
    }
}
