// SPDX-License-Identifier: GPL-2.0-only

//! Running a trial.

use anyhow::{Context, Result, bail, ensure};

use crate::abi::{RESET_IO, RegionKind};
use crate::faults::at_rest;
use crate::faults::damage_point::{DamagePoint, Moment};
use crate::faults::dump;
use crate::faults::fault::{Change, Fault, damaged};
use crate::faults::handoff_record;
use crate::faults::mmio;
use crate::faults::outcome::{self, Outcome};
use crate::faults::purgatory_damage::{GuestPurgatory, PurgatoryDamage};
use crate::faults::stopped::{StoppedGuest, StoppedGuests};
use crate::machine::Machine;
use crate::machine::gdb::Space;
use crate::machine::guest_setup::GuestSetup;
use crate::machine::loaded::Segment;

use super::Trial;

/// How often to choose again if a fault would change nothing, such as zeroing a page of zeros.
const ATTEMPTS: u64 = 64;

/// The reset register of QEMU's `q35`, as its ACPI tables have it: space, address and value.
const RESET_REGISTER: (u32, u64, u32) = (RESET_IO, 0xcf9, 0xf);

/// What `kexec` prints for EIO, with which the kernel refuses to enter a damaged image.
const REFUSED: &str = "Input/output error";

/// The value of `panic=` in a machine that should not need it.
const KEEP_PANIC: i32 = -1;

