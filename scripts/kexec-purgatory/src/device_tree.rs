// SPDX-License-Identifier: GPL-2.0-only

//! Gives a kernel that QEMU boots a device tree. QEMU's own option does not reach the kernel.

use anyhow::Result;
use vm_fdt::FdtWriter;

use crate::bzimage::{BzImage, SETUP_DATA};

/// The model in the device tree.
pub const MODEL: &str = "kexec-purgatory,guest";

/// The type of a `struct setup_data`, see arch/x86/include/uapi/asm/setup_data.h.
const SETUP_DTB: u32 = 2;

const ALIGNMENT: usize = 16;

/// Where QEMU loads what follows the setup sectors, as a physical address. The kernel moves itself
/// to a higher address, and leaves what follows it there.
const LOADED_AT: u64 = 1 << 20;

/// Appends a `struct setup_data` with a device tree to a bzImage, and makes its header refer to it.
/// The tree has nothing but the [`MODEL`].
pub fn append_to(kernel: &mut Vec<u8>) -> Result<()> {
    let setup = BzImage::parse(kernel)?.setup_size();
    let tree = tree()?;

    let offset = kernel.len().next_multiple_of(ALIGNMENT);
    kernel.resize(offset, 0);
    let address = LOADED_AT + (offset - setup) as u64;
    let none = 0_u64;
    kernel.extend(none.to_le_bytes());
    kernel.extend(SETUP_DTB.to_le_bytes());
    kernel.extend(u32::try_from(tree.len())?.to_le_bytes());
    kernel.extend(tree);
    kernel[SETUP_DATA..][..8].copy_from_slice(&address.to_le_bytes());
    Ok(())
}

fn tree() -> Result<Vec<u8>> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("model", MODEL)?;
    tree.end_node(root)?;
    Ok(tree.finish()?)
}

#[cfg(test)]
mod tests {
    use super::append_to;

    #[test]
    fn the_header_refers_to_the_tree() {
        // One setup sector besides the boot sector, and 100 bytes of code.
        let mut kernel = vec![0; 1024 + 100];
        kernel[0x1f1] = 1;
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        append_to(&mut kernel).unwrap();
        assert_eq!(kernel[0x250..0x258], 0x10_0070_u64.to_le_bytes());
        assert_eq!(kernel[1024 + 0x70 + 8..][..4], 2_u32.to_le_bytes());
        // The magic number of a device tree.
        assert_eq!(
            kernel[1024 + 0x70 + 16..][..4],
            0xd00d_feed_u32.to_be_bytes()
        );
        assert!(append_to(&mut Vec::new()).is_err());
    }
}
