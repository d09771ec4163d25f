// SPDX-License-Identifier: GPL-2.0-only

//! The machines and kernels that the purgatory must work with, one boot for each.

use anyhow::Result;

use super::arm::Arm;
use super::boot::boot_all;
use super::boot::case::{Case, Expected, Target};
use super::passed::Passed;
use super::{Kernels, Report, crashes};
use crate::engines::EngineKind;
use crate::fetch::Release;
use crate::guest::Purpose;
use crate::hardware::Hardware;
use crate::kernel::Verify;

use Arm::{DirectConfig, VerifiedConfig, VerifiedCrash};
use EngineKind::Avx512X16;
use Expected::Decided;
use Purpose::{Crash, Enter};
use Target::{Compressed, Other, Own};
use Verify::{N, Y};

const UEFI: Hardware = Hardware {
    uefi: true,
    ..Hardware::USUAL
};

/// At most four levels of page tables.
const FOUR_LEVELS: Hardware = Hardware {
    without: ",-la57",
    ..Hardware::USUAL
};

const fn processors(processors: u32) -> Hardware {
    Hardware {
        processors,
        ..Hardware::USUAL
    }
}

/// More memory than fits below 4 GiB.
const LARGE: Hardware = Hardware {
    memory: 6 << 10,
    ..Hardware::USUAL
};

const MIB: u64 = 1 << 20;

/// Debian's older kernels.
const DEBIAN_7_2: Release = Release {
    series: "7.2",
    suite: "trixie-backports",
    package: "linux-binary-",
};
const DEBIAN_6_12: Release = Release {
    series: "6.12",
    suite: "trixie",
    package: "linux-image-",
};

