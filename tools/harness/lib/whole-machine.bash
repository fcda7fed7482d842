# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The running machine of make whole and make programs, from outside: starting it, commands and
# requests. It runs inside the root file system; the caller sets $run, the run's own folder, and the
# options of parse_machine_options.

. "$harness/lib/guest.bash"

ssh_options=(-F none -i "$run/key" -p 2222 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
	-o BatchMode=yes -o ConnectTimeout=60 -o ServerAliveInterval=60)

# guest COMMAND... : runs a command line in the guest, as root, over the connection that
# await_machine has made.
guest() { timeout 1200 ssh "${ssh_options[@]}" -S "$run/ssh" root@127.0.0.1 "$@"; }

# login COMMAND... : the same, with a login of its own.
login() { timeout 1200 ssh "${ssh_options[@]}" -S none root@127.0.0.1 "$@"; }

# send_requests NAME COUNT [CLIENTS] : sends requests to a program of config/programs; prints
# "RIGHT WRONG MILLISECONDS".
send_requests() {
	local port protocol
	read -r port protocol < <(program_rows | awk -v "name=$1" '$1 == name { print $4, $5 }')
	"$harness/lib/whole-requests" --limit "$boot_limit" "$protocol" "$((port < 1024 ? port + 8000 : port))" "${@:2}"
}

# leave_machine : ends the connection of guest.
leave_machine() { ssh "${ssh_options[@]}" -S "$run/ssh" -O exit root@127.0.0.1 2>/dev/null || true; }

# await_program NAME : returns when a program gives a right answer.
await_program() {
	local start=$SECONDS
	until send_requests "$1" 1 2>/dev/null >&2; do
		((SECONDS - start < 10 * boot_limit)) || { echo "$1 does not answer"; return 1; }
		sleep 1
	done
}

# instances : "UNIT COMMAND PID FD OWNER WATCHES" of each epoll instance; OWNER is repoll or C.
instances() { guest /opt/whole/instances; }

# forwards : QEMU's options for the ports of the programs, of ssh and of the socket unit.
forwards() {
	local port
	printf 'hostfwd=tcp:127.0.0.1:2222-:22,hostfwd=tcp:127.0.0.1:8086-:8086'
	program_rows | while read -r _ _ _ port _; do
		printf ',hostfwd=tcp:127.0.0.1:%d-:%d' "$((port < 1024 ? port + 8000 : port))" "$port"
	done
}

# make_machine_initramfs [FILE...] : the module, the files of guest/whole, and FILEs for
# /usr/local/bin.
make_machine_initramfs() {
	local tree=$run/tree name start
	mkdir -p "$tree"/{bin,modules,files/root/.ssh,files/usr/local/bin,files/etc/systemd/system.conf.d}
	cp "$harness/guest/whole-init" "$tree/init"
	cp "$(guest_busybox)" "$tree/bin/"
	cp -a "$harness/guest/whole/." "$tree/files/"
	ssh-keygen -q -t ed25519 -N '' -f "$run/key"
	cp "$run/key.pub" "$tree/files/root/.ssh/authorized_keys"
	chmod -R go-w "$tree/files"
	chmod 700 "$tree/files/root" "$tree/files/root/.ssh"
	REALGCC=gcc-$REPOLL_GCC musl-gcc -static -O2 -Wall -Werror -o "$tree/files/opt/whole/static" "$harness/guest/whole-static.c"
	(($# == 0)) || cp -t "$tree/files/usr/local/bin" "$@"
	start=$([[ $kernel == debug* ]] && echo 900 || echo 300)
	printf '[Manager]\nDefaultTimeoutStartSec=%s\nDefaultDeviceTimeoutSec=%s\n' "$start" "$start" >"$tree/files/etc/systemd/system.conf.d/slow.conf"
	if [[ $kernel == stock ]]; then
		for name in net/core/failover drivers/net/net_failover drivers/net/virtio_net drivers/block/virtio_blk fs/autofs/autofs4 fs/binfmt_misc; do
			xz -dc "/usr/lib/modules/$(kernel_release)/kernel/$name.ko.xz" >"$tree/modules/${name##*/}.ko"
			echo "${name##*/}.ko" >>"$tree/modules/order"
		done
	fi
	cp "$(module_file "$kernel")" "$tree/repoll.ko"
	(cd "$tree" && find . | cpio --quiet -o -H newc -R 0:0 >"$run/initramfs")
	rm -r "$tree"
}

# start_machine PARAMETERS : starts the machine; PARAMETERS of repoll.ko, or nothing. Its many
# processes can keep a preempted reader of RCU waiting for longer than 21 seconds on a busy host
# without KVM, so RCU reports a stall later.
start_machine() {
	local qemu no5lvl
	no5lvl=$([[ $REPOLL_ARCH != amd64 ]] || echo no5lvl)
	mapfile -t qemu < <(guest_machine)
	qemu+=(-nodefaults -no-user-config -no-reboot -display none -smp "$smp" -m "$memory"
		-kernel "$(kernel_image "$kernel")" -initrd "$run/initramfs"
		-append "console=$(guest_console) loglevel=5 oops=panic panic=-1 random.trust_cpu=on rcupdate.rcu_cpu_stall_timeout=120 $no5lvl repoll=$1 $append"
		-chardev "file,id=console,path=$console" -serial chardev:console
		-drive "file=$(whole_disk),format=raw,if=virtio,snapshot=on,cache=unsafe"
		-device virtio-rng-pci -netdev "user,id=net,net=10.0.2.0/24,$(forwards)" -device virtio-net-pci,netdev=net,romfile=)
	: >"$console"
	TMPDIR=$run setsid "${qemu[@]}" >"$run/machine.log" 2>&1 </dev/null &
	machine=$!
	trap 'kill -9 -- -$machine 2>/dev/null || true' EXIT
}

# await_machine : returns when a login works. Fails if the machine ends before, or has printed
# nothing for $boot_limit seconds, or after ten times $boot_limit. An attempt that begins before
# sshd runs gets no answer, so the first ones are short; a slow machine gets longer ones.
await_machine() {
	local size last_size='' since=$SECONDS start=$SECONDS
	rm -f "$run/ssh"
	until ssh -o ConnectTimeout=$((10 + (SECONDS - start) / 10)) "${ssh_options[@]}" -o ControlMaster=yes -o ControlPersist=yes -S "$run/ssh" root@127.0.0.1 true 2>"$run/ssh.log" </dev/null >/dev/null; do
		kill -0 "$machine" 2>/dev/null || fail_guest 125 "the machine ended before a login"
		size=$(output_sizes)
		[[ $size == "$last_size" ]] || last_size=$size since=$SECONDS
		((SECONDS - since < boot_limit && SECONDS - start < 10 * boot_limit)) ||
			fail_guest 125 "no login within $((SECONDS - start)) s: $(<"$run/ssh.log")"
		sleep 1
	done
}

# check_console : fails the run if the kernel has reported an error.
check_console() {
	if emulator_fault "$console"; then
		fail_guest 125 "$emulator_failed: repeat the run"
	elif grep -qaE "$splat_words" "$console"; then
		fail_guest 125 "the guest's kernel reported an error"
	fi
}
