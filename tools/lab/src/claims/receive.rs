// SPDX-License-Identifier: GPL-2.0
//! The path of a packet from the NIC to the callbacks.

use crate::prelude::*;
use crate::recording::times;
use repoll_peer::Peer;
use repoll_testkit::skip::skip;
use repoll_trace::record::{Context, Trace};
use repoll_trace::story::{self, Cause, Protocol};
use std::net::UdpSocket;

pub fn mechanism() -> Mechanism {
    Mechanism {
        name: "The receive path",
        text:
            "The NIC writes a packet into memory by DMA, into a buffer of a ring that the driver \
               has provided, and raises an interrupt. The interrupt handler only requests a \
               softirq. The softirq runs when the interrupt ends, takes packets out of the ring \
               (NAPI), and passes each to IP and to UDP or TCP, which find the socket by addresses \
               and ports and put the packet into its receive queue. Then the kernel walks the \
               socket's wait queue and calls the function of each entry.",
        sample: Some("echo-server"),
        claims: vec![
            Claim {
                text: "the NIC writes packets into memory by itself, and raises an interrupt \
                       afterwards",
                expected: Verdict::Holds,
                because: "The driver provides empty buffers beforehand; in this guest QEMU is the \
                          NIC.",
                source: "drivers/net/virtio_net.c, try_fill_recv(), skb_recv_done(), \
                         virtnet_poll()",
                experiment: || Finding::read(Verdict::Holds),
            },
            Claim {
                text: "the order is interrupt, softirq, protocol, socket, and only then the \
                       callbacks of its wait queue",
                expected: Verdict::Holds,
                because: "The recording shows a packet from outside the guest.",
                source: "kernel/softirq.c, handle_softirqs(); net/core/dev.c, napi_poll(); \
                         net/core/sock.c, sock_def_readable()",
                experiment: whole_path,
            },
            Claim {
                text: "a packet goes to one socket, by address and port, and wakes only its wait \
                       queue",
                expected: Verdict::Holds,
                because: "",
                source: "net/ipv4/udp.c, __udp4_lib_lookup_skb()",
                experiment: one_socket,
            },
            Claim {
                text: "ksoftirqd does the work of softirqs",
                expected: Verdict::OnlyIf("there is more work than one softirq may do"),
                because: "Otherwise it runs at the end of the interrupt, or of the system call \
                          that sent the packet; after ten rounds or two milliseconds the thread \
                          takes over.",
                source: "kernel/softirq.c:567, MAX_SOFTIRQ_RESTART; :668, wakeup_softirqd()",
                experiment: who_runs_softirqs,
            },
        ],
    }
}

/// A port that is forwarded into the guest.
const PORT: u16 = 7007;

fn peer() -> Result<Peer> {
    match std::env::var("REPOLL_PEER") {
        Ok(address) => Peer::connect(address.parse().context("REPOLL_PEER")?),
        Err(_) => skip("no packets from outside: run it by make lab, which starts a peer"),
    }
}

/// Makes the peer send datagrams, which a thread sends back. Returns the thread's number.
fn echo(peer: &Peer, side: Side, count: u32) -> Result<i32> {
    const GAP: u32 = 10;
    let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
    let m = Multiplexer::new(side)?;
    m.add(&socket, EventFlags::IN)?;
    scope(|threads| {
        let server = start(threads, "server", || {
            for _ in 0..count {
                m.wait(FOR_EVER)?;
                let mut datagram = [0; 256];
                let (length, from) = socket.recv_from(&mut datagram)?;
                socket.send_to(&datagram[..length], from)?;
            }
            Ok(())
        })?;
        server.until_asleep()?;
        peer.ask(&format!("udp-echo {PORT} {count} 64 {GAP}"))?;
        let tid = server.tid;
        server.end()?;
        Ok(tid)
    })
}

/// Counts the wake-ups of a thread in a softirq in which a socket had received data.
fn woken_by_socket(trace: &Trace, tid: i32) -> usize {
    let mut ready = std::collections::HashMap::new();
    let mut wakings = 0;
    for record in &trace.records {
        if record.context != Context::Softirq {
            continue;
        }
        if record.is("sk_data_ready") {
            ready.insert(record.cpu, true);
        } else if record.is("softirq_entry") {
            ready.insert(record.cpu, false);
        } else if record.is("sched_waking") && record.number("pid") == Some(tid.into()) {
            wakings += usize::from(ready.get(&record.cpu) == Some(&true));
        }
    }
    wakings
}

