# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# Code of guest-initramfs and guest-rootfs for the host's side of a guest: the channels, the
# supervision of the machine, and the exit status. It runs inside the root file system; the caller
# sets $run, the run's own folder.

. "$harness/lib/splat.bash"
console=$run/console.log control=$run/control
set -E
trap 'die "internal error at line $LINENO of ${BASH_SOURCE[0]##*/}"' ERR

# The command's output leaves the guest through ports of its own, separate from the kernel's log.
channels=(-device virtio-serial-pci,id=repoll
	-chardev "file,id=repollout,path=$run/out" -device virtserialport,bus=repoll.0,chardev=repollout,name=repoll.out
	-chardev "file,id=repollerr,path=$run/err" -device virtserialport,bus=repoll.0,chardev=repollerr,name=repoll.err
	-chardev "file,id=repollcontrol,path=$control" -device virtserialport,bus=repoll.0,chardev=repollcontrol,name=repoll.control)

# The host reaches the guest's echo ports through these forwarded ports.
host_forwards=''
for port in 7007 7008; do
	host_forwards+=",hostfwd=tcp:127.0.0.1:$port-:$port,hostfwd=udp:127.0.0.1:$port-:$port"
done

# export_slowness : prints shell code that exports REPOLL_SLOWNESS, the guest's boot time in percent
# of the reference. With --icount the guest's clock cannot measure that, and the value is 100.
export_slowness() {
	local known=${REPOLL_SLOWNESS:-${icount:+100}}
	if [[ $known ]]; then
		echo "export REPOLL_SLOWNESS=$known"
	else
		echo "export REPOLL_SLOWNESS=\$(awk '{ s = int(\$1 * 100000 / $(reference_boot)); print (s < 100 ? 100 : s) }' /proc/uptime)"
	fi
}

# write_command FILE WORD... : appends to FILE shell code that runs the command WORD...
write_command() {
	local file=$1 word
	shift
	{
		[[ -z ${peer-} ]] || echo 'export REPOLL_PEER=10.0.2.2:7000'
		export_slowness
		for word; do printf "'%s' " "${word//\'/\'\\\'\'}"; done
		echo
	} >>"$file"
}

start_peer() {
	: >"$run/peer.log"
	"$(host_programs)/repoll-peer" --die-with-parent >"$run/peer.log" 2>&1 &
	local _
	for _ in {1..100}; do
		! grep -q 'listening on' "$run/peer.log" || return 0
		sleep 0.05
	done
	die "repoll-peer does not start" "$(<"$run/peer.log")"
}

# milliseconds : the time of a monotonic clock.
milliseconds() {
	local now=${EPOCHREALTIME/[.,]/}
	echo "$((now / 1000))"
}

# Time limits apply to the idle reference machine. A machine that boots slower, because it is slow
# or busy, gets limits that are longer by the same factor.

# reference_boot : the boot time of this guest on the reference machine, in ms.
reference_boot() {
	if [[ ${REPOLL_REFERENCE_BOOT-} ]]; then
		echo "$REPOLL_REFERENCE_BOOT"
		return
	fi
	case ${0##*/}-$kernel-$REPOLL_ACCEL${foreign:+-foreign} in
	guest-initramfs-stock-kvm) echo 1500 ;;
	guest-initramfs-stock-tcg) echo 4000 ;;
	guest-initramfs-stock-tcg-foreign) echo 8000 ;;
	guest-initramfs-debug-kvm | guest-initramfs-debug-rt-kvm) echo 5000 ;;
	guest-initramfs-debug-tcg* | guest-initramfs-debug-rt-tcg*) echo 25000 ;;
	guest-rootfs-stock-kvm) echo 6000 ;;
	guest-rootfs-stock-tcg) echo 15000 ;;
	guest-rootfs-debug-kvm | guest-rootfs-debug-rt-kvm) echo 10000 ;;
	guest-rootfs-debug-tcg | guest-rootfs-debug-rt-tcg) echo 45000 ;;
	*) die "reference_boot has no boot time for this guest" ;;
	esac
}

# slowness_of MILLISECONDS : a boot time in percent of the reference, at least 100.
slowness_of() {
	local percent
	percent=$(($1 * 100 / $(reference_boot)))
	echo "$((percent < 100 ? 100 : percent))"
}

