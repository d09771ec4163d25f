// SPDX-License-Identifier: GPL-2.0-only

//! The parts of a bzImage, see Documentation/arch/x86/boot.rst.

use anyhow::{Context, Result, ensure};

/// Offset of the field `setup_data`, the physical address of a list.
pub const SETUP_DATA: usize = 0x250;

/// Offsets of other fields of `struct setup_header`.
const SETUP_SECTS: usize = 0x1f1;
const HEADER: usize = 0x202;
const KERNEL_VERSION: usize = 0x20e;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const INIT_SIZE: usize = 0x260;

/// What `kernel_version` is relative to.
const SECOND_SECTOR: usize = 0x200;

/// Offset of the 64-bit entry point in the part that is entered.
pub const ENTRY_OFFSET: u64 = 0x200;

const SECTOR: usize = 512;
const MAGIC: &[u8] = b"HdrS";

/// A bzImage, of which the setup sectors are complete.
pub struct BzImage<'a>(&'a [u8]);

impl<'a> BzImage<'a> {
    pub fn parse(file: &'a [u8]) -> Result<Self> {
        let image = Self(file);
        let magic = file.get(HEADER..HEADER + MAGIC.len());
        ensure!(
            magic == Some(MAGIC) && file.len() >= image.setup_size(),
            "no bzImage"
        );
        Ok(image)
    }

    /// Bytes before [`Self::kernel`].
    pub fn setup_size(&self) -> usize {
        let sectors = match self.0[SETUP_SECTS] {
            0 => 4,
            sectors => usize::from(sectors),
        };
        (sectors + 1) * SECTOR
    }

    /// The part that is entered in protected or long mode.
    pub fn kernel(&self) -> &'a [u8] {
        &self.0[self.setup_size()..]
    }

    /// Bytes of memory that the kernel needs to decompress itself.
    pub fn init_size(&self) -> Result<usize> {
        self.number(INIT_SIZE)
    }

    /// The compressed kernel with what the build appended to it: its decompressed size, 4 bytes.
    pub fn payload(&self) -> Result<&'a [u8]> {
        let (offset, length) = (self.number(PAYLOAD_OFFSET)?, self.number(PAYLOAD_LENGTH)?);
        self.kernel()
            .get(offset..)
            .and_then(|rest| rest.get(..length))
            .context("the payload is not in the bzImage")
    }

    /// What `uname -r` says on it.
    pub fn release(&self) -> Result<String> {
        let offset = self.0.get(KERNEL_VERSION..).and_then(<[u8]>::first_chunk);
        let offset = usize::from(u16::from_le_bytes(*offset.context("no version")?));
        let text = self.0.get(offset + SECOND_SECTOR..);
        let release = text
            .context("no version")?
            .split(|byte| byte.is_ascii_whitespace() || *byte == 0)
            .next()
            .unwrap_or_default();
        Ok(String::from_utf8(release.to_vec())?)
    }

    fn number(&self, offset: usize) -> Result<usize> {
        let bytes = self.0.get(offset..).and_then(<[u8]>::first_chunk);
        let number = u32::from_le_bytes(*bytes.context("a short header")?);
        Ok(usize::try_from(number)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bzimage_is_cut_after_its_setup_sectors() {
        let mut file = vec![0; 4096];
        file[SETUP_SECTS] = 3;
        file[HEADER..HEADER + MAGIC.len()].copy_from_slice(MAGIC);
        file[INIT_SIZE..INIT_SIZE + 4].copy_from_slice(&0x5000_u32.to_le_bytes());
        file[KERNEL_VERSION] = 0x80;
        file[SECOND_SECTOR + 0x80..][..8].copy_from_slice(b"7.3.4 (u");
        file[4 * SECTOR] = 7;
        let image = BzImage::parse(&file).unwrap();
        assert_eq!((image.kernel().len(), image.kernel()[0]), (2048, 7));
        assert_eq!(image.init_size().unwrap(), 0x5000);
        assert_eq!(image.release().unwrap(), "7.3.4");
        assert!(BzImage::parse(&file[..0x250]).is_err());
        file[HEADER] = 0;
        assert!(BzImage::parse(&file).is_err());
    }
}
