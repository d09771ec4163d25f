// SPDX-License-Identifier: GPL-2.0-only

//! Checks of loaded images while they wait to be entered.
//!
//! A check compares the digests that [`crate::regions`] recorded.

mod comparison;

use comparison::{
    Comparison,
    Size, //
};
use kernel::{
    bindings,
    error::from_result,
    kexec::{
        self,
        PinnedImage, //
    },
    prelude::*, //
};

/// Size of the buffer for the result that sysfs shows, NUL included. The log has all of a longer
/// result.
const TEXT_SIZE: usize = bindings::KEXEC_CHECK_LEN as usize;

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// Any call is sound. The C declaration makes it an unsafe function.
#[export]
unsafe extern "C" fn kexec_purgatory_check(crash: bool) -> c_int {
    let image = if crash { "crash" } else { "normal" };

    from_result(|| {
        check(crash).inspect_err(|error| match *error {
            // The damage was logged already, or no image is loaded.
            EIO | ENOENT => {}
            EAGAIN => pr_info!("{image} image: check: ended, the image was replaced\n"),
            _ => pr_warn!("{image} image: check: not possible, {error:?}\n"),
        })?;
        Ok(0)
    })
}

/// C declaration and contract: `arch/x86/include/asm/kexec-loader.h`.
///
/// # Safety
///
/// As for [`kexec::LoadedImage::from_raw`]; `text` must be valid for writes of `size` bytes, and
/// `size` must not be 0.
#[cfg(CONFIG_KEXEC_PURGATORY_KUNIT_TEST)]
#[export]
unsafe extern "C" fn kexec_purgatory_check_image(
    image: *const kexec::RawImage,
    text: *mut c_char,
    size: usize,
) -> c_int {
    // SAFETY: By the safety requirements of this function.
    let (image, text) = unsafe {
        (
            kexec::LoadedImage::from_raw(image),
            core::slice::from_raw_parts_mut(text.cast::<u8>(), size),
        )
    };

    from_result(|| {
        let mut comparison = Comparison::new(Size::of(image))?;

        comparison.run(image, || false)?;
        comparison.write(text)?;
        comparison.log("test")?;
        Ok(0)
    })
}

/// Checks the crash image if `crash`, else the normal image; logs the result and shows it in sysfs.
fn check(crash: bool) -> Result {
    let size = Size::of(&*PinnedImage::new(crash)?);
    // Memory is allocated before the image is pinned, and the result is logged after: a load that
    // waits for the pin must not wait for memory or for a console.
    let mut comparison = Comparison::new(size)?;
    // An image that is gone now was unloaded, or memory hotplug is changing it.
    let image = PinnedImage::new(crash).map_err(|error| match error {
        ENOENT => EAGAIN,
        _ => error,
    })?;

    if Size::of(&image) != size {
        return Err(EAGAIN);
    }
    comparison.run(&image, || kexec::pin_ends(crash))?;

    let mut text = [0; TEXT_SIZE];
    comparison.write(&mut text)?;
    if let Ok(text) = CStr::from_bytes_until_nul(&text) {
        image.show_check(text);
    }
    drop(image);
    comparison.log(if crash { "crash" } else { "normal" })
}
