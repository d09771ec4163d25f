#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Checks that the linked purgatory has no relocations, no undefined symbols, no unexpected sections,
# no panic paths, its header at offset 0, and a size below the limit.
#
# usage: check.sh READELF NM purgatory.elf

readelf=$1
nm=$2
elf=$3
status=0

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

# Sections that take memory at run time, with their sizes.
sections=$("$readelf" -SW "$elf" | sed -n 's/^ *\[ *[0-9]*\] *//p' |
	awk '$7 ~ /A/ && $5 !~ /^0+$/ { print $1, $5 }')

for section in .text .rodata .params .bss; do
	echo "$sections" | grep -q "^$section " || complain "there is no section $section"
done

# All other sections must be empty, above all .got, .plt, .data and .zeroed. Sections for a dynamic
# loader are allowed: they are not in the flat image.
while read -r section size; do
	case "$section" in
	"") ;; # There are none at all; see above.
	.text | .rodata | .params | .bss) ;;
	.dynamic | .dynsym | .dynstr | .hash | .gnu.hash) ;;
	*) complain "section $section has $((0x$size)) bytes, must be empty" ;;
	esac
done <<-end
	$sections
end

panic=$("$nm" "$elf" | grep -i panic)
[ -z "$panic" ] || complain "panic paths:
$panic"

[ "$(($(symbol purgatory_header)))" -eq 0 ] || complain "the header is not at offset 0"
# A symbol that is missing counts as 0.
size=$(($(symbol purgatory_file_end)))
limit=$(($(symbol purgatory_file_size_max)))
[ "$size" -lt "$limit" ] || complain "has $size bytes, must have less than $limit"

exit $status