# watch_guest TIMEOUT BOOT-LIMIT COMMAND... : runs the machine until it ends or a time limit is
# over. TIMEOUT seconds count from the end of the boot. The boot fails when the console has been
# silent for BOOT-LIMIT seconds, or after ten times BOOT-LIMIT. COMMAND's own output goes to
# machine.log. Sets $machine, its process, and $timed_out, the seconds after which it was ended, if
# it was.
watch_guest() {
	local relays
	timeout=$1 boot_limit=$2
	shift 2
	: >>"$console"
	: >"$control"
	: >>"$run/machine.log"
	mkfifo "$run/out" "$run/err"
	cat "$run/out" &
	relays=($!)
	cat "$run/err" >&2 &
	relays+=($!)
	# Holds the pipes open until the end: the relays then end even if the machine never opened
	# them.
	exec {out_end}<>"$run/out" {err_end}<>"$run/err"

	# In a session of its own, so that virtme-ng's helper processes can be killed with it.
	setsid "$@" >>"$run/machine.log" 2>&1 </dev/null {out_end}>&- {err_end}>&- &
	machine=$!
	trap 'kill -9 -- -$machine 2>/dev/null || true' EXIT
	watch_boot
	[[ $timed_out ]] || watch_command
	kill -9 -- "-$machine" 2>/dev/null || true
	wait "$machine" 2>/dev/null || true
	exec {out_end}>&- {err_end}>&-
	wait "${relays[@]}" || true
}

# output_sizes : the sizes of the machine's output files.
output_sizes() { stat -L -c %s "$console" "$run/machine.log"; }

# watch_boot : returns when the guest is up, the machine has ended, or the boot has failed. Writes
# the boot time in milliseconds to the file $REPOLL_BOOT_TIME, if set.
watch_boot() {
	local begin now size last_size start=$SECONDS since=$SECONDS
	begin=$(milliseconds) last_size=$(output_sizes) timed_out=''
	while kill -0 "$machine" 2>/dev/null && [[ ! -s $control ]]; do
		if ((SECONDS - since >= boot_limit)); then
			size=$(output_sizes)
			if [[ $size == "$last_size" ]] || ((SECONDS - start >= 10 * boot_limit)); then
				timed_out=$((SECONDS - start))
				return
			fi
			last_size=$size since=$SECONDS
		fi
		sleep 0.1
	done
	now=$(milliseconds)
	[[ ! ${REPOLL_BOOT_TIME-} || ! -s $control ]] || echo "$((now - begin))" >"$REPOLL_BOOT_TIME"
	slowness=${REPOLL_SLOWNESS:-$(slowness_of "$((now - begin))")}
}

# watch_command : returns when the machine has ended or the command's time limit is over.
watch_command() {
	local start=$SECONDS limit=$((timeout * slowness / 100))
	while kill -0 "$machine" 2>/dev/null; do
		if ((SECONDS - start >= limit)); then
			timed_out=$((SECONDS - start))
			return
		fi
		sleep 0.1
	done
}

# report_and_exit : exits with the command's status, with 124 on time-out, or with 125 if the guest
# failed. A machine that panicked exits with status 0, too, so only the console and the session's
# messages count.
report_and_exit() {
	local status trouble
	status=$(sed -n 's/^status //p' "$control")
	trouble=$(sed -n 's/^trouble //p' "$control")
	if emulator_fault "$console"; then
		fail_guest 125 "$emulator_failed: repeat the run"
	elif [[ -s $control ]] && grep -qaE "$splat_words" "$console"; then
		fail_guest 125 "the guest's kernel reported an error"
	elif [[ ! -s $control ]]; then
		fail_guest 125 "the guest did not boot${timed_out:+ within $timed_out s}"
	elif [[ $timed_out ]]; then
		fail_guest 124 "the command did not end within $timed_out s (--timeout $timeout, scaled to $slowness % by the boot time)"
	elif [[ $trouble ]]; then
		fail_guest 125 "$trouble"
	elif [[ -z $status ]]; then
		fail_guest 125 "the guest died before the command ended"
	fi
	exit "$status"
}

# fail_guest STATUS REASON : shows the first splat, or else the end of the log, and exits.
fail_guest() {
	say "$red$bold${0##*/}: $2$plain"
	if ! show_splat "$console" >&2; then
		[[ ! -s $run/machine.log ]] || tail -n 15 "$run/machine.log" | sed 's/^/    machine: /' >&2
		tail -n 30 "$console" | tr -d '\r' | sed 's/^/    | /' >&2
		[[ -s $console ]] || say "    (the console is empty)"
	fi
	local copy=$REPOLL_CACHE/log/guest-console.${run##*/}.log
	mkdir -p "${copy%/*}"
	find "${copy%/*}" -name 'guest-console.*' -mtime +7 -delete
	cp "$console" "$copy"
	say "    complete console: $copy"
	exit "$1"
}
