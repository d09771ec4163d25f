#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# CONFIG_KEXEC_PURGATORY_VERIFY=m: modules that decide which images are verified
#
# Loads and unloads images and modules; enters no image. Needs root and kexec.
#
# Environment:
#   KEXEC_KERNEL  bzImage to load, default /boot/vmlinuz-$(uname -r)
#   KEXEC_INITRD  initramfs to load with it, default none; the sample decides
#                 against verification if it has more than 16 MiB
#   MODULES       directory with kexec_purgatory_verify.ko and rust_kexec_policy.ko,
#                 default: those that modprobe finds

KSFT_SKIP=4
SYSFS=/sys/kernel/kexec
KERNEL=${KEXEC_KERNEL:-/boot/vmlinuz-$(uname -r)}
count=0
failed=0

say() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count $2"
	else
		echo "not ok $count $2"
		failed=$((failed + 1))
	fi
}

skip_all() {
	echo "1..0 # SKIP $1"
	exit $KSFT_SKIP
}

# is FILE TEXT: tests that the file in sysfs holds the line TEXT
is() {
	found=$(cat "$SYSFS/$1")
	[ "$found" = "$2" ]
	say $? "$1 is '$2'"
	[ "$found" = "$2" ] || echo "# found '$found'"
}

module_in() {
	if [ -n "$MODULES" ]; then
		insmod "$MODULES/$1.ko" 2>/dev/null
	else
		modprobe "$1" 2>/dev/null
	fi
}

load() {
	kexec -s -l "$KERNEL" ${KEXEC_INITRD:+--initrd="$KEXEC_INITRD"} \
		--command-line=console=ttyS0 >/dev/null 2>&1
}

NO_MODULE="direct: KEXEC_PURGATORY_VERIFY=m and no policy module is loaded"

echo "TAP version 13"
[ "$(id -u)" -eq 0 ] || skip_all "must be root"
[ -e "$KERNEL" ] || skip_all "$KERNEL is missing, set KEXEC_KERNEL"
[ -e $SYSFS/verify_policy ] || skip_all "the kernel has no CONFIG_KEXEC_PURGATORY_RUST"

case $(cat $SYSFS/verify_policy) in
"policy: "*)
	skip_all "a policy module is loaded"
	;;
*KEXEC_PURGATORY_VERIFY=[yn])
	echo "1..1"
	# Such a build does not make the module; MODULES may have one of another build.
	! module_in kexec_purgatory_verify && { [ -z "$MODULES" ] ||
		dmesg | grep -q 'Unknown symbol kexec_purgatory_policy_register'; }
	say $? "a kernel built y or n refuses the module"
	exit $failed
	;;
esac

# How many tests follow; two of them depend on the environment.
planned=21
large=0
if [ -n "$KEXEC_INITRD" ] && [ "$(wc -c <"$KEXEC_INITRD")" -gt $((16 << 20)) ]; then
	large=1
fi
reserved=$(cat $SYSFS/crash_size)
[ $large -eq 1 ] && planned=$((planned + 1))
[ "$reserved" != 0 ] && planned=$((planned + 1))
echo "1..$planned"

is verify_policy "$NO_MODULE"
load
say $? "load an image"
is verify_loaded "$NO_MODULE"

module_in kexec_purgatory_verify
say $? "load kexec_purgatory_verify"
is verify_policy "policy: kexec_purgatory_verify"
is verify_loaded "$NO_MODULE"
load
is verify_loaded "verified: policy of kexec_purgatory_verify"

! module_in rust_kexec_policy
say $? "a second policy is refused"
is verify_policy "policy: kexec_purgatory_verify"

rmmod kexec_purgatory_verify
say $? "unload the module while an image is loaded"
is verify_policy "$NO_MODULE"
is verify_loaded "verified: policy of kexec_purgatory_verify"
load
is verify_loaded "$NO_MODULE"

module_in kexec_purgatory_verify
say $? "load the module again"
load
is verify_loaded "verified: policy of kexec_purgatory_verify"
rmmod kexec_purgatory_verify

module_in rust_kexec_policy
say $? "load the sample"
is verify_policy "policy: rust_kexec_policy"
if [ $large -eq 1 ]; then
	load
	is verify_loaded "direct: policy of rust_kexec_policy"
fi
KEXEC_INITRD="" load
is verify_loaded "verified: policy of rust_kexec_policy"
dmesg | grep -q 'rust_kexec_policy: .* BootParams, '
say $? "the policy sees which segment holds boot_params"

if [ "$reserved" != 0 ]; then
	kexec -s -p "$KERNEL" ${KEXEC_INITRD:+--initrd="$KEXEC_INITRD"} \
		--command-line=console=ttyS0 >/dev/null 2>&1
	is verify_crash "verified: crash image"
	kexec -s -p -u >/dev/null 2>&1
fi
rmmod rust_kexec_policy

# Unload the module during a load: the image gets either decision, and nothing crashes.
left=0
for _ in 1 2 3 4 5; do
	kexec -s -u
	module_in kexec_purgatory_verify || left=1
	KEXEC_INITRD="" load &
	pid=$!
	rmmod kexec_purgatory_verify || left=1
	wait $pid || left=1
	case $(cat $SYSFS/verify_loaded) in
	"$NO_MODULE" | "verified: policy of kexec_purgatory_verify") ;;
	*)
		left=1
		echo "# unload during a load leaves '$(cat $SYSFS/verify_loaded)'"
		;;
	esac
	[ "$(cat $SYSFS/verify_policy)" = "$NO_MODULE" ] || left=1
done
say $left "unload the module during a load"

kexec -s -u
is verify_loaded none

[ "$failed" -eq 0 ]
