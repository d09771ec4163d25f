// SPDX-License-Identifier: GPL-2.0-only

//! The machines and kernels that the purgatory must work with, one boot for each.

use super::boot::case::{Case, Target};
use crate::engines::EngineKind;
use crate::fetch::{self, Release};
use crate::kernel::Verify;
use crate::root;

use EngineKind::Avx512X16;
use Target::{Compressed, Longer, Other, Own};
use Verify::{M, N, Y};

/// The feature that page tables with five levels need, as [`Case::without`] takes it.
const FIVE_LEVELS: &str = ",-la57";

/// More memory than fits below 4 GiB, in MiB.
const LARGE: u64 = 6 << 10;

const MIB: u64 = 1 << 20;

/// Debian's older kernels.
const DEBIAN_7_2: Release = Release {
    series: "7.2",
    suite: fetch::SUITE,
    package: "linux-binary-",
};
const DEBIAN_6_12: Release = Release {
    series: "6.12",
    suite: root::SUITE,
    package: "linux-image-",
};

#[rustfmt::skip] // a table
const ROWS: &[Case] = &[
    // This kernel has a file system for UEFI variables, for which it calls the firmware.
    Case::enter("matrix/uefi-verified", Y).uefi().target(Own),
    Case::enter("matrix/uefi-direct", N).uefi().target(Own),
    Case::crash("matrix/uefi-crash", Y).uefi().target(Own),
    Case::policy("matrix/uefi-m", M).uefi().target(Own),
    Case::enter("matrix/paging-4", Y).without(FIVE_LEVELS).levels(4, 4),
    Case::enter("matrix/paging-4-direct", N).without(FIVE_LEVELS).levels(4, 4),
    Case::crash("matrix/paging-4-crash", Y).without(FIVE_LEVELS).levels(4, 4),
    Case::enter("matrix/paging-5", Y).emulated().levels(5, 5),
    Case::enter("matrix/paging-5-to-4", Y).emulated().next_arguments("no5lvl").levels(5, 4),
    Case::enter("matrix/paging-5-to-4-direct", N).emulated().next_arguments("no5lvl").levels(5, 4),
    Case::policy("matrix/paging-5-to-4-m", M).emulated().next_arguments("no5lvl").levels(5, 4),
    Case::crash("matrix/paging-5-to-4-crash", Y).emulated().next_arguments("no5lvl").levels(5, 4),
    Case::enter("matrix/paging-4-to-5", Y).emulated().arguments("no5lvl").levels(4, 5),
    Case::enter("matrix/paging-4-to-5-direct", N).emulated().arguments("no5lvl").levels(4, 5),
    Case::crash("matrix/paging-4-to-5-crash", Y).emulated().arguments("no5lvl").levels(4, 5),
    Case::enter("matrix/nokaslr", Y).arguments("nokaslr").kaslr(0, 1),
    Case::enter("matrix/nokaslr-next", Y).next_arguments("nokaslr").kaslr(1, 0),
    Case::enter("matrix/nokaslr-direct", N).arguments("nokaslr").next_arguments("nokaslr")
        .kaslr(0, 0),
    Case::crash("matrix/nokaslr-crash", N).arguments("nokaslr").kaslr(0, 1),
    Case::enter("matrix/1-processor", Y).smp(1).processors(1, 1),
    Case::enter("matrix/1-processor-direct", N).smp(1).processors(1, 1),
    Case::crash("matrix/1-processor-crash", N).smp(1).processors(1, 1),
    Case::enter("matrix/4-processors", Y).smp(4).processors(4, 4),
    Case::enter("matrix/4-processors-direct", N).smp(4).processors(4, 4),
    Case::enter("matrix/4-processors-m", M).smp(4).processors(4, 4),
    Case::crash("matrix/4-processors-crash", N).smp(4).processors(4, 1),
    // Processors that the first kernel does not start.
    Case::enter("matrix/nr_cpus", Y).smp(4).arguments("nr_cpus=2").processors(2, 4),
    // Without no_ipi_broadcast=1, the machine is reset, see the crashes "broadcast".
    Case::crash("matrix/nr_cpus-crash", N).smp(4).arguments("nr_cpus=2 no_ipi_broadcast=1")
        .processors(2, 1),
    Case::enter("matrix/6-gib", Y).memory(LARGE).high(),
    Case::enter("matrix/6-gib-direct", N).memory(LARGE).high(),
    Case::policy("matrix/6-gib-m", M).memory(LARGE).high(),
    Case::crash("matrix/6-gib-crash", Y).memory(LARGE),
    Case::crash("matrix/6-gib-crash-high", Y).memory(LARGE).arguments("crashkernel=320M,high")
        .high(),
    Case::enter("matrix/image-16-mib", Y).payload(0),
    Case::enter("matrix/image-256-mib", Y).payload(240 * MIB).memory(LARGE),
    Case::enter("matrix/image-1-gib", Y).payload(1008 * MIB).memory(LARGE),
    Case::enter("matrix/image-1-gib-direct", N).payload(1008 * MIB).memory(LARGE),
    Case::policy("matrix/image-1-gib-m", M).payload(1008 * MIB).memory(LARGE),
    // In Bochs, because QEMU has no such processor.
    Case::enter("matrix/avx512-x16", Y).picking(Avx512X16),
    Case::crash("matrix/avx512-x16-crash", N).picking(Avx512X16),
    Case::enter("matrix/own", Y).target(Own).processors(2, 2),
    Case::enter("matrix/own-direct", N).target(Own),
    Case::crash("matrix/own-crash", N).target(Own),
    Case::enter("matrix/bzip2", Y).target(Compressed("BZIP2")),
    Case::enter("matrix/lzma", Y).target(Compressed("LZMA")),
    Case::enter("matrix/xz", Y).target(Compressed("XZ")),
    Case::enter("matrix/lzo", Y).target(Compressed("LZO")),
    Case::enter("matrix/lz4", Y).target(Compressed("LZ4")),
    Case::enter("matrix/zstd", Y).target(Compressed("ZSTD")),
    Case::enter("matrix/zstd-direct", N).target(Compressed("ZSTD")),
    Case::enter("matrix/longer", Y).target(Longer),
    Case::enter("matrix/debian-7.2", Y).target(Other(&DEBIAN_7_2)),
    Case::enter("matrix/debian-7.2-direct", N).target(Other(&DEBIAN_7_2)),
    Case::crash("matrix/debian-7.2-crash", N).target(Other(&DEBIAN_7_2)),
    Case::enter("matrix/debian-6.12", Y).target(Other(&DEBIAN_6_12)),
    Case::enter("matrix/debian-6.12-direct", N).target(Other(&DEBIAN_6_12)),
    Case::crash("matrix/debian-6.12-crash", N).target(Other(&DEBIAN_6_12)),
];

/// The rows. The project's own program loads the images, so that the purgatory says what it did.
pub fn rows() -> Vec<Case> {
    ROWS.iter().cloned().map(Case::debug).collect()
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
pub fn few() -> Vec<Case> {
    let renamed = |name: &&str| {
        let (_, row) = name.split_once('/')?;
        let case = rows().into_iter().find(|case| case.name == *name)?;
        Some(case.named(format!("machines/{row}")))
    };
    FEW.iter().filter_map(renamed).collect()
}

#[cfg(test)]
mod tests {
    use super::{FEW, few};

    #[test]
    fn each_of_the_few_is_a_row() {
        assert_eq!(few().len(), FEW.len());
    }
}
