# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash
# The choice between KVM and TCG. In some nested virtual machines /dev/kvm opens but every guest
# hangs, so KVM is used only after a guest has booted with it.

# choose_accel : sets and exports REPOLL_ACCEL.
choose_accel() {
	if is_cross; then
		[[ ${REPOLL_ACCEL:-tcg} == tcg ]] ||
			die "REPOLL_ACCEL is '$REPOLL_ACCEL', but the guest's architecture is $REPOLL_ARCH" \
				"KVM runs only guests of the host's architecture, $(host_arch)"
		REPOLL_ACCEL=tcg
	fi
	case ${REPOLL_ACCEL-} in
	tcg | kvm) ;;
	'') probe_kvm ;;
	*) die "REPOLL_ACCEL is '$REPOLL_ACCEL'" "set it to tcg or kvm, or unset it to have KVM probed" ;;
	esac
	export REPOLL_ACCEL
}

probe_kvm() {
	local device=${REPOLL_KVM_DEVICE:-/dev/kvm} answer
	REPOLL_ACCEL=tcg
	if [[ ! -r $device || ! -w $device ]]; then
		say "no KVM: cannot open $device; the guest runs under TCG, several times slower"
		return
	fi
	answer=$REPOLL_CACHE/accel-$(kvm_key "$device")
	if [[ ! -s $answer ]]; then
		printf '  probe KVM with a boot (at most 20 s) … ' >&2
		if boot_probe >"$REPOLL_CACHE/log/kvm-probe.log" 2>&1; then
			echo kvm >"$answer"
			say works
		else
			echo tcg >"$answer"
			say "does not work"
		fi
	fi
	REPOLL_ACCEL=$(<"$answer")
	[[ $REPOLL_ACCEL == kvm ]] ||
		say "KVM does not boot a guest here (recorded in $answer); TCG is used, several times slower;" \
			"REPOLL_ACCEL=kvm forces KVM"
}

# boot_probe : boots a small guest under KVM.
boot_probe() {
	"$harness/cmd/guest-initramfs" --accel kvm --no-module --no-programs --boot-limit 20 --timeout 20 -- true
}

# kvm_key DEVICE : the key of the recorded answer: host kernel, processor and device.
kvm_key() { key_of "$(uname -r)" "$(grep -m 1 -E 'model name|CPU part' /proc/cpuinfo)" "$1"; }