fn whole_path() -> Result<Finding> {
    const COUNT: u32 = 5;
    const STEPS: [&str; 6] = [
        "interrupt",
        "NAPI",
        "driver",
        "protocol",
        "socket",
        "callback",
    ];
    let peer = peer()?;
    // The first datagram resolves addresses and fills caches.
    echo(&peer, Side::Kernel, 1)?;
    Finding::of_calls(|side| {
        let (tid, trace) = record_story(|| echo(&peer, side, COUNT))?;
        if side == Side::Kernel {
            let woken = woken_by_socket(&trace, tid);
            let seen = format!(
                "of {COUNT} datagrams, {woken} woke the waiter in the softirq that had passed the \
                 data to the socket"
            );
            return Ok((Verdict::holds(woken > 0), seen, trace));
        }
        let stories = story::all(&trace.records);
        let packets: Vec<_> = stories
            .iter()
            .filter(|story| story.cause == Cause::Packet(Protocol::Udp))
            .collect();
        let in_order = packets
            .iter()
            .filter(|story| {
                let names = story.steps.iter().map(|step| step.name);
                names.take(STEPS.len()).eq(STEPS)
            })
            .count();
        let seen = format!(
            "of {} datagrams, {in_order} were followed: {}",
            packets.len(),
            STEPS.join(", ")
        );
        Ok((Verdict::holds(in_order > 0), seen, trace))
    })
}

fn one_socket() -> Result<Finding> {
    Finding::of_calls(|side| {
        let m = Multiplexer::new(side)?;
        let sockets: Vec<_> = (0..3)
            .map(|_| UdpSocket::bind(("127.0.0.1", 0)))
            .collect::<Result<_, _>>()?;
        for socket in &sockets {
            m.add(socket, EventFlags::IN)?;
        }
        let to = &sockets[1];
        let (events, trace) = record_story(|| {
            let sender = UdpSocket::bind(("127.0.0.1", 0))?;
            sender.send_to(b"x", to.local_addr()?)?;
            // The softirq can run after the call that sent the packet.
            Ok(m.events(FOR_EVER)?)
        })?;
        let right = events.len() == 1 && events[0].data() == to.as_raw_fd() as u64;
        let mut seen = format!(
            "of 3 sockets, {} has an event, the right one: {right}",
            events.len()
        );
        let mut alone = true;
        if side != Side::Kernel {
            let callbacks = times(&trace, "callback");
            alone = callbacks == 1;
            seen += &format!("; {callbacks} callback ran");
        }
        Ok((Verdict::holds(right && alone), seen))
    })
}

fn who_runs_softirqs() -> Result<Finding> {
    const COUNT: usize = 50;
    let receiver = UdpSocket::bind(("127.0.0.1", 0))?;
    let m = Multiplexer::new(Side::Repoll)?;
    m.add(&receiver, EventFlags::IN)?;
    let address = receiver.local_addr()?;
    let ((), trace) = record_story(|| {
        let sender = UdpSocket::bind(("127.0.0.1", 0))?;
        for _ in 0..COUNT {
            sender.send_to(b"x", address)?;
            // Each is received before the next is sent, so that each has a callback.
            receiver.recv(&mut [0])?;
        }
        Ok(())
    })?;
    Finding::of_files(|code| {
        let event = match code {
            Code::Kernel => "sk_data_ready",
            Code::Repoll => "repoll_callback",
        };
        let softirqs = trace
            .records
            .iter()
            .filter(|record| record.is(event) && record.context == Context::Softirq);
        let (mut all, mut by_thread) = (0, 0);
        for record in softirqs {
            all += 1;
            by_thread += usize::from(record.comm.starts_with("ksoftirqd"));
        }
        ensure!(
            all >= COUNT / 2,
            "only {all} of {COUNT} datagrams were seen"
        );
        let seen =
            format!("{event}: of {all} datagrams over loopback, {by_thread} were in ksoftirqd");
        // The experiment does not make ksoftirqd take over: that is from the source code.
        let verdict = Verdict::only_if(
            "there is more work than one softirq may do",
            true,
            by_thread == all,
        );
        Ok((verdict, seen))
    })
}
