// SPDX-License-Identifier: GPL-2.0-only

//! Runs several pieces of work in turn, so that a disturbance of one disturbs all, and evaluates
//! the times.

use std::arch::x86_64::_rdtsc;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use super::present_memory;
use crate::progress::Step;

/// Some work that is measured.
pub struct Case<'a> {
    pub name: String,
    /// Bytes that one run of the work covers.
    pub bytes: usize,
    pub work: Box<dyn FnMut() + 'a>,
}

impl<'a> Case<'a> {
    pub fn new(name: impl Into<String>, bytes: usize, work: impl FnMut() + 'a) -> Self {
        Self {
            name: name.into(),
            bytes,
            work: Box::new(work),
        }
    }
}

/// How long each run took, in the order of the rounds.
///
/// Only the time in which this process had the processor counts: other load on the machine would
/// lengthen long runs more than short ones.
#[derive(Default, Serialize)]
pub struct Samples {
    pub bytes: usize,
    pub seconds: Vec<f64>,
}

/// The measurements, by name.
#[derive(Serialize)]
pub struct Measured {
    /// Frequency of the time stamp counter.
    pub tsc_hz: f64,
    /// Whether all memory was in large pages.
    #[serde(skip)]
    pub large_pages: bool,
    pub samples: BTreeMap<String, Samples>,
}

/// Does all work once to warm up, then `rounds` times in turn.
///
/// Each round has a different order, so that a piece does not always find in the caches what the
/// same other piece has left there. `before` runs before each piece, and is not measured.
pub fn interleaved(
    mut cases: Vec<Case<'_>>,
    before: impl Fn(),
    rounds: usize,
    step: &mut Step,
) -> Result<Measured> {
    let mut measured = BTreeMap::new();
    let mut order = Rng::with_seed(4);
    let (started, first) = (Instant::now(), time_stamp());
    for round in 0..=rounds {
        order.shuffle(&mut cases);
        for case in &mut cases {
            step.line(&format!("round {round} of {rounds}: {}", case.name));
            before();
            let start = processor_time()?;
            (case.work)();
            let seconds = processor_time()? - start;
            if round == 0 {
                continue;
            }
            let samples: &mut Samples = measured.entry(case.name.clone()).or_default();
            samples.bytes = case.bytes;
            samples.seconds.push(seconds.as_secs_f64());
        }
    }
    let ticks = time_stamp() - first;
    Ok(Measured {
        tsc_hz: ticks as f64 / started.elapsed().as_secs_f64(),
        large_pages: present_memory::is_large()?,
        samples: measured,
    })
}

fn time_stamp() -> u64 {
    // SAFETY: Every 64-bit processor has the instruction, and Linux allows user space to use it.
    unsafe { _rdtsc() }
}

/// How long this thread has had a processor so far.
fn processor_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::ThreadCPUTime).try_into()?)
}

/// The median of some figures, and how far they spread.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    pub median: f64,
    pub lower_quartile: f64,
    pub upper_quartile: f64,
    pub min: f64,
    pub max: f64,
}

impl Spread {
    /// None if there are no figures.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let last = figures.len().checked_sub(1)?;
        // Interpolates between the two neighbors of a fractional position.
        let at = |part: f64| {
            let place = last as f64 * part;
            let (below, above) = (
                figures[place.floor() as usize],
                figures[place.ceil() as usize],
            );
            below + (above - below) * place.fract()
        };
        Some(Self {
            median: at(0.5),
            lower_quartile: at(0.25),
            upper_quartile: at(0.75),
            min: figures[0],
            max: figures[last],
        })
    }

    /// The distance of the quartiles, in percent of the median.
    pub fn percent(&self) -> f64 {
        (self.upper_quartile - self.lower_quartile) / self.median * 100.0
    }
}

impl Measured {
    fn of(&self, name: &str) -> Result<&Samples> {
        self.samples
            .get(name)
            .with_context(|| format!("{name} was not measured"))
    }

    /// Milliseconds per run.
    pub fn milliseconds(&self, name: &str) -> Result<Spread> {
        let seconds = self.of(name)?.seconds.iter();
        Spread::of(seconds.map(|seconds| seconds * 1e3)).context("no rounds")
    }