impl Trial {
    /// Runs the trial; fails if it does not end as it should.
    pub fn run(&self, setup: &GuestSetup<'_>, guests: &StoppedGuests) -> Result<()> {
        match *self {
            Self::Fault(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, damaged) = choose(setup, guest, planned.fault)?;
                changed(setup, guest, &changes, planned.panic)?
                    .check_mismatch(&damaged, planned.panic)
                    .with_context(|| addresses(&changes))
            }
            Self::Direct(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, _) = choose(setup, guest, planned.fault)?;
                let outcome = changed(setup, guest, &changes, planned.panic)?;
                ensure!(
                    outcome.said.is_empty(),
                    "a purgatory said {:?}",
                    outcome.said
                );
                outcome.check_entered().with_context(|| addresses(&changes))
            }
            Self::Clean(point) => {
                let guest = guests.get(point)?;
                changed(setup, guest, &[], KEEP_PANIC)?.check_entered()
            }
            Self::CleanLoad(purpose) => {
                let mut machine = guests.ready.spawn()?;
                let image = setup.load(&mut machine, purpose)?;
                machine.type_line(purpose.enter_word())?;
                outcome::follow(&mut machine, image.entry()?)?.check_entered()?;
                setup.arrive(&mut machine)?;
                handoff_record::check(&machine.log(), guests.name)
            }
            Self::Dump(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, damaged) = choose(setup, guest, planned.fault)?;
                let mut machine = with_changes(guest, &changes)?;
                leave(&mut machine, guest)?;
                dump::check(&mut machine, &damaged).with_context(|| addresses(&changes))
            }
            Self::NoDump(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, mut damaged) = choose(setup, guest, planned.fault)?;
                let crash = guests.get(DamagePoint::CRASH_AT_REST)?;
                let (more, damaged_too) = choose(setup, crash, planned.fault)?;
                damaged.extend(damaged_too);
                let mut machine = with_changes(guest, &changes)?;
                for change in &more {
                    crash.write(&mut machine, change.address, &change.after)?;
                }
                set_panic(setup, &mut machine, guest, planned.panic)?;
                leave(&mut machine, guest)?;
                let outcome = outcome::follow(&mut machine, guest.image.entry()?)?;
                dump::check_entered(&outcome.said)?;
                outcome
                    .check_mismatch(&damaged, planned.panic)
                    .with_context(|| addresses(&[changes, more].concat()))
            }
            Self::CrashCma(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, damaged) = choose(setup, guest, planned.fault)?;
                let mut machine = with_changes(guest, &changes)?;
                set_panic(setup, &mut machine, guest, planned.panic)?;
                outcome::follow(&mut machine, guest.image.entry()?)?
                    .check_mismatch(&damaged, planned.panic)
                    .with_context(|| addresses(&changes))
            }
            Self::Record(damage) => {
                let guest = guests.get(DamagePoint::NORMAL_BEFORE_CHECK)?;
                let mut machine = guest.template.spawn()?;
                outcome::follow(&mut machine, guest.image.entry()?)?.check_entered()?;
                damage.apply(&mut machine)?;
                setup.arrive(&mut machine)?;
                damage.check(&machine.log())
            }
            Self::AtRest(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, damaged) = choose(setup, guest, planned.fault)?;
                let mut machine = with_changes(guest, &changes)?;
                at_rest::check(&mut machine, planned.point.purpose, &damaged)
                    .with_context(|| addresses(&changes))
            }
            Self::CleanAtRest(point) => {
                let mut machine = guests.get(point)?.template.spawn()?;
                at_rest::check(&mut machine, point.purpose, &[])
            }
            Self::EnterChecked => {
                let guest = guests.get(DamagePoint::NORMAL_AT_REST)?;
                let mut machine = guest.template.spawn()?;
                machine.type_line("enter-checked")?;
                outcome::follow(&mut machine, guest.image.entry()?)?.check_entered()?;
                ensure!(
                    machine
                        .log()
                        .lines()
                        .any(|line| line.contains(" image: check: ")
                            && line.ends_with(" bytes intact")),
                    "the image was entered unchecked"
                );
                Ok(())
            }
            Self::Refused(planned) => {
                let guest = guests.get(planned.point)?;
                let (changes, damaged) = choose(setup, guest, planned.fault)?;
                let mut machine = with_changes(guest, &changes)?;
                machine.type_line("enter-checked")?;
                machine.run_until("guest: refused")?;
                let log = machine.log();
                ensure!(
                    log.all_after("guest: kexec: ")
                        .any(|why| why.contains(REFUSED)),
                    "kexec does not say {REFUSED:?}\n{}",
                    log.tail()
                );
                at_rest::check_logged(&log, 0, planned.point.purpose, &damaged)?;
                // The guest keeps running.
                at_rest::check(&mut machine, planned.point.purpose, &damaged)
                    .with_context(|| addresses(&changes))
            }
            Self::Coverage(point) => coverage(setup, guests.get(point)?),
            Self::Purgatory {
                point,
                damage,
                panic,
            } => damaged_purgatory(setup, guests.get(point)?, damage, panic),
            Self::Unverified(point) => {
                let guest = guests.get(point)?;
                let address = guest.image.segment(RegionKind::Kernel)?.end();
                let before = guest.read(address, 1)?;
                let after = vec![!before[0]];
                let change = Change {
                    address,
                    before,
                    after,
                };
                changed(setup, guest, &[change], KEEP_PANIC)?.check_entered()
            }
            Self::Mmio => mmio::run(setup, guests),
        }
    }
}

/// Chooses the changes of a fault. If they have no effect, chooses others.
fn choose(
    setup: &GuestSetup<'_>,
    guest: &StoppedGuest,
    fault: Fault,
) -> Result<(Vec<Change>, Vec<Segment>)> {
    let regions = setup.regions(&guest.image);
    for attempt in 0..ATTEMPTS {
        let fault = Fault {
            seed: fault.seed.wrapping_add(attempt),
            ..fault
        };
        let changes = fault.changes(&regions, |address, length| guest.read(address, length))?;
        let damaged = damaged(&regions, &changes);
        if !damaged.is_empty() {
            return Ok((changes, damaged));
        }
    }
    bail!("no fault like this would change a byte")
}

/// Makes a machine from a guest, changes its image, and lets it run.
fn changed(
    setup: &GuestSetup<'_>,
    guest: &StoppedGuest,
    changes: &[Change],
    panic: i32,
) -> Result<Outcome> {
    let mut machine = with_changes(guest, changes)?;
    set_panic(setup, &mut machine, guest, panic)?;
    leave_out_crash_image(setup, &mut machine, guest)?;
    leave(&mut machine, guest)?;
    outcome::follow(&mut machine, guest.image.entry()?)
}