#[rustfmt::skip] // a table
const ROWS: &[Case] = &[
    // This kernel has a file system for UEFI variables, for which it calls the firmware.
    Case::new("matrix/uefi-verified", Y, Enter, Decided(VerifiedConfig)).debug().hardware(UEFI)
        .target(Own),
    Case::new("matrix/uefi-direct", N, Enter, Decided(DirectConfig)).hardware(UEFI).target(Own),
    Case::new("matrix/uefi-crash", Y, Crash, Decided(VerifiedCrash)).debug().hardware(UEFI),
    // QEMU's processor has paging with five levels.
    Case::new("matrix/paging-4", Y, Enter, Decided(VerifiedConfig)).debug()
        .hardware(FOUR_LEVELS),
    Case::new("matrix/paging-4-direct", N, Enter, Decided(DirectConfig)).hardware(FOUR_LEVELS),
    Case::new("matrix/paging-4-crash", Y, Crash, Decided(VerifiedCrash)).hardware(FOUR_LEVELS),
    Case::new("matrix/paging-5-to-4", Y, Enter, Decided(VerifiedConfig)).debug()
        .next_arguments("no5lvl"),
    Case::new("matrix/paging-5-to-4-direct", N, Enter, Decided(DirectConfig))
        .next_arguments("no5lvl"),
    Case::new("matrix/paging-4-to-5", Y, Enter, Decided(VerifiedConfig)).debug()
        .arguments("no5lvl"),
    Case::new("matrix/paging-4-to-5-direct", N, Enter, Decided(DirectConfig)).arguments("no5lvl"),
    Case::new("matrix/paging-4-to-5-crash", Y, Crash, Decided(VerifiedCrash)).arguments("no5lvl"),
    Case::new("matrix/nokaslr", Y, Enter, Decided(VerifiedConfig)).debug().arguments("nokaslr"),
    Case::new("matrix/nokaslr-next", Y, Enter, Decided(VerifiedConfig)).debug()
        .next_arguments("nokaslr"),
    Case::new("matrix/nokaslr-direct", N, Enter, Decided(DirectConfig)).arguments("nokaslr")
        .next_arguments("nokaslr"),
    Case::new("matrix/nokaslr-crash", N, Crash, Decided(VerifiedCrash)).arguments("nokaslr"),
    Case::new("matrix/1-processor", Y, Enter, Decided(VerifiedConfig)).debug()
        .hardware(processors(1)),
    Case::new("matrix/1-processor-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(1)),
    Case::new("matrix/4-processors", Y, Enter, Decided(VerifiedConfig)).debug()
        .hardware(processors(4)),
    Case::new("matrix/4-processors-direct", N, Enter, Decided(DirectConfig))
        .hardware(processors(4)),
    Case::new("matrix/4-processors-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(4)),
    // Processors that the first kernel does not start.
    Case::new("matrix/nr_cpus", Y, Enter, Decided(VerifiedConfig)).debug()
        .hardware(processors(4)).arguments("nr_cpus=2"),
    // A broadcast would wake those that wait in SeaBIOS, whose memory the kernel uses by then. The
    // machine would be reset, as with a mainline kernel.
    Case::new("matrix/nr_cpus-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(4)).arguments("nr_cpus=2 no_ipi_broadcast=1"),
    Case::new("matrix/6-gib", Y, Enter, Decided(VerifiedConfig)).debug().hardware(LARGE),
    Case::new("matrix/6-gib-direct", N, Enter, Decided(DirectConfig)).hardware(LARGE),
    Case::new("matrix/6-gib-crash", Y, Crash, Decided(VerifiedCrash)).hardware(LARGE),
    Case::new("matrix/image-16-mib", Y, Enter, Decided(VerifiedConfig)).debug().payload(0),
    Case::new("matrix/image-256-mib", Y, Enter, Decided(VerifiedConfig)).debug()
        .payload(240 * MIB).hardware(LARGE),
    Case::new("matrix/image-1-gib", Y, Enter, Decided(VerifiedConfig)).debug()
        .payload(1008 * MIB).hardware(LARGE),
    Case::new("matrix/image-1-gib-direct", N, Enter, Decided(DirectConfig))
        .payload(1008 * MIB).hardware(LARGE),
    // In Bochs, because QEMU has no such processor.
    Case::new("matrix/avx512-x16", Y, Enter, Decided(VerifiedConfig)).debug().picking(Avx512X16),
    Case::new("matrix/avx512-x16-crash", N, Crash, Decided(VerifiedCrash)).debug()
        .picking(Avx512X16),
    Case::new("matrix/own", Y, Enter, Decided(VerifiedConfig)).debug().target(Own),
    Case::new("matrix/own-direct", N, Enter, Decided(DirectConfig)).target(Own),
    Case::new("matrix/own-crash", N, Crash, Decided(VerifiedCrash)).target(Own),
    Case::new("matrix/bzip2", Y, Enter, Decided(VerifiedConfig)).target(Compressed("BZIP2")),
    Case::new("matrix/lzma", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZMA")),
    Case::new("matrix/xz", Y, Enter, Decided(VerifiedConfig)).target(Compressed("XZ")),
    Case::new("matrix/lzo", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZO")),
    Case::new("matrix/lz4", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZ4")),
    Case::new("matrix/zstd", Y, Enter, Decided(VerifiedConfig)).target(Compressed("ZSTD")),
    Case::new("matrix/debian-7.2", Y, Enter, Decided(VerifiedConfig)).debug()
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-7.2-direct", N, Enter, Decided(DirectConfig))
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-7.2-crash", N, Crash, Decided(VerifiedCrash))
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-6.12", Y, Enter, Decided(VerifiedConfig)).debug()
        .target(Other(&DEBIAN_6_12)),
    Case::new("matrix/debian-6.12-direct", N, Enter, Decided(DirectConfig))
        .target(Other(&DEBIAN_6_12)),
    Case::new("matrix/debian-6.12-crash", N, Crash, Decided(VerifiedCrash))
        .target(Other(&DEBIAN_6_12)),
];

/// One row of each kind, which is part of every run of the tests as well.
const FEW: &[&str] = &[
    "uefi-verified",
    "paging-5-to-4",
    "nokaslr-direct",
    "4-processors-crash",
    "6-gib",
    "zstd",
    "debian-6.12",
];

fn few() -> Vec<Case> {
    let named = |name: &&str| {
        let of_matrix = format!("matrix/{name}");
        let row = ROWS.iter().find(|row| row.name == of_matrix)?;
        Some(row.clone().named(format!("machines/{name}")))
    };
    FEW.iter().filter_map(named).collect()
}

pub fn few_names() -> Vec<String> {
    few().iter().flat_map(Case::names).collect()
}

pub fn run_few(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    boot_all(kernels, report, &few());
    Ok(())
}

pub fn names() -> Vec<String> {
    let rows = ROWS.iter().flat_map(Case::names);
    rows.chain(crashes::context_names()).collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    if names().iter().all(|name| report.wants(name)) {
        report.resume(Passed::of(kernels.layout, "matrix")?, &names());
    }
    boot_all(kernels, report, ROWS);
    crashes::run_contexts(kernels, report)?;
    report.ran(&names())
}

#[cfg(test)]
mod tests {
    use super::{FEW, few};

    #[test]
    fn each_of_the_few_is_a_row() {
        assert_eq!(few().len(), FEW.len());
    }
}
