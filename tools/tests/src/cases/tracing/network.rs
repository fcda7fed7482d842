// SPDX-License-Identifier: GPL-2.0
//! Real packets, from outside the guest, over virtio-net: repoll-peer sends them.

use crate::cases::tracing::contexts::{check_context, recording};
use crate::prelude::*;
use repoll_peer::Peer;
use repoll_trace::record::Context;
use std::io::Read;
use std::net::{TcpListener, UdpSocket};

pub fn tests() -> Vec<Test> {
    repoll_only!("network" within 90:
        udp_from_outside_calls_back_in_a_softirq,
        tcp_from_outside_calls_back_in_a_softirq,
        udp_from_outside_is_reported_until_drained,
        the_end_of_a_connection_from_outside_is_reported,
    )
}

/// A port that QEMU forwards into the guest.
const PORT: u16 = 7008;
const COUNT: u32 = 8;

/// The world outside.
pub fn peer() -> Result<Peer> {
    match settings::get().peer {
        Some(address) => Peer::connect(address),
        None => skip("no repoll-peer (REPOLL_PEER is not set)"),
    }
}

/// The number of interrupts that the receive queues of virtio NICs have raised.
pub fn input_interrupts() -> Result<u64> {
    let text = fs::read_to_string("/proc/interrupts")?;
    let lines = text.lines().filter(|line| {
        line.split_ascii_whitespace()
            .next_back()
            .is_some_and(|name| name.starts_with("virtio") && name.contains("-input."))
    });
    let counts: Vec<u64> = lines
        .map(|line| {
            let words = line.split_ascii_whitespace().skip(1);
            words.map_while(|word| word.parse::<u64>().ok()).sum()
        })
        .collect();
    ensure!(
        !counts.is_empty(),
        "no virtio NIC in /proc/interrupts:\n{text}"
    );
    Ok(counts.iter().sum())
}

fn udp_from_outside_calls_back_in_a_softirq() -> Result<()> {
    let peer = peer()?;
    let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
    socket.set_nonblocking(true)?;
    let m = Repoll::new()?;
    m.add(&socket, EventFlags::IN, 1)?;
    let before = input_interrupts()?;
    let mut session = recording()?;
    let received = scope(|threads| -> Result<u32> {
        let sender = threads.spawn(|| peer.ask(&format!("udp {PORT} {COUNT} 100 5")));
        let mut received = 0;
        let mut datagram = [0; 200];
        while received < COUNT {
            let events = m.wait(4, Some(LONG))?;
            ensure!(!events.is_empty(), "{received} of {COUNT} came");
            while let Ok(length) = socket.recv(&mut datagram) {
                ensure!(length == 100, "{length}");
                received += 1;
            }
        }
        join(sender)??;
        Ok(received)
    })?;
    ensure!(received == COUNT, "{received}");
    let rose = input_interrupts()? - before;
    ensure!(rose > 0, "the NIC raised no interrupt");
    check_context(&mut session, Context::Softirq)
}

fn tcp_from_outside_calls_back_in_a_softirq() -> Result<()> {
    let peer = peer()?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let m = Repoll::new()?;
    m.add(&listener, EventFlags::IN, 1)?;
    let before = input_interrupts()?;
    let mut session = recording()?;
    scope(|threads| {
        let sender = threads.spawn(|| peer.ask(&format!("tcp {PORT} {COUNT} 100 5")));
        expect_one(&m, 1).context("the connection")?;
        let (mut stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        m.add(&stream, EventFlags::IN, 2)?;
        let mut received = 0;
        let mut bytes = [0; 1000];
        while received < 100 * COUNT as usize {
            let events = m.wait(4, Some(LONG))?;
            ensure!(!events.is_empty(), "{received} bytes came");
            while let Ok(length) = stream.read(&mut bytes) {
                received += length;
                if length == 0 {
                    break;
                }
            }
        }
        join(sender)??;
        Ok(())
    })?;
    let rose = input_interrupts()? - before;
    ensure!(rose > 0, "the NIC raised no interrupt");
    check_context(&mut session, Context::Softirq)
}

fn udp_from_outside_is_reported_until_drained() -> Result<()> {
    let peer = peer()?;
    let socket = UdpSocket::bind(("0.0.0.0", PORT))?;
    socket.set_nonblocking(true)?;
    let m = Repoll::new()?;
    m.add(&socket, EventFlags::IN, 1)?;
    peer.ask(&format!("udp {PORT} 1 10"))?;
    for _ in 0..3 {
        expect_one(&m, 1)?;
    }
    read_all(&socket)?;
    ensure!(m.ready()?.is_empty());
    Ok(())
}

fn the_end_of_a_connection_from_outside_is_reported() -> Result<()> {
    let peer = peer()?;
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    let m = Repoll::new()?;
    peer.ask(&format!("tcp {PORT} 1 10"))?;
    let (stream, _) = listener.accept()?;
    m.add(&stream, EventFlags::RDHUP, 1)?;
    ensure!(expect_one(&m, 1)? == EventFlags::RDHUP);
    drop(stream);
    eventually("the watch has ended", || Ok(m.ready()?.is_empty()))
}