/// Makes a machine from a guest, and changes its image.
fn with_changes(guest: &StoppedGuest, changes: &[Change]) -> Result<Machine> {
    let mut machine = guest.template.spawn()?;
    for change in changes {
        guest.write(&mut machine, change.address, &change.after)?;
    }
    Ok(machine)
}

fn addresses(changes: &[Change]) -> String {
    let addresses: Vec<String> = changes
        .iter()
        .map(|change| format!("{:#x}", change.address))
        .collect();
    format!("changed at {}", addresses.join(", "))
}

/// Compares the regions that the purgatory is told to verify with the segments that the kernel has
/// loaded, and the reset register with that of the machine.
fn coverage(setup: &GuestSetup<'_>, guest: &StoppedGuest) -> Result<()> {
    let purgatory = GuestPurgatory::read(guest)?;
    let reset = purgatory.params.reset;
    let reset = (reset.space, reset.address, reset.value);
    ensure!(reset == RESET_REGISTER, "the reset register is {reset:x?}");
    let mut told = purgatory.regions()?;
    let mut wanted: Vec<_> = setup
        .regions(&guest.image)
        .iter()
        .map(|segment| (Some(segment.kind), segment.start, segment.length))
        .collect();
    told.sort_by_key(|region| region.1);
    wanted.sort_by_key(|region| region.1);
    ensure!(told == wanted, "verifies {told:x?} in place of {wanted:x?}");
    Ok(())
}

fn damaged_purgatory(
    setup: &GuestSetup<'_>,
    guest: &StoppedGuest,
    damage: &PurgatoryDamage,
    panic: i32,
) -> Result<()> {
    let mut purgatory = GuestPurgatory::read(guest)?;
    let before = purgatory.bytes();
    damage.apply(&mut purgatory);
    let change = Change {
        address: purgatory.base,
        before,
        after: purgatory.bytes(),
    };
    ensure!(change.before != change.after, "nothing was damaged");
    changed(setup, guest, &[change], panic)?.check_refused(damage.reason, panic)
}

/// Sets the value of `panic=` that the kernel that is left, or the purgatory, uses.
fn set_panic(
    setup: &GuestSetup<'_>,
    machine: &mut Machine,
    guest: &StoppedGuest,
    seconds: i32,
) -> Result<()> {
    match guest.point.moment {
        Moment::AtRest | Moment::BeforeCopy => {
            let address = setup.symbols.physical("panic_timeout")?;
            machine
                .gdb
                .write(Space::Physical, address, &seconds.to_le_bytes())
        }
        // The low half of the register has the value.
        Moment::BeforeCheck => {
            const PANIC_TIMEOUT: u64 = 0xffff_ffff;
            let rsi = machine.gdb.registers()?.get("rsi")? & !PANIC_TIMEOUT;
            machine
                .gdb
                .set_register("rsi", rsi | u64::from(seconds as u32))
        }
    }
}

/// Makes a mismatch end as if there were no crash image.
fn leave_out_crash_image(
    setup: &GuestSetup<'_>,
    machine: &mut Machine,
    guest: &StoppedGuest,
) -> Result<()> {
    match guest.point.moment {
        Moment::AtRest | Moment::BeforeCopy => {
            let address = setup.symbols.physical("kexec_mismatch_crash")?;
            machine.gdb.write(Space::Physical, address, &[0])
        }
        Moment::BeforeCheck => machine.gdb.set_register("rcx", 0),
    }
}

/// Types the command that makes a guest leave its kernel, unless it has left it already.
fn leave(machine: &mut Machine, guest: &StoppedGuest) -> Result<()> {
    if guest.point.moment == Moment::AtRest {
        machine.type_line(guest.point.purpose.enter_word())?;
    }
    Ok(())
}
