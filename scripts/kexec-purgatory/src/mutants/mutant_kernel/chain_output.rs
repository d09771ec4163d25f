// SPDX-License-Identifier: GPL-2.0-only

//! What a chain of kernels without a mutant prints.

use super::{ENGINE, FAILURES, SELFTESTS, SUITES};
use crate::expected::{ENTERED, UNKNOWN};
use crate::files;
use crate::guest;
use crate::kexec;
use crate::qemu::SerialLog;
use crate::test::arm::Arm;

/// Checks what the kernels of a guest printed; see `chain` in its `/init`.
pub fn check(log: &SerialLog) -> Result<(), String> {
    for line in log.lines().map(str::trim_start) {
        if let Some(failure) = FAILURES.iter().find(|failure| line.starts_with(**failure)) {
            return Err(match *failure {
                "not ok " => format!("KUnit: {line}"),
                _ => line.trim_start_matches("guest: ").to_owned(),
            });
        }
    }
    for suite in SUITES {
        let passed = |line: &str| line.starts_with("ok ") && line.ends_with(suite);
        if !log.lines().any(passed) {
            return Err(format!("KUnit: {suite} did not run"));
        }
    }
    let exits = log
        .lines()
        .filter(|line| *line == "guest: ktap exit 0")
        .count();
    if exits != SELFTESTS.len() {
        return Err(format!("{exits} kselftests passed"));
    }
    let mut rest: Vec<&str> = log
        .lines()
        .skip_while(|line| !line.starts_with("guest: chain "))
        .collect();
    rest.reverse();
    facts().iter().try_for_each(|fact| fact.find(&mut rest))
}

/// What a chain of kernels must print, in this order.
enum Fact {
    /// A line.
    Line(String),
    /// The decision to verify an image of that kind, in this many regions, and the purgatory's line
    /// that says that it did.
    Verified(&'static str, u32),
    /// A line that begins like this, with no line of a purgatory before it.
    Direct(&'static str),
    /// The beginning of a line.
    Begin(&'static str),
    /// What a kernel says about how it was entered: a part of the line, which ends with the time.
    Entered(String),
}

fn facts() -> Vec<Fact> {
    let payload = guest::small_payload();
    let arrived = format!(
        "guest: chain arrived {} {}",
        payload.len(),
        files::checksum_of_bytes(&payload)
    );
    let direct = Arm::DirectNoPolicy.text();
    vec![
        Fact::Line(format!("guest: chain {UNKNOWN}")),
        Fact::Line(format!("kexec: normal image: {direct}")),
        Fact::Line(format!("guest: chain {direct}")),
        Fact::Direct("Linux version "),
        Fact::Entered(format!(": {direct}: ")),
        Fact::Line(arrived.clone()),
        Fact::Verified("normal", 3),
        Fact::Entered(": verified 3 regions, ".to_owned()),
        Fact::Line(arrived),
        Fact::Verified("crash", 4),
        Fact::Entered(": verified 4 regions, ".to_owned()),
        Fact::Begin("guest: vmcore "),
        Fact::Line("guest: finished".to_owned()),
    ]
}

impl Fact {
    /// Searches for it in `lines`, whose last one comes first, and removes the lines up to it.
    fn find(&self, lines: &mut Vec<&str>) -> Result<(), String> {
        match self {
            Self::Line(text) => take(lines, |line| line == text).ok_or(format!("no line '{text}'")),
            Self::Begin(text) => {
                take(lines, |line| line.starts_with(text)).ok_or(format!("no line '{text}'"))
            }
            Self::Entered(text) => take(lines, |line| {
                line.starts_with(ENTERED)
                    && line.contains(text)
                    && line.ends_with(" ms since machine_kexec()")
            })
            .ok_or(format!("the next kernel does not tell '{text}'")),
            Self::Direct(text) => {
                let is_next =
                    |line: &str| line.starts_with("purgatory: ") || line.starts_with(text);
                match take(lines, is_next) {
                    Some(line) if line.starts_with(text) => Ok(line),
                    Some(line) => Err(format!("the image is direct, but '{line}'")),
                    None => Err("no next kernel".to_owned()),
                }
            }
            Self::Verified(kind, regions) => verified(lines, kind, *regions),
        }
        .map(drop)
    }
}

/// Checks that an image was to be verified, according to the log and sysfs, and that the purgatory
/// did it. Returns the purgatory's line.
fn verified<'a>(lines: &mut Vec<&'a str>, kind: &str, regions: u32) -> Result<&'a str, String> {
    let image = format!("kexec: {kind} image: ");
    let read = |line: &str| kexec::to_verify(line.strip_prefix(&image)?);
    let work = take(lines, |line| read(line).is_some())
        .and_then(read)
        .ok_or(format!("no {kind} image is to be verified"))?;
    if work.regions != regions || work.engine != ENGINE.name() {
        return Err(format!(
            "{} regions are to be verified by {}",
            work.regions, work.engine
        ));
    }
    let decision = match kind {
        "crash" => Arm::VerifiedCrash,
        _ => Arm::VerifiedPolicy,
    };
    let decision = decision.text();
    for line in [
        format!("{image}{decision}"),
        format!("guest: chain {decision}"),
    ] {
        take(lines, |found| found == line).ok_or(format!("no line '{line}'"))?;
    }
    let said =
        take(lines, |line| line.starts_with("purgatory: ")).ok_or("the purgatory said nothing")?;
    let done = format!(
        "purgatory: verified {regions} regions, {} bytes, engine {},",
        work.bytes, work.engine
    );
    match said.starts_with(&done) {
        true => Ok(said),
        false => Err(said.to_owned()),
    }
}

/// Removes lines up to one for which `found` is true. Returns that line.
fn take<'a>(lines: &mut Vec<&'a str>, found: impl Fn(&str) -> bool) -> Option<&'a str> {
    while let Some(line) = lines.pop() {
        if found(line) {
            return Some(line);
        }
    }
    None
}
