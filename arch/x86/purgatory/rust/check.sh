#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Checks the linked purgatory: nothing relocates it, nothing is linked to it later, and the loader
# finds its header at offset 0.
#
# usage: check.sh READELF NM purgatory.elf

readelf=$1
nm=$2
elf=$3
status=0

# FILE_SIZE_MAX of abi.rs, which the linked image does not state.
file_size_max=$((32 * 1024))

complain() {
	echo "$elf: $*" >&2
	status=1
}

symbol() {
	"$nm" "$elf" | while read -r value _ name; do
		[ "$name" = "$1" ] && echo "0x$value"
	done
}

relocations=$("$readelf" -rW "$elf" | grep R_X86_64)
[ -z "$relocations" ] || complain "relocations are left:
$relocations"

undefined=$("$nm" -u "$elf")
[ -z "$undefined" ] || complain "undefined symbols:
$undefined"

for section in .zeroed .data .got .rela .init_array .tdata .tbss; do
	size=$("$readelf" -SW "$elf" | sed 's/^ *\[ *[0-9]*\] *//' |
		awk -v s="$section" '$1 == s { print $5 }')
	[ -z "$size" ] || [ "$((0x$size))" -eq 0 ] ||
		complain "section $section has $((0x$size)) bytes, must be empty"
done

panic=$("$nm" "$elf" | grep -i panic)
[ -z "$panic" ] || complain "panic paths:
$panic"

[ "$(($(symbol purgatory_header)))" -eq 0 ] || complain "the header is not at offset 0"
[ "$(($(symbol purgatory_file_end)))" -lt "$file_size_max" ] ||
	complain "has $(($(symbol purgatory_file_end))) bytes, must be less than $file_size_max"

exit $status
