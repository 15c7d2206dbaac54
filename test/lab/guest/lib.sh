# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What a session script in the guest is made of. Results go to $results, one set of files a job:
# NAME.out, NAME.err (what the driver printed), NAME.hung (what it did when its time was over), NAME.status (its exit
# status, the last file to appear).

export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/tmp LC_ALL=C.UTF-8
results=/out

say() { echo "LAB: $(cut -d' ' -f1 /proc/uptime) $*"; }

# Hands devices to vfio-pci, whatever driver has them now.
bind_vfio() {
	local bdf device
	for bdf in "$@"; do
		device=/sys/bus/pci/devices/$bdf
		if [ -e "$device/driver" ]; then
			[ "$(basename "$(readlink "$device/driver")")" = vfio-pci ] && continue
			echo "$bdf" >"$device/driver/unbind"
		fi
		echo vfio-pci >"$device/driver_override"
		echo "$bdf" >/sys/bus/pci/drivers_probe
		say "$bdf driver $(basename "$(readlink "$device/driver")") group $(basename "$(readlink "$device/iommu_group")")"
	done
}

# QEMU's emulated NVMe controller sends an MSI-X interrupt only for a vector that was in use when MSI-X was already enabled
# and a completion queue was made for it (hw/nvme/ctrl.c nvme_init_cq, hw/pci/msix.c msix_notify). QEMU's userspace driver
# enables the controller, and with it the admin queue, before MSI-X: its first commands then complete without an interrupt,
# and it waits for ever unless it happens to look. The kernel's driver does it the other way round, and the vector stays in
# use until a reset of the function: so let the kernel's driver have the controller first, and take the reset away.
prepare_nvme() {
	local n
	for n in $(seq 100); do
		[ -e /dev/nvme0n1 ] && break
		sleep 0.1
	done
	[ -e /dev/nvme0n1 ] || say "no /dev/nvme0n1 after $n tries"
	echo >"/sys/bus/pci/devices/$1/reset_method"
}

# Says where the BARs of devices are (ground-truth/device-log.ts reads it).
resources() {
	local bdf
	for bdf in "$@"; do
		echo "$bdf"
		cat "/sys/bus/pci/devices/$bdf/resource"
	done >"$results/resources"
}

# mark NUMBER: writes 32 bits to the host bridge's subsystem ids, which stay what they are, but it appears in QEMU's trace of
# device accesses.
mark() {
	# shellcheck disable=SC2059 # the bytes are the format
	printf "$(printf '\\x%02x\\x%02x\\x%02x\\x%02x' $(($1 & 255)) $(($1 >> 8 & 255)) $(($1 >> 16 & 255)) $(($1 >> 24)))" |
		dd of=/sys/bus/pci/devices/0000:00:00.0/config bs=4 seek=11 conv=notrunc status=none
}

# hugepages NUMBER: memory that earlier jobs have left in pieces is put together first, as often as it helps.
hugepages() {
	local try
	for try in 1 2 3 4 5; do
		echo "$1" >/proc/sys/vm/nr_hugepages
		[ "$(cat /proc/sys/vm/nr_hugepages)" -lt "$1" ] || return 0
		echo 3 >/proc/sys/vm/drop_caches
		echo 1 >/proc/sys/vm/compact_memory
		sleep "$try"
	done
	say "only $(cat /proc/sys/vm/nr_hugepages) of $1 hugepages are to be had"
}

# job NAME SECONDS COMMAND...   standard input is passed on
job() {
	local name=$1 seconds=$2 status began group
	shift 2
	began=$(date +%s.%N)
	# It makes a process group of its own. Its time is the last resort: hang_guard is there before it.
	timeout -s KILL $((seconds + 120)) "$@" <&0 >"$results/$name.out" 2>"$results/$name.err" &
	group=$!
	hang_guard "$name" "$seconds" "$group" </dev/null &
	wait "$group"
	status=$?
	say "job $name: status $status after $(echo "$began $(date +%s.%N)" | awk '{printf "%.1f", $2 - $1}') s"
	echo "$status" >"$results/$name.status"
}

# hang_guard NAME SECONDS GROUP: when the job is still there after its time, writes down what every thread of it is doing
# (NAME.hung), and then kills it: nothing may hold the boot up, and nothing may hang without a trace of why.
hang_guard() {
	local name=$1 end=$((SECONDS + $2)) group=$3 sample
	while [ "$SECONDS" -lt "$end" ]; do
		sleep 2
		if [ -e "$results/$name.status" ]; then return; fi
	done
	{
		echo "still running after $2 s:"
		"$(dirname "${BASH_SOURCE[0]}")/describe" "$group"
		# What runs on the processors, a few times: the program counters of threads that don't sleep are nowhere in /proc.
		dmesg -C
		for sample in 1 2 3 4 5; do
			echo l >/proc/sysrq-trigger
			sleep 0.3
		done
		dmesg | sed -n 's/^\[[^]]*\] //; /NMI backtrace for\|^CPU:\|RIP:/p' | sed 's/^CPU:/  CPU:/; s/^RIP:/  RIP:/'
	} >"$results/$name.hung" 2>&1
	say "job $name hangs"
	kill -KILL -- "-$group"
}

# Moves what a run made to the host, as far as it made it.
keep() {
	local file
	for file in "$@"; do
		if [ -e "$file" ]; then mv "$file" "$results/"; fi
	done
}
