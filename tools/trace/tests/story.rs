// SPDX-License-Identifier: GPL-2.0
//! Finds stories in a trace that was recorded in a guest, whole and with records missing.
//!
//! `repoll-trace record -- repoll-demo --count 3` made the fixture.

use repoll_trace::dat;
use repoll_trace::filter::Filter;
use repoll_trace::record::{Context, Record};
use repoll_trace::render;
use repoll_trace::stat::{self, Statistics};
use repoll_trace::story::{self, Cause, Packets, Protocol, Story};

const FIXTURE: &[u8] = include_bytes!("fixtures/echo.dat");

fn records() -> Vec<Record> {
    let trace = dat::read(FIXTURE).expect("a trace");
    assert_eq!((trace.lost, trace.warnings.len()), (0, 0));
    trace.records
}

/// The trace without the records for which `unwanted` is true.
fn without(unwanted: impl Fn(&Record) -> bool) -> Vec<Record> {
    let mut records = records();
    let count = records.len();
    records.retain(|record| !unwanted(record));
    assert_ne!(records.len(), count, "no record was removed");
    records
}

fn names(story: &Story) -> Vec<&'static str> {
    story.steps.iter().map(|step| step.name).collect()
}

const STEPS: [&str; 16] = [
    "interrupt",
    "NAPI",
    "driver",
    "protocol",
    "socket",
    "callback",
    "ready queue",
    "wake-up",
    "scheduler",
    "running",
    "poll",
    "delivery",
    "requeue",
    "wait returns",
    "read",
    "echo sent",
];

#[test]
fn packets_are_followed_from_the_interrupt_to_the_echo() {
    let records = records();
    let stories = story::all(&records);
    for protocol in [Protocol::Udp, Protocol::Tcp] {
        let packets = Packets::among(&stories, protocol);
        assert!(packets.whole.len() >= 2, "{packets:#?}");
        for story in &packets.whole {
            assert_eq!(names(story), STEPS);
            assert!(story.steps.is_sorted_by_key(|step| (step.time, step.at)));
            let contexts: Vec<_> = story.steps.iter().map(|step| step.context).collect();
            assert_eq!(contexts[0], Context::Hardirq);
            assert!(contexts[1..9]
                .iter()
                .all(|context| *context == Context::Softirq));
            assert!(contexts[9..]
                .iter()
                .all(|context| *context == Context::Task));
            assert!(story.receiver.starts_with("echo-server ("));
        }
        assert!(packets.whole.is_sorted_by_key(|story| story.duration()));
        let median = packets.median().expect("a packet");
        assert_eq!(median.steps[14].detail, "64 bytes");
        assert!(median.steps[0].detail.contains("vector virtio"));
    }
}

#[test]
fn a_connection_request_is_no_whole_packet_and_a_file_ready_at_add_has_no_callback() {
    let stories = story::all(&records());
    let broken = &Packets::among(&stories, Protocol::Tcp).broken;
    assert!(!broken.contains_key("read"), "{broken:?}");
    let ready = stories
        .iter()
        .find(|story| story.cause == Cause::Ready)
        .expect("a file that was ready at ADD");
    assert!(
        names(ready).starts_with(&["ready queue", "poll", "delivery"]),
        "{ready:#?}"
    );
}

#[test]
fn a_missing_step_is_named() {
    let none = |event: &'static str| without(move |record| record.is(event));
    let damages = [
        (none("irq_handler_entry"), "interrupt"),
        (none("napi_gro_receive_entry"), "driver"),
        (none("netif_receive_skb"), "protocol"),
        (none("repoll_queue"), "ready queue"),
        (none("repoll_callback_exit"), "end of the callback"),
        (none("sched_switch"), "running"),
        (none("repoll_deliver"), "delivery"),
        (none("repoll_wait_exit"), "wait returns"),
        (none("sock_recv_length"), "read"),
        (none("net_dev_start_xmit"), "echo"),
    ];
    for (records, step) in damages {
        let stories = story::all(&records);
        let packets = Packets::among(&stories, Protocol::Udp);
        assert!(packets.whole.is_empty(), "without {step}");
        assert!(
            packets.broken.contains_key(step),
            "without {step}: {:?}",
            packets.broken
        );
        assert!(render::trouble(&packets, Protocol::Udp).contains(step));
    }
}

#[test]
fn without_callbacks_there_is_no_packet() {
    let stories = story::all(&without(|record| record.is("repoll_callback")));
    let packets = Packets::among(&stories, Protocol::Udp);
    assert!(packets.whole.is_empty() && packets.broken.is_empty());
    assert!(render::packet(&packets, Protocol::Udp, false).is_empty());
    assert!(render::trouble(&packets, Protocol::Udp).contains("No UDP packet"));
}

#[test]
fn a_story_is_printed_in_lines() {
    let stories = story::all(&records());
    let packets = Packets::among(&stories, Protocol::Udp);
    let text = render::packet(&packets, Protocol::Udp, false);
    assert!(!text.contains('\x1b'));
    assert!(
        text.lines()
            .filter(|line| line.contains(" softirq "))
            .count()
            == 8,
        "{text}"
    );
    assert!(text.contains("µs from the interrupt to the echo, the median of"));
    assert!(render::packet(&packets, Protocol::Udp, true).contains('\x1b'));
    let title = render::title(7, packets.whole[0]);
    assert!(
        title.starts_with("#7  UDP")
            && title.contains("to echo-server (")
            && title.lines().count() == 1
    );
}

#[test]
fn statistics_agree_with_the_stories() {
    let records = records();
    let stories = story::all(&records);
    let statistics = Statistics::of(&records, &stories, &Filter::default());
    let delivered: u64 = statistics.instances.values().map(|ep| ep.delivered).sum();
    let by_item: u64 = statistics
        .instances
        .values()
        .flat_map(|ep| ep.items.values())
        .map(|item| item.delivered)
        .sum();
    assert_eq!(delivered, by_item);
    let queued: u64 = statistics
        .instances
        .values()
        .flat_map(|ep| ep.items.values())
        .map(|item| item.queued)
        .sum();
    assert_eq!(
        queued as usize,
        stories
            .iter()
            .filter(|story| story.cause != Cause::Ready)
            .count()
    );
    let text = stat::render(&statistics);
    assert!(
        text.contains("Instance ") && text.contains("from the interrupt to the callback"),
        "{text}"
    );
    let none = Filter(vec!["ep=99".parse().expect("a condition")]);
    assert!(Statistics::of(&records, &stories, &none)
        .instances
        .is_empty());
    assert_eq!(
        stat::render(&Statistics::default()),
        "The trace has no events of repoll.\n"
    );
}
