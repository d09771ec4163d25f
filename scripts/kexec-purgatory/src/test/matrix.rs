// SPDX-License-Identifier: GPL-2.0-only

//! The machines and kernels that the purgatory must work with, one boot for each.

use anyhow::Result;

use super::arm::Arm;
use super::boot::boot_all;
use super::boot::case::{Case, Expected, Target};
use super::{Kernels, Report, crashes, registers};
use crate::engines::EngineKind;
use crate::fetch::Release;
use crate::guest::Purpose;
use crate::hardware::Hardware;
use crate::kernel::{VERIFY_MODULE, Verify};

use Arm::{DirectConfig, DirectNoPolicy, VerifiedConfig, VerifiedCrash, VerifiedPolicy};
use EngineKind::Avx512X16;
use Expected::Decided;
use Purpose::{Crash, Enter};
use Target::{Compressed, Longer, Other, Own};
use Verify::{M, N, Y};

const UEFI: Hardware = Hardware {
    uefi: true,
    ..Hardware::USUAL
};

/// Page tables with five levels, which this machine's own processor may lack.
const FIVE_LEVELS: Hardware = Hardware {
    emulated: true,
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
    Case::new("matrix/uefi-verified", Y, Enter, Decided(VerifiedConfig)).hardware(UEFI)
        .target(Own),
    Case::new("matrix/uefi-direct", N, Enter, Decided(DirectConfig)).hardware(UEFI).target(Own),
    Case::new("matrix/uefi-crash", Y, Crash, Decided(VerifiedCrash)).hardware(UEFI).target(Own),
    Case::new("matrix/uefi-m", M, Enter, Decided(VerifiedPolicy))
        .modules(&[VERIFY_MODULE]).hardware(UEFI).target(Own),
    Case::new("matrix/paging-4", Y, Enter, Decided(VerifiedConfig))
        .hardware(FOUR_LEVELS).levels(4, 4),
    Case::new("matrix/paging-4-direct", N, Enter, Decided(DirectConfig)).hardware(FOUR_LEVELS)
        .levels(4, 4),
    Case::new("matrix/paging-4-crash", Y, Crash, Decided(VerifiedCrash)).hardware(FOUR_LEVELS)
        .levels(4, 4),
    Case::new("matrix/paging-5", Y, Enter, Decided(VerifiedConfig))
        .hardware(FIVE_LEVELS).levels(5, 5),
    Case::new("matrix/paging-5-to-4", Y, Enter, Decided(VerifiedConfig))
        .hardware(FIVE_LEVELS).next_arguments("no5lvl").levels(5, 4),
    Case::new("matrix/paging-5-to-4-direct", N, Enter, Decided(DirectConfig))
        .hardware(FIVE_LEVELS).next_arguments("no5lvl").levels(5, 4),
    Case::new("matrix/paging-5-to-4-m", M, Enter, Decided(VerifiedPolicy))
        .modules(&[VERIFY_MODULE]).hardware(FIVE_LEVELS).next_arguments("no5lvl")
        .levels(5, 4),
    Case::new("matrix/paging-5-to-4-crash", Y, Crash, Decided(VerifiedCrash))
        .hardware(FIVE_LEVELS).next_arguments("no5lvl").levels(5, 4),
    Case::new("matrix/paging-4-to-5", Y, Enter, Decided(VerifiedConfig))
        .hardware(FIVE_LEVELS).arguments("no5lvl").levels(4, 5),
    Case::new("matrix/paging-4-to-5-direct", N, Enter, Decided(DirectConfig))
        .hardware(FIVE_LEVELS).arguments("no5lvl").levels(4, 5),
    Case::new("matrix/paging-4-to-5-crash", Y, Crash, Decided(VerifiedCrash))
        .hardware(FIVE_LEVELS).arguments("no5lvl").levels(4, 5),
    Case::new("matrix/nokaslr", Y, Enter, Decided(VerifiedConfig)).arguments("nokaslr")
        .kaslr(0, 1),
    Case::new("matrix/nokaslr-next", Y, Enter, Decided(VerifiedConfig))
        .next_arguments("nokaslr").kaslr(1, 0),
    Case::new("matrix/nokaslr-direct", N, Enter, Decided(DirectConfig)).arguments("nokaslr")
        .next_arguments("nokaslr").kaslr(0, 0),
    Case::new("matrix/nokaslr-crash", N, Crash, Decided(VerifiedCrash)).arguments("nokaslr")
        .kaslr(0, 1),
    Case::new("matrix/1-processor", Y, Enter, Decided(VerifiedConfig))
        .hardware(processors(1)).processors(1, 1),
    Case::new("matrix/1-processor-direct", N, Enter, Decided(DirectConfig))
        .hardware(processors(1)).processors(1, 1),
    Case::new("matrix/1-processor-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(1)).processors(1, 1),
    Case::new("matrix/4-processors", Y, Enter, Decided(VerifiedConfig))
        .hardware(processors(4)).processors(4, 4),
    Case::new("matrix/4-processors-direct", N, Enter, Decided(DirectConfig))
        .hardware(processors(4)).processors(4, 4),
    Case::new("matrix/4-processors-m", M, Enter, Decided(DirectNoPolicy))
        .hardware(processors(4)).processors(4, 4),
    Case::new("matrix/4-processors-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(4)).processors(4, 1),
    // Processors that the first kernel does not start.
    Case::new("matrix/nr_cpus", Y, Enter, Decided(VerifiedConfig))
        .hardware(processors(4)).arguments("nr_cpus=2").processors(2, 4),
    // Without no_ipi_broadcast=1, the machine is reset, see the crashes "broadcast".
    Case::new("matrix/nr_cpus-crash", N, Crash, Decided(VerifiedCrash))
        .hardware(processors(4)).arguments("nr_cpus=2 no_ipi_broadcast=1")
        .processors(2, 1),
    Case::new("matrix/6-gib", Y, Enter, Decided(VerifiedConfig)).hardware(LARGE).high(),
    Case::new("matrix/6-gib-direct", N, Enter, Decided(DirectConfig)).hardware(LARGE)
        .high(),
    Case::new("matrix/6-gib-m", M, Enter, Decided(VerifiedPolicy))
        .modules(&[VERIFY_MODULE]).hardware(LARGE).high(),
    Case::new("matrix/6-gib-crash", Y, Crash, Decided(VerifiedCrash)).hardware(LARGE),
    Case::new("matrix/6-gib-crash-high", Y, Crash, Decided(VerifiedCrash))
        .hardware(LARGE).arguments("crashkernel=320M,high").high(),
    Case::new("matrix/image-16-mib", Y, Enter, Decided(VerifiedConfig)).payload(0),
    Case::new("matrix/image-256-mib", Y, Enter, Decided(VerifiedConfig))
        .payload(240 * MIB).hardware(LARGE),
    Case::new("matrix/image-1-gib", Y, Enter, Decided(VerifiedConfig))
        .payload(1008 * MIB).hardware(LARGE),
    Case::new("matrix/image-1-gib-direct", N, Enter, Decided(DirectConfig))
        .payload(1008 * MIB).hardware(LARGE),
    Case::new("matrix/image-1-gib-m", M, Enter, Decided(VerifiedPolicy))
        .modules(&[VERIFY_MODULE]).payload(1008 * MIB).hardware(LARGE),
    // In Bochs, because QEMU has no such processor.
    Case::new("matrix/avx512-x16", Y, Enter, Decided(VerifiedConfig)).picking(Avx512X16),
    Case::new("matrix/avx512-x16-crash", N, Crash, Decided(VerifiedCrash))
        .picking(Avx512X16),
    Case::new("matrix/own", Y, Enter, Decided(VerifiedConfig)).target(Own).processors(2, 2),
    Case::new("matrix/own-direct", N, Enter, Decided(DirectConfig)).target(Own),
    Case::new("matrix/own-crash", N, Crash, Decided(VerifiedCrash)).target(Own),
    Case::new("matrix/bzip2", Y, Enter, Decided(VerifiedConfig)).target(Compressed("BZIP2")),
    Case::new("matrix/lzma", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZMA")),
    Case::new("matrix/xz", Y, Enter, Decided(VerifiedConfig)).target(Compressed("XZ")),
    Case::new("matrix/lzo", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZO")),
    Case::new("matrix/lz4", Y, Enter, Decided(VerifiedConfig)).target(Compressed("LZ4")),
    Case::new("matrix/zstd", Y, Enter, Decided(VerifiedConfig)).target(Compressed("ZSTD")),
    Case::new("matrix/zstd-direct", N, Enter, Decided(DirectConfig))
        .target(Compressed("ZSTD")),
    Case::new("matrix/longer", Y, Enter, Decided(VerifiedConfig)).target(Longer),
    Case::new("matrix/debian-7.2", Y, Enter, Decided(VerifiedConfig))
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-7.2-direct", N, Enter, Decided(DirectConfig))
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-7.2-crash", N, Crash, Decided(VerifiedCrash))
        .target(Other(&DEBIAN_7_2)),
    Case::new("matrix/debian-6.12", Y, Enter, Decided(VerifiedConfig))
        .target(Other(&DEBIAN_6_12)),
    Case::new("matrix/debian-6.12-direct", N, Enter, Decided(DirectConfig))
        .target(Other(&DEBIAN_6_12)),
    Case::new("matrix/debian-6.12-crash", N, Crash, Decided(VerifiedCrash))
        .target(Other(&DEBIAN_6_12)),
];

/// The rows. The project's own program loads the images, so that the purgatory says what it did.
fn rows() -> impl Iterator<Item = Case> {
    ROWS.iter().cloned().map(Case::debug)
}

/// One row of each kind. Every run of the tests has them.
const FEW: &[&str] = &[
    "matrix/uefi-verified",
    "matrix/paging-5-to-4",
    "matrix/nokaslr-direct",
    "matrix/1-processor",
    "matrix/4-processors-crash",
    "matrix/6-gib",
    "matrix/image-256-mib",
    "matrix/avx512-x16",
    "matrix/longer",
    "matrix/debian-6.12",
];

/// The rows of [`FEW`], in a group of their own.
fn few() -> Vec<Case> {
    let renamed = |name: &&str| {
        let (_, row) = name.split_once('/')?;
        let case = rows().find(|case| case.name == *name)?;
        Some(case.named(format!("machines/{row}")))
    };
    FEW.iter().filter_map(renamed).collect()
}

pub fn few_names() -> Vec<String> {
    few().iter().flat_map(Case::names).collect()
}

pub fn run_few(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    boot_all(kernels, report, &few());
    Ok(())
}

pub fn names() -> Vec<String> {
    let rows: Vec<String> = rows().flat_map(|case| case.names()).collect();
    rows.into_iter()
        .chain(registers::names_in_bochs())
        .chain(crashes::context_names())
        .collect()
}

pub fn run(kernels: &mut Kernels, report: &mut Report) -> Result<()> {
    boot_all(kernels, report, &rows().collect::<Vec<_>>());
    registers::run_in_bochs(kernels, report)?;
    crashes::run_contexts(kernels, report)
}

#[cfg(test)]
mod tests {
    use super::{FEW, few};

    #[test]
    fn each_of_the_few_is_a_row() {
        assert_eq!(few().len(), FEW.len());
    }
}
