#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
#
# Prints what /sys/kernel/kexec/ shows of the loaded images and of the kexec
# that entered this kernel, in the text format of Prometheus.

set -eu

SYSFS=${KEXEC_SYSFS:-/sys/kernel/kexec}

usage() {
	cat <<END
Usage: kexec-metrics.sh [FILE]

Prints what the kernel shows of loaded kexec images, and of the kexec that entered this
kernel, as Prometheus metrics. With FILE, replaces that file in one step: give a file
with the suffix .prom in the directory of node_exporter's textfile collector. On a
kernel without CONFIG_KEXEC_PURGATORY_RUST, removes FILE and fails.

Environment:
  KEXEC_SYSFS  where to read, instead of /sys/kernel/kexec
END
}

# Prints the line of a file, or nothing if the file is missing.
line() {
	cat "$SYSFS/$1" 2>/dev/null || :
}

# Prints a label's value, with backslashes and quotes escaped.
label() {
	printf '%s' "$1" | sed 's/[\\"]/\\&/g'
}

# Begins a metric: name, and description.
metric() {
	printf '# HELP %s %s\n# TYPE %s gauge\n' "$1" "$2" "$1"
}

# Prints a metric's value for both images: name of the metric, and a function that prints the value
# for the image that its argument, loaded or crash, names.
each() {
	printf '%s{image="normal"} %s\n' "$1" "$("$2" loaded)"
	printf '%s{image="crash"} %s\n' "$1" "$("$2" crash)"
}

is_loaded() {
	case $(line "verify_$1") in
	none) echo 0 ;;
	*) echo 1 ;;
	esac
}

is_verified() {
	case $(line "verify_$1") in
	verified:*) echo 1 ;;
	*) echo 0 ;;
	esac
}

regions() {
	line "verify_${1}_regions"
}

bytes() {
	line "verify_${1}_bytes"
}

is_damaged() {
	case $(line "check_$1") in
	damaged:*) echo 1 ;;
	*) echo 0 ;;
	esac
}

check_time() {
	line "check_${1}_time"
}

image_info() {
	for image in normal:loaded crash:crash; do
		file=${image#*:}
		printf 'kexec_image_info{image="%s",decision="%s",engine="%s",check="%s"} 1\n' \
			"${image%:*}" "$(label "$(line "verify_$file")")" \
			"$(label "$(line "verify_${file}_engine")")" \
			"$(label "$(line "check_$file")")"
	done
}

metrics() {
	metric kexec_image_loaded "Whether an image is loaded."
	each kexec_image_loaded is_loaded
	metric kexec_image_verified \
		"Whether the image is verified before the next kernel is entered."
	each kexec_image_verified is_verified
	metric kexec_image_verified_regions "Regions that are verified then."
	each kexec_image_verified_regions regions
	metric kexec_image_verified_bytes "Bytes that are verified then."
	each kexec_image_verified_bytes bytes
	metric kexec_image_damaged "Whether the last check found the image damaged."
	each kexec_image_damaged is_damaged
	metric kexec_image_check_timestamp_seconds \
		"When the image was checked last, 0 if it was not since it was loaded."
	each kexec_image_check_timestamp_seconds check_time
	metric kexec_image_info "What was decided and found."
	image_info
	metric kexec_verify_policy_info \
		"What would be decided about a normal image that is loaded now."
	printf 'kexec_verify_policy_info{policy="%s"} 1\n' "$(label "$(line verify_policy)")"
	[ ! -e "$SYSFS/entered_by" ] || entered
}

# Prints how the previous kernel entered this one. A time that is not known is left out.
entered() {
	metric kexec_entered_seconds \
		"Time of the kexec that entered this kernel, from machine_kexec() on."
	for part in copy verify handoff total; do
		ns=$(line "entered_${part}_ns")
		[ "$ns" = -1 ] || printf 'kexec_entered_seconds{part="%s"} %d.%09d\n' "$part" \
			$((ns / 1000000000)) $((ns % 1000000000))
	done
	metric kexec_entered_info "How this kernel was entered."
	printf 'kexec_entered_info{by="%s",decision="%s",engine="%s",mismatch="%s"} 1\n' \
		"$(label "$(line entered_by)")" "$(label "$(line entered_decision)")" \
		"$(label "$(line entered_engine)")" "$(label "$(line entered_mismatch)")"
}

case ${1-} in
-h | --help)
	usage
	exit
	;;
-*)
	usage >&2
	exit 2
	;;
esac
if [ $# -gt 1 ]; then
	usage >&2
	exit 2
fi
if [ $# -eq 1 ] && [ -e "$1" ] && [ ! -f "$1" ]; then
	echo "kexec-metrics.sh: $1 is not a regular file" >&2
	exit 2
fi
if [ ! -e "$SYSFS/verify_loaded" ]; then
	# What another kernel had must not stay.
	[ $# -eq 0 ] || rm -f "$1"
	echo "kexec-metrics.sh: the kernel has no CONFIG_KEXEC_PURGATORY_RUST:" \
		"no $SYSFS/verify_loaded" >&2
	exit 1
fi

if [ $# -eq 0 ]; then
	metrics
else
	new=$(mktemp "$1.XXXXXX")
	trap 'rm -f "$new"' EXIT
	trap 'exit 1' HUP INT TERM
	metrics >"$new"
	chmod 644 "$new"
	mv "$new" "$1"
fi