    /// Millions of bytes per second.
    pub fn speed(&self, name: &str) -> Result<Spread> {
        let samples = self.of(name)?;
        let bytes = samples.bytes as f64;
        let speeds = samples.seconds.iter().map(|seconds| bytes / seconds / 1e6);
        Spread::of(speeds).context("no rounds")
    }

    /// Cycles of the time stamp counter per byte.
    pub fn cycles_per_byte(&self, name: &str) -> Result<Spread> {
        let samples = self.of(name)?;
        let cycles = self.tsc_hz / samples.bytes as f64;
        Spread::of(samples.seconds.iter().map(|seconds| seconds * cycles)).context("no rounds")
    }

    /// How many times as long one takes as the other, in each round.
    pub fn ratio(&self, one: &str, other: &str) -> Result<Spread> {
        self.ratio_of(one, other, |_| 1.0)
    }

    /// How many times as long the fastest run of one takes as the fastest run of the other. Other
    /// load on the machine lengthens runs, most of all the long ones of mainline's code; the
    /// fastest runs are affected least.
    pub fn ratio_of_minima(&self, one: &str, other: &str) -> Result<f64> {
        Ok(self.milliseconds(one)?.min / self.milliseconds(other)?.min)
    }

    /// Like `ratio()`, for the time per byte.
    pub fn ratio_per_byte(&self, one: &str, other: &str) -> Result<Spread> {
        self.ratio_of(one, other, |samples| samples.bytes as f64)
    }

    fn ratio_of(&self, one: &str, other: &str, unit: fn(&Samples) -> f64) -> Result<Spread> {
        let (one, other) = (self.of(one)?, self.of(other)?);
        let units = unit(other) / unit(one);
        let rounds = one.seconds.iter().zip(&other.seconds);
        Spread::of(rounds.map(|(one, other)| one / other * units)).context("no rounds")
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[test]
    fn every_round_has_every_case_once_in_another_order() {
        let names = ["a", "b", "c", "d", "e"];
        let ran = RefCell::new(Vec::new());
        let case = |name| {
            let ran = &ran;
            Case::new(name, 1, move || ran.borrow_mut().push(name))
        };
        let cases = names.into_iter().map(case).collect();
        let measured = interleaved(cases, || {}, 3, &mut Step::start("test")).unwrap();
        for name in names {
            assert_eq!(measured.of(name).unwrap().seconds.len(), 3);
        }

        let ran = ran.into_inner();
        let (rounds, []) = ran.as_chunks::<5>() else {
            panic!("a round is not whole: {ran:?}");
        };
        assert_eq!(rounds.len(), 4);
        for round in rounds {
            let mut sorted = *round;
            sorted.sort_unstable();
            assert_eq!(sorted, names);
        }
        assert!(rounds.windows(2).any(|two| two[0] != two[1]));
    }

    #[test]
    fn a_spread_has_the_quartiles() {
        let spread = Spread::of([5.0, 1.0, 2.0, 4.0]).unwrap();
        assert_eq!((spread.min, spread.max), (1.0, 5.0));
        assert_eq!(spread.median, 3.0);
        assert_eq!((spread.lower_quartile, spread.upper_quartile), (1.75, 4.25));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        let samples = |bytes, seconds: &[f64]| Samples {
            bytes,
            seconds: seconds.to_vec(),
        };
        let measured = Measured {
            tsc_hz: 1e9,
            large_pages: true,
            samples: BTreeMap::from([
                ("slow".to_owned(), samples(20, &[8.0, 80.0, 800.0])),
                ("fast".to_owned(), samples(10, &[2.0, 20.0, 200.0])),
            ]),
        };
        let ratio = measured.ratio("slow", "fast").unwrap();
        assert_eq!((ratio.min, ratio.median, ratio.max), (4.0, 4.0, 4.0));
        assert_eq!(measured.ratio_per_byte("slow", "fast").unwrap().median, 2.0);
        assert_eq!(measured.ratio_of_minima("slow", "fast").unwrap(), 4.0);
        assert_eq!(measured.cycles_per_byte("slow").unwrap().min, 4e8);
        assert_eq!(measured.cycles_per_byte("fast").unwrap().min, 2e8);
        assert!(measured.ratio("slow", "absent").is_err());
    }
}
