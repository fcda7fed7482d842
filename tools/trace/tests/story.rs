// SPDX-License-Identifier: GPL-2.0
//! The way of a packet, found in traces that were recorded in a guest, whole and damaged.

use repoll_trace::record::{parse, Context, Record};
use repoll_trace::render;
use repoll_trace::story::{Protocol, Stories};

fn udp() -> Vec<Record> {
    parse(include_str!("fixtures/udp.txt"))
}

fn tcp() -> Vec<Record> {
    parse(include_str!("fixtures/tcp.txt"))
}

/// The trace without the records that `unwanted` picks.
fn without(unwanted: impl Fn(&Record) -> bool) -> Vec<Record> {
    let mut records = udp();
    let count = records.len();
    records.retain(|record| !unwanted(record));
    assert_ne!(records.len(), count, "nothing was taken out");
    records
}

const STEPS: [&str; 14] = [
    "interrupt",
    "NAPI",
    "driver",
    "protocol",
    "socket",
    "callback",
    "ready queue",
    "wake-up",
    "scheduler",
    "scheduler",
    "delivery",
    "wait returns",
    "read",
    "echo sent",
];

#[test]
fn a_datagram_is_followed_from_the_interrupt_to_the_echo() {
    let stories = Stories::find(&udp(), Protocol::Udp);
    assert_eq!(stories.whole.len(), 2);
    assert!(stories.broken.is_empty(), "{:?}", stories.broken);
    for story in &stories.whole {
        let names: Vec<_> = story.steps.iter().map(|step| step.name).collect();
        assert_eq!(names, STEPS);
        assert!(story.steps.is_sorted_by_key(|step| step.time));
        let contexts: Vec<_> = story.steps.iter().map(|step| step.context).collect();
        assert_eq!(contexts[0], Context::Hardirq);
        assert!(contexts[1..9]
            .iter()
            .all(|context| *context == Context::Softirq));
        assert!(contexts[9..]
            .iter()
            .all(|context| *context == Context::Task));
    }
    // The second one, at 8.047, took longer than the first one, at 8.028.
    let shortest = &stories.whole[0];
    assert_eq!(shortest.steps[0].time, 8_028_772);
    assert_eq!(shortest.duration(), 2_128);
    assert_eq!(shortest.steps[0].detail, "irq 27, vector virtio1-input.0");
    assert_eq!((shortest.steps[8].cpu, shortest.steps[9].cpu), (1, 0));
    assert_eq!(shortest.steps[12].detail, "64 bytes");
}

#[test]
fn data_on_a_connection_are_followed_too() {
    let stories = Stories::find(&tcp(), Protocol::Tcp);
    assert_eq!(stories.whole.len(), 2);
    // The connection request is no data; it came in a softirq that two interrupts share.
    assert_eq!(stories.broken.get("read"), None);
    assert_eq!(stories.broken.get("interrupt"), Some(&1));
    for story in &stories.whole {
        assert_eq!(story.steps.len(), STEPS.len());
        assert!(story.steps[5].detail.starts_with("called for fd 6: IN"));
    }
}

#[test]
fn protocols_are_told_apart() {
    assert!(Stories::find(&udp(), Protocol::Tcp).whole.is_empty());
    assert!(Stories::find(&tcp(), Protocol::Udp).whole.is_empty());
}

#[test]
fn a_missing_step_is_named() {
    let none = |event: &'static str| without(move |record| record.event == event);
    let no_switch = without(|record| {
        record.event == "sched_switch" && record.field("next_comm") == Some("echo-server")
    });
    let damages = [
        (none("irq_handler_entry"), "interrupt"),
        (none("napi_gro_receive_entry"), "driver"),
        (none("netif_receive_skb"), "protocol"),
        (none("repoll_queue"), "ready queue"),
        (none("repoll_wake"), "wake-up"),
        (none("sched_waking"), "scheduler"),
        (no_switch, "running"),
        (none("repoll_deliver"), "delivery"),
        (none("repoll_wait_exit"), "wait returns"),
        (none("sock_recv_length"), "read"),
        (none("net_dev_start_xmit"), "echo"),
    ];
    for (records, step) in damages {
        let stories = Stories::find(&records, Protocol::Udp);
        assert!(stories.whole.is_empty(), "whole without {step}");
        assert_eq!(
            stories.broken.get(step),
            Some(&2),
            "{step}: {:?}",
            stories.broken
        );
        let trouble = render::trouble(&stories, Protocol::Udp, 0);
        assert!(trouble.contains(step), "{trouble}");
        assert!(render::table(&stories, false).is_empty());
    }
}

#[test]
fn what_happened_on_another_cpu_is_not_taken_for_a_step() {
    let mut records = udp();
    for record in &mut records {
        if record.event == "irq_handler_entry" {
            record.cpu += 2;
        }
    }
    let stories = Stories::find(&records, Protocol::Udp);
    assert_eq!(stories.broken.get("interrupt"), Some(&2));
}

#[test]
fn an_interrupt_in_the_middle_leaves_the_cause_open() {
    let mut records = udp();
    let second = records
        .iter()
        .rposition(|r| r.event == "napi_gro_receive_entry")
        .expect("one");
    let interrupt = records
        .iter()
        .find(|r| r.field("name") == Some("virtio1-input.0"));
    let interrupt = interrupt.cloned().expect("one");
    records.insert(second, interrupt);
    let stories = Stories::find(&records, Protocol::Udp);
    assert_eq!(stories.whole.len(), 1);
    assert_eq!(stories.broken.get("interrupt"), Some(&1));
}

#[test]
fn packets_of_the_loopback_device_are_left_out() {
    let mut records = udp();
    for record in &mut records {
        record.fields = record.fields.replace("dev=eth0", "dev=lo");
    }
    let stories = Stories::find(&records, Protocol::Udp);
    assert!(stories.whole.is_empty() && stories.broken.is_empty());
    assert!(render::trouble(&stories, Protocol::Udp, 3).contains("3 events were lost"));
}

#[test]
fn the_table_is_aligned_and_says_what_was_done() {
    let stories = Stories::find(&udp(), Protocol::Udp);
    let table = render::table(&stories, false);
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        lines[0],
        "One UDP packet from outside the guest, and the process it wakes"
    );
    let rows = &lines[3..3 + STEPS.len()];
    for (row, step) in rows.iter().zip(STEPS) {
        let columns: Vec<char> = row.chars().collect();
        let name: String = columns[34..].iter().take(step.len()).collect();
        assert_eq!(name, step, "{row:?}");
        assert!(columns.len() <= 100, "{row:?}");
    }
    assert!(
        rows[0].starts_with("        0            1  hard irq  interrupt"),
        "{:?}",
        rows[0]
    );
    assert_eq!(lines[3 + STEPS.len()], "");
    assert_eq!(
        lines[4 + STEPS.len()],
        "  2128 µs from the interrupt to the echo, the median of 2 packets (2128 to 3709 µs)"
    );
    assert!(!table.contains('\x1b'));
    assert!(render::table(&stories, true).contains("\x1b[31mhard irq\x1b[0m"));
}
